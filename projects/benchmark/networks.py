"""jld's networks beside the same networks in PyTorch, without losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.toolchain import jittor as jt
from projects.benchmark.alternate import Timings, alternate, side_by_side
from projects.benchmark.clock import measure
from projects.benchmark.peer import NO_PEER, Duel, open_peer, peer_facts
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
    teacher = make_distiller(settings, student).teacher
    images = jt.array(batch["images"])
    params = student.trainable_parameters()

    def forward_backward() -> Any:
        outputs = student(images).predictions.values()
        return jt.grad(sum((x * x).mean() for x in outputs), params)

    def teacher_forward() -> Any:
        return teacher(images, None, batch["img_shapes"], None).predictions

    functions = {"student forward + backward": forward_backward, "teacher forward": teacher_forward}
    tasks = {name: measuring(name, function) for name, function in functions.items()}
    with open_peer(settings, duel, student, teacher.detector, batch) as peer:
        ours, theirs = alternate(tasks, peer, settings)
        facts = peer_facts(duel, peer)
    title = (
        f"networks alone, no losses: batch {settings.size()}, {settings.steps} runs after {settings.warmup}"
    )
    return Report(title, **side_by_side(ours, theirs, {name: name for name in tasks}), facts=facts)


def measuring(name: str, function: Callable[[], Any]) -> Callable[[int], Timings]:
    """A task of one row: {name: Timing of `function`}."""
    return lambda count: {name: measure(function, count, 0)}
