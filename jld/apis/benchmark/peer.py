"""jld's networks beside the same networks in PyTorch, where PyTorch is installed; it is never needed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jld.apis.benchmark.clock import TIMING_COLUMNS, Timing, measure
from jld.apis.benchmark.report import Report
from jld.apis.benchmark.scene import Settings, make_distiller, make_student, random_batch
from jld.toolchain import jittor as jt

PROGRAM = Path(__file__).with_name("peer_torch.py")
MISSING = "torch is not installed: no ratio"


def benchmark_networks(settings: Settings, python: str = sys.executable) -> Report:
    """Student forward and backward, and teacher forward, without losses: in jld and in PyTorch.

    Args:
        settings: sizes.
        python: interpreter that has torch; it runs after jld's part, in a process of its own, because two
            frameworks in one process share, and disturb, one thread pool.
    """
    ours = _measure_jld(settings)
    theirs = run_peer(settings, python)
    facts = {"peer": MISSING if theirs is None else f"torch {theirs['version']}, {theirs['threads']} threads"}
    rows = []
    for name, timing in ours.items():
        if theirs is None:
            rows.append((name, timing))
            continue
        peer = Timing(*map(tuple, theirs[name]))
        ratio, cpu_ratio = timing.median / peer.median, timing.cpu_median / peer.cpu_median
        rows.append((name, timing, peer, ratio, cpu_ratio))
    columns = ("", "jld " + TIMING_COLUMNS[0], *TIMING_COLUMNS[1:])
    if theirs is not None:
        columns += ("torch " + TIMING_COLUMNS[0], *TIMING_COLUMNS[1:], "jld / torch", "in CPU time")
    title = (
        f"networks alone, no losses: batch {settings.size()}, {settings.steps} runs after {settings.warmup}"
    )
    return Report(title, columns, rows, facts)


def run_peer(settings: Settings, python: str) -> dict[str, Any] | None:
    """What `peer_torch.py` printed, or None where that interpreter has no torch.

    Raises:
        subprocess.CalledProcessError: torch is there but the program failed; its message is on stderr.
    """
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    if found.returncode:
        return None
    given = asdict(settings) | {"device": "cuda" if jt.flags.use_cuda else "cpu"}
    command = [python, str(PROGRAM), json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure_jld(settings: Settings) -> dict[str, Timing]:
    batch = random_batch(settings)
    images = jt.array(batch["images"])
    student = make_student(settings)
    teacher = make_distiller(settings, student).teacher
    params = student.trainable_parameters()

    def forward_backward() -> Any:
        outputs = student(images).predictions.values()
        return jt.grad(sum((x * x).mean() for x in outputs), params)

    def teacher_forward() -> Any:
        return teacher(images, None, batch["img_shapes"], None).predictions

    return {
        "student forward + backward": measure(forward_backward, settings.steps, settings.warmup),
        "teacher forward": measure(teacher_forward, settings.steps, settings.warmup),
    }
