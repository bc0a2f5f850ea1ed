"""Trains teacher, plain and distilled students on BCCD and compares them; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", default="data/bccd", help="the BCCD folder (VOC layout); default: %(default)s"
    )
    add_flags(parser, "work_dirs/bccd", (0, 1, 2))
    return parser.parse_args()


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import Entry, compare

    work_dir = prepare(options)
    configs = HERE / "configs"
    entries = [
        Entry("teacher", str(configs / "gfl_teacher.py"), seed=0, cost=0.9),
        Entry("student", str(configs / "gfl_student.py"), cost=0.3),
        Entry("student_ld", str(configs / "ld_gfl_student.py"), "teacher", cost=0.6, gain_over="student"),
    ]
    data = [f"dataset.{split}.root={options.data}" for split in ("train", "val", "test")]
    overrides = [*data, *options.opts]
    compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=["AP", "AP50", "AP75"])


if __name__ == "__main__":
    sys.exit(main())
