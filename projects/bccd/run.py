"""Trains teacher, plain and distilled students on BCCD and compares them; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.errors import JldError


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", default="data/bccd", help="the BCCD folder (VOC layout); default: %(default)s"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the students; default: 0 1 2"
    )
    parser.add_argument("--work_dir", default="work_dirs/bccd", help="default: %(default)s")
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides for all runs"
    )
    return parser.parse_args()


def main() -> int:
    """Runs the comparison; returns the exit code."""
    options = parse()
    from jld.apis import Entry, compare, register_parts, use_device
    from jld.utils.logging import set_up_logging

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    set_up_logging(Path(options.work_dir) / "log.txt")
    configs = HERE / "configs"
    entries = [
        Entry("teacher", str(configs / "gfl_teacher.py"), seed=0, cost=0.9),
        Entry("student", str(configs / "gfl_student.py"), cost=0.3),
        Entry("student_ld", str(configs / "ld_gfl_student.py"), "teacher", cost=0.6, gain_over="student"),
    ]
    data = [f"dataset.{split}.root={options.data}" for split in ("train", "val", "test")]
    try:
        compare(
            entries,
            options.work_dir,
            seeds=options.seeds,
            overrides=[*data, *options.opts],
            metrics=["AP", "AP50", "AP75"],
        )
    except JldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
