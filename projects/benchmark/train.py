"""How long a distillation step takes, and which part of it is distillation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jld.distill import StepContext
from jld.models.targets import Targets
from jld.ops.precision import FLOAT16, FLOAT32, convolutions_in
from jld.optim import SGD, LossScale
from jld.runner.history import total_loss
from jld.runner.hooks import Hook
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from projects.benchmark.alternate import alternate, on_busy_cores, side_by_side, slow_down
from projects.benchmark.clock import (
    Moment,
    StageClock,
    Timing,
    counted_reads,
    device_memory_mib,
    loaded_kernels,
    peak_memory_mib,
    timing_between,
    wait,
)
from projects.benchmark.peer import NO_PEER, Duel, open_peer, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings, make_distiller, make_student, random_batch

# Random images say nothing about learning; a small rate keeps every value finite.
LEARNING_RATE = 1e-5
STEP, ALONE = "step", "step without distillation"
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


def benchmark_train(settings: Settings, duel: Duel = NO_PEER) -> Report:
    """Whole steps of the training loop and the same step in stages: jld and, where it is, PyTorch.

    Whole steps are what a user waits for. Stages cost a little more together: a device sync after each keeps
    their operators from being fused.

    Args:
        settings: sizes.
        duel: with whom, and whether busy cores are measured too. The peer has the same weights and batch.
    """
    began, batch = time.time(), random_batch(settings)
    student = make_student(settings)
    distiller = make_distiller(settings, student)
    with open_peer(settings, duel, student, distiller.teacher.detector, batch) as peer:
        loop = make_loop(student, distiller, batch, settings.precision)
        first = timing_between(run_steps(loop, settings.warmup)[:1])
        facts: dict[str, Any] = {
            "first step, s": first.median / 1e3,
            "kernels used by a step": loaded_kernels(),
            "of them compiled now": loaded_kernels(since=began),
            "peak memory, MiB": peak_memory_mib(),
            **device_memory_mib(),
            "values read by the host in a steady step": sum(reads_of_one_step(loop).values()),
        }
        if peer is not None:
            facts["largest difference of a loss of the first step from torch's, share of the total"] = (
                disagreement(loop.history.records[0].values, peer.ask("losses"))
            )
        alone = make_loop(make_student(settings), None, batch, settings.precision)
        tasks = {
            STEP: lambda count: {STEP: timing_between(run_steps(loop, count))},
            ALONE: lambda count: {ALONE: timing_between(run_steps(alone, count))},
            "stages": lambda count: run_stages(loop, batch, count),
        }
        ours, theirs = alternate(tasks, peer, settings, warm=(STEP,))
        rows = [STEP]
        if duel.shared:
            row, *busy = on_busy_cores(STEP, tasks[STEP], peer, settings)
            ours, theirs = ours | busy[0], theirs | busy[1]
            rows.append(row)
            facts |= slow_down(STEP, row, ours, theirs)
        facts |= peer_facts(duel, peer) | shares(ours)
        if peer is not None:
            facts |= peer.memory()
    title = (
        f"training step: {settings.pair()}, {settings.size()}, "
        f"{settings.boxes} objects per image, {settings.num_classes} classes, "
        f"{settings.steps} steps after {settings.warmup}"
        f"{'' if settings.precision == FLOAT32 else f', convolutions in {settings.precision}'}"
    )
    stages = [row for row in ours if row not in (*rows, ALONE, GRADIENT)]
    labels = {row: row for row in (*rows, ALONE)} | {row: f"  {row}" for row in stages}
    labels[GRADIENT] = f"{GRADIENT} (part of backward)"
    return Report(title, **side_by_side(ours, theirs, labels), facts=facts)


def disagreement(ours: Mapping[str, Any], theirs: Mapping[str, float]) -> float:
    """The largest difference between losses of the same name, divided by the sum of all."""
    differences = [abs(float(ours[name]) - value) for name, value in theirs.items()]
    return max(differences) / sum(theirs.values())


def make_loop(student: Any, distiller: Any, batch: dict, precision: str = FLOAT32) -> TrainingLoop:
    """The training loop on one batch; `run_steps` runs it."""
    optimizer = SGD(dict(student.named_parameters()), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    optimizer.loss_scale = LossScale() if precision == FLOAT16 else None
    loader = SameBatch(batch)
    return TrainingLoop(student, loader, optimizer, distiller=distiller, max_iter=0, precision=precision)


def run_steps(loop: TrainingLoop, count: int) -> list[tuple[Moment, Moment]]:
    """Start and end of the next `count` steps, each to the end of the device's work."""
    clock = StepClock()
    loop.hooks, loop.max_iter = [clock], loop.iteration + count
    loop.run()
    return clock.spans()


def reads_of_one_step(loop: TrainingLoop) -> dict[str, int]:
    """How often one more step makes the host wait for a value."""
    loop.hooks = []
    loop.max_iter = loop.iteration + 1
    with counted_reads() as counts:
        loop.run()
    return counts


def run_stages(loop: TrainingLoop, batch: dict, count: int) -> dict[str, Timing]:
    """{stage: Timing} of `count` steps that are synced after every stage."""
    clock = StageClock()
    for _ in range(count):
        _staged_step(clock, loop, batch)
    return clock.timings()


def _staged_step(clock: StageClock, loop: TrainingLoop, batch: dict) -> None:
    detector, distiller, optimizer = loop.detector, loop.distiller, loop.optimizer
    images, targets = clock.run(
        "batch to device", lambda: (jt.array(batch["images"]), Targets.from_batch(batch))
    )
    with convolutions_in(loop.precision):
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


def shares(timings: Mapping[str, Timing]) -> dict[str, float]:
    """What distillation costs beside student and teacher forward, and as a difference of whole steps."""
    forward = sum(timings[name].median for name in FORWARD)
    forward_cpu = sum(timings[name].cpu_median for name in FORWARD)
    terms = sum(timings[name].median for name in DISTILLATION)
    terms_cpu = sum(timings[name].cpu_median for name in DISTILLATION)
    gradient_cpu = timings[GRADIENT].cpu_median
    rest_cpu = timings[STEP].cpu_median - timings[ALONE].cpu_median - timings["teacher forward"].cpu_median
    return {
        "distillation (regions + terms) / (student + teacher forward), %": 100 * terms / forward,
        "the same in CPU time, %": 100 * terms_cpu / forward_cpu,
        "with its gradient, in CPU time, %": 100 * (terms_cpu + gradient_cpu) / forward_cpu,
        "step - step without distillation - teacher forward, CPU ms": rest_cpu,
    }
