"""How long a distillation step takes, and which part of it is distillation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jld.apis.benchmark.clock import (
    TIMING_COLUMNS,
    Moment,
    StageClock,
    Timing,
    counted_reads,
    loaded_kernels,
    peak_memory_mib,
    timing_between,
    wait,
)
from jld.apis.benchmark.report import Report
from jld.apis.benchmark.scene import Settings, make_distiller, make_student, random_batch
from jld.distill import StepContext
from jld.models.targets import Targets
from jld.optim import SGD
from jld.runner.history import total_loss
from jld.runner.hooks import Hook
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt

# Random images say nothing about learning; a small rate keeps every value finite.
LEARNING_RATE = 1e-5
FORWARD = ("student forward", "teacher forward")
DISTILLATION = ("distillation regions", "distillation terms")
GRADIENT = "distillation gradient"


class SameBatch:
    """A loader that gives one batch for ever; making data is not part of the measurement."""

    def __init__(self, batch: dict[str, Any]):
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[dict[str, Any]]:
        """The batch, once per epoch."""
        yield self.batch


class StepClock(Hook):
    """Notes when each step is done."""

    def __init__(self):
        self.moments: list[Moment] = []

    def before_training(self, loop: Any) -> None:
        """Starts the clock with nothing pending."""
        self.moments.append(wait())

    def after_step(self, loop: Any) -> None:
        """Waits for the step's last kernel."""
        self.moments.append(wait())

    def spans(self) -> list[tuple[Moment, Moment]]:
        """Start and end of every step."""
        return list(pairwise(self.moments))


def benchmark_train(settings: Settings) -> Report:
    """Whole steps of the training loop, then the same step in stages with a device sync after each.

    Whole steps are what a user waits for. Stages cost a little more together: a sync between two of them
    keeps their operators from being fused.
    """
    began, batch = time.time(), random_batch(settings)
    student = make_student(settings)
    loop = make_loop(student, make_distiller(settings, student), batch)
    first = timing_between(run_steps(loop, settings.warmup)[:1])
    facts: dict[str, Any] = {
        "first step, s": first.median / 1e3,
        "kernels used by a step": loaded_kernels(),
        "of them compiled now": loaded_kernels(since=began),
        "peak memory, MiB": peak_memory_mib(),
        "values read by the host in a steady step": sum(reads_of_one_step(loop).values()),
    }
    step, alone = _alternate(loop, make_loop(make_student(settings), None, batch), settings)
    stages = run_stages(loop, batch, settings)
    facts |= shares(stages, step, alone)
    rows = [("step", step), ("step without distillation", alone)]
    rows += [(f"  {name}", timing) for name, timing in stages.items() if name != GRADIENT]
    rows.append((f"{GRADIENT} (part of backward)", stages[GRADIENT]))
    title = (
        f"training step: {settings.pair()}, {settings.size()}, "
        f"{settings.boxes} objects per image, {settings.num_classes} classes, "
        f"{settings.steps} steps after {settings.warmup}"
    )
    return Report(title, ("", *TIMING_COLUMNS), rows, facts)


def make_loop(student: Any, distiller: Any, batch: dict) -> TrainingLoop:
    """The training loop on one batch; `run_steps` runs it."""
    optimizer = SGD(dict(student.named_parameters()), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    return TrainingLoop(student, SameBatch(batch), optimizer, distiller=distiller, max_iter=0)


def run_steps(loop: TrainingLoop, count: int) -> list[tuple[Moment, Moment]]:
    """Start and end of the next `count` steps, each to the end of the device's work."""
    clock = StepClock()
    loop.hooks, loop.max_iter = [clock], loop.iteration + count
    loop.run()
    return clock.spans()


def _alternate(first: TrainingLoop, second: TrainingLoop, settings: Settings) -> tuple[Timing, Timing]:
    """Steady steps of two loops in turn, so that other work on the machine meets both."""
    run_steps(second, settings.warmup)
    pairs = [(run_steps(first, 1)[0], run_steps(second, 1)[0]) for _ in range(settings.steps)]
    ours, theirs = zip(*pairs, strict=True)
    return timing_between(ours), timing_between(theirs)


def reads_of_one_step(loop: TrainingLoop) -> dict[str, int]:
    """How often one more step makes the host wait for a value."""
    loop.hooks = []
    loop.max_iter = loop.iteration + 1
    with counted_reads() as counts:
        loop.run()
    return counts


def run_stages(loop: TrainingLoop, batch: dict, settings: Settings) -> dict[str, Timing]:
    """{stage: Timing} of steps that are synced after every stage."""
    clock = StageClock()
    for _ in range(settings.warmup + settings.steps):
        _staged_step(clock, loop, batch)
    return clock.timings(settings.warmup)


def _staged_step(clock: StageClock, loop: TrainingLoop, batch: dict) -> None:
    detector, distiller, optimizer = loop.detector, loop.distiller, loop.optimizer
    images, targets = clock.run(
        "batch to device", lambda: (jt.array(batch["images"]), Targets.from_batch(batch))
    )
    trace = clock.run("student forward", lambda: detector(images))
    teacher_trace = clock.run(
        "teacher forward",
        lambda: distiller.teacher(images, trace, targets.img_shapes, distiller.student_statistics),
    )
    assignment = clock.run("assignment", lambda: detector.assign(trace, targets))
    losses = clock.run("task losses", lambda: dict(detector.losses(trace, assignment, targets)))
    context = StepContext(trace, teacher_trace, assignment, targets, distiller.regions)
    names = dict.fromkeys(term.region for term in distiller.terms)
    clock.run(DISTILLATION[0], lambda: [context.region(name) for name in names])
    terms = clock.run(
        DISTILLATION[1], lambda: {term.name: term.weight * term(context) for term in distiller.terms}
    )
    predictions = [trace.predictions[key] for key in ("cls_logits", "box_logits")]
    clock.run(GRADIENT, lambda: jt.grad(total_loss(terms), predictions))
    clock.run("backward", lambda: optimizer.backward(total_loss(losses | terms)))
    clock.run("optimizer", optimizer.step)


def shares(stages: Mapping[str, Timing], step: Timing, alone: Timing) -> dict[str, float]:
    """What distillation costs beside student and teacher forward, and as a difference of whole steps."""
    forward = sum(stages[name].median for name in FORWARD)
    forward_cpu = sum(stages[name].cpu_median for name in FORWARD)
    terms = sum(stages[name].median for name in DISTILLATION)
    terms_cpu = sum(stages[name].cpu_median for name in DISTILLATION)
    gradient_cpu = stages[GRADIENT].cpu_median
    rest_cpu = step.cpu_median - alone.cpu_median - stages["teacher forward"].cpu_median
    return {
        "distillation (regions + terms) / (student + teacher forward), %": 100 * terms / forward,
        "the same in CPU time, %": 100 * terms_cpu / forward_cpu,
        "with its gradient, in CPU time, %": 100 * (terms_cpu + gradient_cpu) / forward_cpu,
        "step - step without distillation - teacher forward, CPU ms": rest_cpu,
    }
