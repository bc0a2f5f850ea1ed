"""The main job on a dataset that draws itself: a teacher, and a student without it and with it, compared.

The boxes of the training images are as far off as a hurried annotator's; those of the validation images are
right. Ends with one table and one picture in the work folder; started again, it continues where it was. With
--oriented the images are aerial scenes with thin rotated objects, and the detectors are rotated ones. A
single seed shows that the parts work together; what distillation gives is the mean over several seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program
from jld.config import shipped_configs


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--oriented", action="store_true", help="rotated boxes and detectors")
    where = "default: work_dirs/quick_start, with --oriented work_dirs/quick_start_oriented"
    add_flags(parser, None, meaning=where)
    return parser.parse_args(words)


@program
def main(words: Sequence[str] | None = None) -> None:
    """Runs the comparison."""
    options = parse(words)
    from jld.apis import compare

    detector, folder = (
        ("rotated", "quick_start_oriented") if options.oriented else ("noisy_gfl", "quick_start")
    )
    work_dir = prepare(options, options.work_dir or f"work_dirs/{folder}")
    metrics = ["AP", "AP50", "AP75"]
    compare(entries(detector), work_dir, seeds=options.seeds, overrides=options.opts, metrics=metrics)


def entries(detector: str) -> list:
    """The runs: one teacher, and of every seed a student without it and those that it teaches."""
    from jld.apis import Entry

    def config(name: str) -> str:
        return str(shipped_configs() / "quick_start" / f"{name}.py")

    # Costs are seconds per step of the runs, measured on one core.
    taught = dict(taught_by="teacher", gain_over="student", cost=0.08)
    teacher = Entry("teacher", config(f"{detector}_teacher"), seed=0, cost=0.11)
    if detector == "rotated":
        return [
            teacher,
            Entry("student", config("rotated_student"), cost=0.06),
            Entry("student_ld", config("ld_rotated_student"), **taught),
        ]
    return [
        teacher,
        Entry("start", config("noisy_gfl_start"), seed=0, cost=0.06),
        Entry("student", config("noisy_gfl_student"), starts_from="start", cost=0.06),
        Entry("student_ld", config("ld_noisy_gfl_student"), starts_from="start", **taught),
        Entry(
            "student_ld_imitation", config("ld_imitation_noisy_gfl_student"), starts_from="start", **taught
        ),
    ]
