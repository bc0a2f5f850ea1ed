"""Rotated LD on thermal drone images: teachers, plain and distilled students; see README.md."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

DETECTORS = {"retinanet": "hit_uav", "gwd": "hit_uav_gwd"}
# Without the Wasserstein distance a student of random weights finds little by the end of this short training.
STARTS = {"retinanet": "hit_uav_start.py"}
# {what is distilled: which terms of the distilled student's config}
METHODS = {"ld": slice(1), "kd": slice(1, 2), "ld_kd": slice(2)}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data/hit_uav_vehicles", help="default: %(default)s")
    parser.add_argument("--split", default="test", choices=["val", "test"], help="flights to be scored on")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    add_flags(parser, "work_dirs/hit_uav", (0, 1, 2))
    return parser.parse_args()


def entries(detector: str, methods: list[str]) -> list:
    """A teacher, what students start from, and of every seed a plain student and one of each method."""
    from jld.apis import Entry
    from jld.config import load_config

    name, folder = DETECTORS[detector], HERE / "configs"
    taught = folder / f"ld_{name}_student.py"
    terms = [dict(term) for term in load_config(taught).distill.terms]
    student, teacher, start = f"{detector}_student", f"{detector}_teacher", None
    runs = [Entry(teacher, str(folder / f"{name}_teacher.py"), seed=0, cost=0.6)]
    if detector in STARTS:
        start = f"{detector}_start"
        runs.append(Entry(start, str(folder / STARTS[detector]), seed=0, cost=0.25))
    runs.append(Entry(student, str(folder / f"{name}_student.py"), starts_from=start, cost=0.25))
    return runs + [
        Entry(
            f"{student}_{method}", str(taught), teacher, starts_from=start, cost=0.4, gain_over=student,
            overrides=(f"distill.terms={terms[chosen]}",),
        )
        for method, chosen in METHODS.items()
        if method in methods
    ]  # fmt: skip


def view_of(img_id: str) -> str:
    """Day or night, altitude, pitch and weather, a name but for its frame: such images are of one flight."""
    return img_id.rsplit("_", 1)[0]


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import compare

    work_dir = prepare(options)
    data = [
        f"dataset.{split}.dataset_dir={options.data}/{folder}"
        for split, folder in (("train", "train"), ("val", options.split), ("test", options.split))
    ]
    compare(
        [run for detector in options.detectors for run in entries(detector, options.methods)],
        work_dir,
        seeds=options.seeds,
        overrides=[*data, *options.opts],
        metrics=["AP", "AP50", "AP75"],
        group_of=view_of,
    )


if __name__ == "__main__":
    sys.exit(main())
