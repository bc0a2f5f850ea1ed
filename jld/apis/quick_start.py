"""The main job on a dataset that draws itself: a teacher, a plain student and a distilled student, compared.

Ends with one table and one picture in the work folder. On two CPU cores it takes under 20 minutes, the
first-time compilation included; started again, it continues where it was. With --oriented the images are
aerial scenes with thin rotated objects, and the detectors are rotated ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jld.config import shipped_configs
from jld.errors import JldError


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--oriented", action="store_true", help="rotated boxes and detectors")
    parser.add_argument(
        "--work_dir", help="default: work_dirs/quick_start, with --oriented work_dirs/quick_start_oriented"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights, data order and augmentation; default 0"
    )
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides for all three runs"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Runs the comparison; returns the exit code."""
    options = parse(words)
    from jld.apis import Entry, compare, register_parts, use_device
    from jld.utils.logging import set_up_logging

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    detector, folder = ("rotated", "quick_start_oriented") if options.oriented else ("gfl", "quick_start")
    work_dir = Path(options.work_dir or f"work_dirs/{folder}")
    set_up_logging(work_dir / "log.txt")
    configs = shipped_configs() / "quick_start"
    # Costs are seconds per step of the three runs, measured on two cores.
    entries = [
        Entry("teacher", str(configs / f"{detector}_teacher.py"), cost=0.45),
        Entry("student", str(configs / f"{detector}_student.py"), cost=0.17),
        Entry("student_ld", str(configs / f"ld_{detector}_student.py"), taught_by="teacher", cost=0.35),
    ]
    try:
        compare(entries, work_dir, seed=options.seed, overrides=options.opts)
    except JldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
