"""Rotated LD on thermal drone images: teachers, plain and distilled students; see README.md."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.errors import JldError

DETECTORS = {"retinanet": "hit_uav", "gwd": "hit_uav_gwd"}
# {what is distilled: which terms of the distilled student's config}
METHODS = {"ld": slice(1), "kd": slice(1, 2), "ld_kd": slice(2)}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/hit_uav_vehicles", help="default: %(default)s")
    parser.add_argument("--split", default="test", choices=["val", "test"], help="flights to be scored on")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the students")
    parser.add_argument("--work_dir", default="work_dirs/hit_uav", help="default: %(default)s")
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides for all runs"
    )
    return parser.parse_args()


def entries(detector: str) -> list:
    """A teacher, and of every seed a plain student and one of each method."""
    from jld.apis import Entry
    from jld.config import load_config

    name, folder = DETECTORS[detector], HERE / "configs"
    taught = folder / f"ld_{name}_student.py"
    terms = [dict(term) for term in load_config(taught).distill.terms]
    student, teacher = f"{detector}_student", f"{detector}_teacher"
    plain = [
        Entry(teacher, str(folder / f"{name}_teacher.py"), seed=0, cost=1.0),
        Entry(student, str(folder / f"{name}_student.py"), cost=0.3),
    ]
    return plain + [
        Entry(
            f"{student}_{method}", str(taught), teacher, cost=0.5, gain_over=student,
            overrides=(f"distill.terms={terms[chosen]}",),
        )
        for method, chosen in METHODS.items()
    ]  # fmt: skip


def main() -> int:
    """Runs the comparison; returns the exit code."""
    options = parse()
    from jld.apis import compare, register_parts, use_device
    from jld.utils.logging import set_up_logging

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    set_up_logging(Path(options.work_dir) / "log.txt")
    data = [
        f"dataset.{split}.dataset_dir={options.data}/{folder}"
        for split, folder in (("train", "train"), ("val", options.split), ("test", options.split))
    ]
    try:
        compare(
            [entry for detector in options.detectors for entry in entries(detector)],
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
