"""How long a distillation step takes, and which part of it is distillation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jld.ops.precision import FLOAT16, FLOAT32
from jld.optim import SGD, LossScale, Optimizers
from jld.runner.hooks import Hook
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from projects.benchmark.alternate import JLD, add_busy_row, alternate, side_by_side
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
from projects.benchmark.core import DISTILLATION, FORWARD, GRADIENT, staged_step
from projects.benchmark.peak import count_operations, peak_facts
from projects.benchmark.peer import NO_PEER, TORCH, Duel, open_peers, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings, make_distiller, make_student, random_batch

# Random images say nothing about learning; a small rate keeps every value finite.
LEARNING_RATE = 1e-5
STEP, ALONE = "step", "step without distillation"
COUNTED = (
    "convolutions as they are defined (Winograd's need fewer): forward, and twice that backward "
    "where weights learn; of the teacher forward alone"
)


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
    operations = step_operations(student, distiller.teacher.detector, batch)
    with open_peers(settings, duel, student, distiller.teacher.detector, batch) as peers:
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
        if TORCH in peers:
            facts["largest difference of a loss of the first step from torch's, share of the total"] = (
                disagreement(loop.history.records[0].values, peers[TORCH].ask("losses"))
            )
        alone = make_loop(make_student(settings), None, batch, settings.precision)
        tasks = {
            STEP: lambda count: {STEP: timing_between(run_steps(loop, count))},
            ALONE: lambda count: {ALONE: timing_between(run_steps(alone, count))},
            "stages": lambda count: run_stages(loop, batch, count),
        }
        sides = alternate(tasks, peers, settings, warm=(STEP,))
        rows = [STEP]
        if duel.shared:
            row, slower = add_busy_row(sides, STEP, tasks[STEP], peers, settings)
            rows.append(row)
            facts |= slower
        ours = sides[JLD]
        facts |= peer_facts(duel, peers) | shares(ours)
        facts |= peak_facts(STEP, operations, COUNTED, sides, peers)
    title = (
        f"training step: {settings.pair()}, {settings.size()}, "
        f"{settings.boxes} objects per image, {settings.num_classes} classes, "
        f"{settings.steps} steps after {settings.warmup}"
        f"{'' if settings.precision == FLOAT32 else f', convolutions in {settings.precision}'}"
    )
    stages = [row for row in ours if row not in (*rows, ALONE, GRADIENT)]
    labels = {row: row for row in (*rows, ALONE)} | {row: f"  {row}" for row in stages}
    labels[GRADIENT] = f"{GRADIENT} (part of backward)"
    return Report(title, **side_by_side(sides, labels), facts=facts)


def step_operations(student: Any, teacher: Any, batch: Mapping[str, Any]) -> float:
    """Multiplications and additions of a step, see `COUNTED`."""
    images = jt.array(batch["images"])
    guided = count_operations(lambda: teacher(images)).forward
    return count_operations(lambda: student(images)).step + guided


def disagreement(ours: Mapping[str, Any], theirs: Mapping[str, float]) -> float:
    """The largest difference between losses of the same name, divided by the sum of all."""
    differences = [abs(float(ours[name]) - value) for name, value in theirs.items()]
    return max(differences) / sum(theirs.values())


def make_loop(student: Any, distiller: Any, batch: dict, precision: str = FLOAT32) -> TrainingLoop:
    """The training loop on one batch; `run_steps` runs it."""
    optimizer = SGD(dict(student.named_parameters()), LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    optimizer = Optimizers(optimizer, LossScale() if precision == FLOAT16 else None)
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
        staged_step(clock.run, loop, batch)
    return clock.timings()


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
