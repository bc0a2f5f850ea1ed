"""Where the benchmark looks inside detectors, assigners and distillers: what changes with them is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from jld.assign.regions.valuable import ValuableLocalizationRegion
from jld.distill import Step, StepContext
from jld.models.targets import Targets
from jld.models.trace import Stage, Trace
from jld.ops.precision import convolutions_in
from jld.runner.history import total_loss
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt

FORWARD = ("student forward", "teacher forward")
DISTILLATION = ("distillation regions", "distillation terms")
GRADIENT = "distillation gradient"


def predict(detector: Any, images: jt.Var) -> list[jt.Var]:
    """Class logits [N, P, C] and box logits [N, P, sides, B]."""
    return _predictions(detector(images))


def _forward(detector: Any, images: jt.Var) -> tuple[Any, dict[str, jt.Var]]:
    features = detector.features(images)
    return features, detector.bbox_head(features)


def _predictions(trace: Trace) -> list[jt.Var]:
    return [trace.stage().predictions[key] for key in ("cls_logits", "box_logits")]


def set_detection(detector: Any, **changes: Any) -> None:
    """Other thresholds and counts of the step from predictions to detections."""
    head = detector.bbox_head
    head.postprocess = replace(head.postprocess, **changes)


def priors_of(generator: Any, height: int, width: int) -> Any:
    """The priors of images of that size in px."""
    return generator.priors([(-(-height // stride), -(-width // stride)) for stride in generator.strides])


def assigning(assigner: Any, priors: Any, targets: Targets, num_classes: int) -> Callable[[], Any]:
    """A function that assigns."""
    valid_mask = priors.valid_mask(targets.pad_shapes)
    return lambda: assigner(priors, targets, valid_mask, num_classes)


def assigning_by(detector: Any, height: int, width: int, targets: Targets) -> tuple[Any, Callable[[], Any]]:
    """The priors of a detector, and a function that assigns them as it does in training."""
    head = detector.bbox_head
    priors = priors_of(head.priors, height, width)
    return priors, assigning(head.assigner, priors, targets, head.num_classes)


def finding_valuable(priors: Any, targets: Targets, assignment: Any) -> Callable[[], jt.Var]:
    """A function that finds the valuable localization region."""
    valid_mask = priors.valid_mask(targets.pad_shapes)
    context = SimpleNamespace(places=priors, targets=targets, assignment=assignment, valid_mask=valid_mask)
    region = ValuableLocalizationRegion()
    return lambda: region(context)


def staged_step(run: Callable[[str, Callable], Any], loop: TrainingLoop, batch: dict) -> None:
    """One step of the loop, every stage through `run(name, function)`."""
    detector, distiller, optimizer = loop.detector, loop.distiller, loop.optimizer
    images, targets = run("batch to device", lambda: (jt.array(batch["images"]), Targets.from_batch(batch)))
    with convolutions_in(loop.precision):
        features, predictions = run(FORWARD[0], lambda: _forward(detector, images))
    head, iteration = detector.bbox_head, loop.iteration
    places = head.priors.priors([x.shape[2:] for x in features])
    assignment = run("assignment", lambda: head.assign(places, targets))
    trace = Trace(features, places.level_strides, {"dense": Stage(predictions, places, head, assignment)})
    step = Step(images, targets, detector, features, trace, iteration)
    with convolutions_in(loop.precision):
        teacher_trace = run(FORWARD[1], lambda: distiller.teacher(step))
    losses = run("task losses", lambda: detector.losses(trace, targets))
    context = StepContext(step, teacher_trace, distiller.regions)
    names = dict.fromkeys(term.region for term in distiller.terms)
    run(DISTILLATION[0], lambda: [context.region(name) for name in names])
    terms = run(DISTILLATION[1], lambda: {term.name: term.weight * term(context) for term in distiller.terms})
    run(GRADIENT, lambda: jt.grad(total_loss(terms), _predictions(trace)))
    run("backward", lambda: optimizer.backward(total_loss(losses | terms)))
    run("optimizer", optimizer.step)
