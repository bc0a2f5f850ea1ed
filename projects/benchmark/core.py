"""Where the benchmark looks inside detectors, assigners and distillers: what changes with them is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from jld.assign.regions.valuable import ValuableLocalizationRegion
from jld.distill import Step, StepContext
from jld.distill.label_guided.instances import instances_of
from jld.models.targets import Targets
from jld.models.trace import MASK, ROI, RPN, Stage, Trace
from jld.ops.precision import convolutions_in
from jld.runner.history import total_loss
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt

FORWARD = ("student forward", "teacher forward")
DISTILLATION = ("distillation regions", "distillation terms")
GRADIENT = "distillation gradient"
LABEL_GUIDED = ("label encoder", "objects related", "knowledge mapper", "second head pass")

Run = Callable[[str, Callable[[], Any]], Any]
"""`run(name, function)` gives `function()`."""
Losses = dict[str, jt.Var]


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


def staged_step(run: Run, loop: TrainingLoop, batch: dict) -> None:
    """One step of the loop, every stage through `run(name, function)`."""
    images, targets = run("batch to device", lambda: (jt.array(batch["images"]), Targets.from_batch(batch)))
    if loop.distiller is None:
        losses = _two_stage(run, loop, images, targets)
    elif loop.distiller.modules():
        losses = _label_guided(run, loop, images, targets)
    else:
        losses = _distilled(run, loop, images, targets)
    run("backward", lambda: loop.optimizer.backward(total_loss(losses)))
    run("optimizer", loop.optimizer.step)


def _distilled(run: Run, loop: TrainingLoop, images: jt.Var, targets: Targets) -> Losses:
    detector, distiller = loop.detector, loop.distiller
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
    terms = run(DISTILLATION[1], lambda: _weighted(distiller, context))
    run(GRADIENT, lambda: jt.grad(total_loss(terms), _predictions(trace)))
    return losses | terms


def _weighted(distiller: Any, context: StepContext) -> Losses:
    return {term.name: term.weight * term(context) for term in distiller.terms}


def _two_stage(run: Run, loop: TrainingLoop, images: jt.Var, targets: Targets) -> Losses:
    detector = loop.detector
    rpn_head, roi_head = detector.rpn_head, detector.roi_head
    with convolutions_in(loop.precision):
        features = run("features", lambda: detector.features(images))
        rpn = run("RPN, its sample", lambda: rpn_head.stage(features, targets))
        proposals = run("proposals", lambda: rpn_head.proposals(rpn, targets.img_shapes))
        sample = run("sample of RoIs", lambda: roi_head.sampled(proposals, targets))
        stages = {RPN: rpn, ROI: run("RoI head", lambda: roi_head.stage(features, *sample))}
        if roi_head.mask_head is not None:
            count = roi_head.sampler.most_positives
            stages[MASK] = run("mask head", lambda: roi_head.mask_stage(features, stages[ROI], count))
        trace = Trace(features, rpn.places.level_strides, stages)
        return run("task losses", lambda: detector.losses(trace, targets))


def _label_guided(run: Run, loop: TrainingLoop, images: jt.Var, targets: Targets) -> Losses:
    detector, distiller = loop.detector, loop.distiller
    teacher, (painter,) = distiller.teacher, distiller.teacher.modules().values()
    with convolutions_in(loop.precision):
        features = run("features", lambda: detector.features(images))
        trace = run("head, assignment", lambda: detector.predict(features, targets))
        instances = instances_of(
            targets, detector.interface.num_classes, images.shape[2:], context_box=teacher.context_box
        )
        values = run(LABEL_GUIDED[0], lambda: painter.values(instances))
        cells = [instances.cells(*x.shape[2:]) for x in features]
        with mock.patch.object(type(painter), "values", lambda *_: values):  # they were computed above
            rows = run(LABEL_GUIDED[1], lambda: painter.related(features, cells, instances))
        painted = run(LABEL_GUIDED[2], lambda: painter.mapper(rows, cells, instances.paints))
        taught = run(LABEL_GUIDED[3], lambda: detector.predict(painted, targets))
        losses = run("task losses", lambda: detector.losses(trace, targets))
        own = run("task losses of painted maps", lambda: teacher.losses(taught, targets))
    step = Step(images, targets, detector, features, trace, loop.iteration)
    context = StepContext(step, taught, distiller.regions)
    terms = run("distillation term", lambda: _weighted(distiller, context))
    return losses | {f"{name}.tea": value for name, value in own.items()} | terms


def forward_of(loop: TrainingLoop, batch: dict) -> None:
    """The networks of a step, without losses."""
    images, targets = jt.array(batch["images"]), Targets.from_batch(batch)
    detector, distiller = loop.detector, loop.distiller
    features = detector.features(images)
    trace = detector.predict(features, targets)
    if distiller is not None:
        distiller.teacher(Step(images, targets, detector, features, trace, loop.iteration))


def sampled(detector: Any, batch: dict) -> dict[str, int]:
    """{"RoIs", "positive RoIs"}: how many a two-stage detector draws from its proposals for a batch."""
    targets = Targets.from_batch(batch)
    with jt.no_grad():
        trace = detector.predict(detector.features(jt.array(batch["images"])), targets)
    drawn = trace.stages[ROI].assigned
    return {
        "RoIs": int(drawn.label_weights.sum().item()),
        "positive RoIs": int(drawn.positive_mask.sum().item()),
    }
