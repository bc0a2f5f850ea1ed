"""One training step of every distillation method beside the plain student's, in turns within one process."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from jld.config import load_config, to_plain
from jld.errors import one_of
from jld.runner.loop import TrainingLoop
from projects.benchmark.alternate import JLD, Task, alternate
from projects.benchmark.clock import timing_between
from projects.benchmark.report import Report
from projects.benchmark.scene import BASE, Settings, distiller_of, make_student, random_batch
from projects.benchmark.train import STEP, make_loop, run_steps

PLAIN = "plain step"
# Short turns: other work on the machine meets both.
TURN = 2
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "LD": ("ld/ldfull_gfl_r50_from_r101_1x_coco", ("LocalizationKD",)),
    "KD": ("ld/ldfull_gfl_r50_from_r101_1x_coco", ("ClassificationKD",)),
    "LD+KD": ("ld/ldfull_gfl_r50_from_r101_1x_coco", ()),
    "CrossKD": ("crosskd/crosskd_gfl_r50_from_r101_1x_coco", ()),
    "CrossKD+PKD": ("crosskd/crosskdpkd_gfl_r50_from_r101_1x_coco", ()),
    "PKD": ("pkd/pkd_gfl_r50_from_r101_1x_coco", ()),
    "BCKD": ("bckd/bckd_gfl_r50_from_r101_1x_coco", ()),
    "FGD": ("fgd/fgd_gfl_r50_from_r101_1x_coco", ()),
    "MGD": ("mgd/mgd_gfl_r50_from_r101_1x_coco", ()),
    "CWD": ("cwd/cwd_gfl_r50_from_r101_1x_coco", ()),
    "FeatureImitation": ("imitation/mainregion_gfl_r50_from_r101_1x_coco", ()),
    "GID": ("imitation/gid_retinanet_r50_from_r101_2x_coco", ()),
    "FBKD": ("imitation/fbkd_retinanet_r50_from_r101_2x_coco", ()),
    "DeFeat": ("imitation/defeat_retinanet_r50_from_r101_2x_coco", ()),
    "FGFI": ("imitation/fgfi_retinanet_r50_from_r101_2x_coco", ()),
    "PFI": ("imitation/pfi_retinanet_r50_from_r101_2x_coco", ()),
    "LGD": ("lgd/lgd_gfl_r50_1x_coco", ()),
}
"""{method: config in configs/ whose `distill` section it is, kinds of the terms that count (empty: all)}."""
COLUMNS = ("", "terms", "step, CPU ms", "plain step, CPU ms", "ratio", "own parameters, M")


def benchmark_methods(settings: Settings, methods: Sequence[str] | None = None) -> Report:
    """What a step costs with the terms of each method's published config, all on the same pair of detectors.

    Every method is measured in turn with the plain step of the same detector. The forward pass of a frozen
    teacher is part of all steps but LGD's: by itself it takes other time than within a step.

    Args:
        settings: sizes.
        methods: keys of `METHODS`; None for all.
    Raises:
        ConfigError: an unknown method.
    """
    for name in methods or ():
        one_of(name, METHODS, f"--methods: unknown method {name!r}")
    batch = random_batch(settings)
    tasks = {PLAIN: _steps(PLAIN, make_loop(make_student(settings), None, batch))}
    tasks[PLAIN](settings.warmup)
    rows = [_row(name, settings, batch, tasks) for name in methods or METHODS]
    title = (
        f"a training step of each method: {settings.pair()}, {settings.size()}, {settings.boxes} objects per "
        f"image, {settings.num_classes} classes, {settings.steps} steps after {settings.warmup}"
    )
    return Report(title, COLUMNS, rows)


def _steps(name: str, loop: TrainingLoop) -> Task:
    return lambda count: {name: timing_between(run_steps(loop, count))}


def _row(name: str, settings: Settings, batch: dict[str, Any], others: dict[str, Task]) -> tuple:
    """The cells of `COLUMNS` of one method; what it holds is freed at the end."""
    student = make_student(settings)
    distiller = distiller_of(section_of(name), settings, student)
    tasks = others | {STEP: _steps(STEP, make_loop(student, distiller, batch))}
    times = alternate(tasks, {}, settings, warm=others, window=TURN)[JLD]
    own = sum(prod(x.shape) for module in distiller.modules().values() for x in module.parameters())
    kinds = ", ".join(dict.fromkeys(type(term).__name__ for term in distiller.terms))
    step, plain = times[STEP].cpu_median, times[PLAIN].cpu_median
    return (name, kinds, step, plain, step / plain, own / 1e6)


def section_of(name: str) -> dict[str, Any]:
    """The `distill` section of a method's config, with the terms that count."""
    file, kinds = METHODS[name]
    section = to_plain(load_config(BASE.parent / f"{file}.py"))["distill"]
    section["terms"] = [term for term in section["terms"] if not kinds or term["type"] in kinds]
    return section
