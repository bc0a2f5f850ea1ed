"""Trains teacher, plain and distilled students of a detector with two stages and compares; see README.md."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.errors import JldError

# {detector: scores that are compared}
SCORES = {"faster_rcnn": ["AP", "AP50", "AP75"], "mask_rcnn": ["AP", "segm_AP", "segm_AP75"]}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", choices=SCORES, help="faster_rcnn on BCCD, mask_rcnn on drawn scenes")
    parser.add_argument("--data", default="data/bccd", help="of faster_rcnn; default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the students")
    parser.add_argument("--work_dir", default="work_dirs/two_stage", help="default: %(default)s")
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

    kind, work_dir = options.detector, Path(options.work_dir) / options.detector
    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    set_up_logging(work_dir / "log.txt")
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
    try:
        overrides = [*(data if kind == "faster_rcnn" else []), *options.opts]
        compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=SCORES[kind])
    except JldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
