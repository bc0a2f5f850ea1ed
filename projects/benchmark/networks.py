"""jld's networks beside the same networks in PyTorch, without losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.toolchain import jittor as jt
from projects.benchmark.alternate import Timings, alternate, side_by_side
from projects.benchmark.clock import measure
from projects.benchmark.core import predict
from projects.benchmark.peer import NO_PEER, Duel, open_peers, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings, make_distiller, make_student, random_batch


def benchmark_networks(settings: Settings, duel: Duel = NO_PEER) -> Report:
    """Student forward and backward, and teacher forward: in jld and, where it is, in PyTorch.

    Args:
        settings: sizes.
        duel: with whom.
    """
    batch = random_batch(settings)
    student = make_student(settings)
    teacher = make_distiller(settings, student).teacher.detector
    images = jt.array(batch["images"])
    params = student.trainable_parameters()

    def forward_backward() -> Any:
        return jt.grad(sum((x * x).mean() for x in predict(student, images)), params)

    def teacher_forward() -> Any:
        with jt.no_grad():
            return predict(teacher, images)

    functions = {"student forward + backward": forward_backward, "teacher forward": teacher_forward}
    tasks = {name: measuring(name, function) for name, function in functions.items()}
    with open_peers(settings, duel, student, teacher, batch) as peers:
        sides = alternate(tasks, peers, settings)
        facts = peer_facts(duel, peers)
    title = (
        f"networks alone, no losses: batch {settings.size()}, {settings.steps} runs after {settings.warmup}"
    )
    return Report(title, **side_by_side(sides, {name: name for name in tasks}), facts=facts)


def measuring(name: str, function: Callable[[], Any]) -> Callable[[int], Timings]:
    """A task of one row: {name: Timing of `function`}."""
    return lambda count: {name: measure(function, count, 0)}
