"""Trains teacher, plain and distilled students of a detector with two stages and compares; see README.md."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

# {detector: scores that are compared}
SCORES = {"faster_rcnn": ["AP", "AP50", "AP75"], "mask_rcnn": ["AP", "segm_AP", "segm_AP75"]}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", choices=SCORES, help="faster_rcnn on BCCD, mask_rcnn on drawn scenes")
    parser.add_argument("--data", default="data/bccd", help="of faster_rcnn; default: %(default)s")
    add_flags(parser, "work_dirs/two_stage", (0, 1, 2))
    return parser.parse_args()


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import Entry, compare

    kind = options.detector
    work_dir = prepare(options, Path(options.work_dir) / kind)
    configs = {
        name: str(HERE / f"configs/{name}.py") for name in (f"{kind}_student", f"crosskdpkd_{kind}_student")
    }
    plain, distilled = configs.values()
    entries = [
        Entry("teacher", str(HERE / f"configs/{kind}_teacher.py"), seed=0, cost=0.9),
        Entry("student", plain, cost=0.3),
        Entry("distilled", distilled, taught_by="teacher", gain_over="student", cost=0.5),
    ]
    data = [f"dataset.{split}.root={options.data}" for split in ("train", "val", "test")]
    overrides = [*(data if kind == "faster_rcnn" else []), *options.opts]
    compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=SCORES[kind])


if __name__ == "__main__":
    sys.exit(main())
