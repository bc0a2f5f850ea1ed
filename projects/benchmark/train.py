"""How long a training step takes, and which part of it is distillation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from jld.models.operations import count_operations
from jld.ops.precision import FLOAT16, FLOAT32
from jld.optim import SGD, LossScale, Optimizers
from jld.runner.hooks import Hook
from jld.runner.loop import TrainingLoop
from jld.runner.parts import trainable_parameters
from projects.benchmark.alternate import JLD, Task, add_busy_row, alternate, side_by_side
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
from projects.benchmark.core import (
    DISTILLATION,
    FORWARD,
    GRADIENT,
    LABEL_GUIDED,
    forward_of,
    sampled,
    staged_step,
)
from projects.benchmark.peak import peak_facts
from projects.benchmark.peer import NO_PEER, TORCH, Duel, TorchPeer, library_of, open_peers, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import (
    FROZEN_TEACHER,
    Settings,
    make_distiller,
    make_student,
    phase_shares,
    random_batch,
)

# Random images say nothing about learning; a small rate keeps every value finite.
LEARNING_RATE = 1e-5
STEP, ALONE = "step", "step without distillation"
TERM_OFF, RESTING = (
    "step, term off",
    "step, term off, backbone rests",
)  # of LGD's training, the earlier phases
NEVER = 10**9
COUNTED = (
    "convolutions as they are defined (Winograd's need fewer) and linear layers: forward, and twice that "
    "backward where weights learn; of a frozen teacher forward alone"
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
        duel: with whom, and whether busy cores are measured too. The peer has the same batch and, where it is
            the same detector, the same weights.
    """
    if library_of(duel, settings.detector) == "mmdet":
        settings = replace(settings, even_samples=True)
    began, batch = time.time(), random_batch(settings)
    student = make_student(settings)
    distiller = make_distiller(settings, student)
    helper = helper_of(settings, distiller)
    loop = make_loop(student, distiller, batch, settings.precision)
    operations = count_operations(lambda: forward_of(loop, batch)).step
    with open_peers(settings, duel, student, helper, batch) as peers:
        first = timing_between(run_steps(loop, settings.warmup)[:1])
        facts: dict[str, Any] = {
            "first step, s": first.median / 1e3,
            "kernels used by a step": loaded_kernels(),
            "of them compiled now": loaded_kernels(since=began),
            "peak memory, MiB": peak_memory_mib(),
            **device_memory_mib(),
            "values read by the host in a steady step": sum(reads_of_one_step(loop).values()),
        }
        facts |= first_step_facts(loop, batch, peers)
        tasks = tasks_of(loop, settings, batch)
        sides = alternate(tasks, peers, settings, warm=(STEP,))
        rows = [row for row in (STEP, TERM_OFF, RESTING) if row in tasks]
        if duel.shared:
            row, slower = add_busy_row(sides, STEP, tasks[STEP], peers, settings)
            rows.append(row)
            facts |= slower
        ours = sides[JLD]
        facts |= peer_facts(duel, peers, settings.detector) | shares(ours)
        counted = sides if settings.detector in FROZEN_TEACHER else {JLD: ours}
        if settings.detector == "mask_rcnn":
            counted = {}  # masks are made of positive RoIs, and every slot was counted
        facts |= peak_facts(STEP, operations, COUNTED, counted, peers)
    return Report(title_of(settings), **side_by_side(sides, labels_of(ours, rows)), facts=facts)


def title_of(settings: Settings) -> str:
    """What is measured, at which sizes."""
    precision = "" if settings.precision == FLOAT32 else f", convolutions in {settings.precision}"
    return (
        f"training step: {settings.pair()}, {settings.size()}, {settings.boxes} objects per image, "
        f"{settings.num_classes} classes, {settings.steps} steps after {settings.warmup}{precision}"
    )


def labels_of(timings: Mapping[str, Timing], rows: list[str]) -> dict[str, str]:
    """{row: its label}: whole steps, those without distillation, then stages; `rows` are the first."""
    stages = [row for row in timings if row not in (*rows, ALONE, GRADIENT)]
    labels = {row: row for row in (*rows, ALONE) if row in timings} | {row: f"  {row}" for row in stages}
    return labels | ({GRADIENT: f"{GRADIENT} (part of backward)"} if GRADIENT in timings else {})


def tasks_of(loop: TrainingLoop, settings: Settings, batch: dict) -> dict[str, Task]:
    """What is measured in turn: whole steps, those without distillation where there is any, and stages."""
    tasks: dict[str, Task] = {STEP: lambda count: {STEP: timing_between(run_steps(loop, count))}}
    if loop.distiller is not None:
        alone = make_loop(make_student(settings), None, batch, settings.precision)
        tasks[ALONE] = lambda count: {ALONE: timing_between(run_steps(alone, count))}
        if loop.distiller.modules():
            tasks |= phases(settings, batch)
    return tasks | {"stages": lambda count: run_stages(loop, batch, count)}


def phases(settings: Settings, batch: dict) -> dict[str, Task]:
    """Steps of LGD before its term acts, with a backbone that learns and with one that rests."""
    student = make_student(settings)
    distiller = make_distiller(settings, student, start=NEVER)
    loops = {
        TERM_OFF: make_loop(student, distiller, batch, settings.precision),
        RESTING: make_loop(student, distiller, batch, settings.precision, resting="backbone."),
    }

    def steps_of(row: str) -> Task:
        return lambda count: {row: timing_between(run_steps(loops[row], count))}

    return {row: steps_of(row) for row in loops}


def helper_of(settings: Settings, distiller: Any) -> Any:
    """What has a `state_dict` for the peers beside the student's; None where nothing helps."""
    if settings.detector in FROZEN_TEACHER:
        return distiller.teacher.detector
    return None if distiller is None else HelperState(distiller)


class HelperState:
    """The modules of a distiller that learns, as one state."""

    def __init__(self, distiller: Any):
        self.modules = distiller.modules()

    def state_dict(self) -> dict[str, Any]:
        """{"<term or teacher>.<module>.<name>": Var}"""
        parts = self.modules.items()
        return {f"{part}.{name}": var for part, module in parts for name, var in module.state_dict().items()}


def first_step_facts(loop: TrainingLoop, batch: dict, peers: Mapping[str, TorchPeer]) -> dict[str, Any]:
    """How near the peer is: how many RoIs either has drawn, and of the same detector the losses."""
    facts: dict[str, Any] = {}
    if hasattr(loop.detector, "roi_head"):
        drawn = {JLD: sampled(loop.detector, batch)}
        drawn |= {side: peer.ask("sampled") for side, peer in peers.items()}
        facts = {f"{name}, {side}": count for side, counts in drawn.items() for name, count in counts.items()}
    if TORCH not in peers or not peers[TORCH].about.get("same losses", True):
        return facts
    share = disagreement(loop.history.records[0].values, peers[TORCH].ask("losses"))
    return facts | {"largest difference of a loss of the first step from torch's, share of the total": share}


def disagreement(ours: Mapping[str, Any], theirs: Mapping[str, float]) -> float:
    """The largest difference between losses of the same name, divided by the sum of all."""
    differences = [abs(float(ours[name]) - value) for name, value in theirs.items()]
    return max(differences) / sum(theirs.values())


def make_loop(
    student: Any, distiller: Any, batch: dict, precision: str = FLOAT32, *, resting: str | None = None
) -> TrainingLoop:
    """The training loop on one batch; `run_steps` runs it.

    Parameters whose names start with `resting` do not learn.
    """
    params = trainable_parameters(student, distiller)
    if resting is not None:
        params = {name: var for name, var in params.items() if not name.startswith(resting)}
    optimizer = SGD(params, LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
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
    """What distillation costs; nothing where there is none.

    Of a frozen teacher beside both forward passes, and as a difference of whole steps. Of a label-guided one
    whole steps beside plain ones, and the parts' shares of all stages.
    """
    if ALONE not in timings:
        return {}
    step, alone = timings[STEP], timings[ALONE]
    if LABEL_GUIDED[0] in timings:
        whole = (STEP, ALONE, TERM_OFF, RESTING)
        stages = [timing.cpu_median for row, timing in timings.items() if row not in whole]
        parts = {f"{row}, CPU time of all stages, %": timings[row].cpu_median for row in LABEL_GUIDED}
        return {
            "step / step without distillation": step.median / alone.median,
            "the same in CPU time": step.cpu_median / alone.cpu_median,
            **over_the_schedule(timings),
        } | {name: 100 * part / sum(stages) for name, part in parts.items()}
    forward = sum(timings[name].median for name in FORWARD)
    forward_cpu = sum(timings[name].cpu_median for name in FORWARD)
    terms = sum(timings[name].median for name in DISTILLATION)
    terms_cpu = sum(timings[name].cpu_median for name in DISTILLATION)
    gradient_cpu = timings[GRADIENT].cpu_median
    return {
        "distillation (regions + terms) / (student + teacher forward), %": 100 * terms / forward,
        "the same in CPU time, %": 100 * terms_cpu / forward_cpu,
        "with its gradient, in CPU time, %": 100 * (terms_cpu + gradient_cpu) / forward_cpu,
        "step - step without distillation - teacher forward, CPU ms": (
            step.cpu_median - alone.cpu_median - timings["teacher forward"].cpu_median
        ),
    }


def over_the_schedule(timings: Mapping[str, Timing]) -> dict[str, float]:
    """The mean step of LGD's phases beside the plain one, weighted with their shares of the training."""
    if RESTING not in timings:
        return {}
    quiet, resting = phase_shares()
    shares_of = {STEP: 1 - quiet, TERM_OFF: quiet - resting, RESTING: resting}
    mean, cpu = (
        sum(share * getattr(timings[row], kind) for row, share in shares_of.items())
        for kind in ("median", "cpu_median")
    )
    alone = timings[ALONE]
    return {
        "mean step of all phases / step without distillation": mean / alone.median,
        "mean of all phases in CPU time": cpu / alone.cpu_median,
    }
