"""Trains the quick start's students under other conditions, one at a time; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from jld.errors import JldError

TEACHER, PLAIN, LD = (
    str(ROOT / f"configs/quick_start/{name}.py") for name in ("gfl_teacher", "gfl_student", "ld_gfl_student")
)
# The recipe of short schedules with other weights, and the one of published schedules.
WEIGHTS = {"quarter": (3.0, 0.75), "double": (24.0, 6.0)}
PUBLISHED = (
    "distill.terms=[{type: LocalizationKD, region: main, weight: 0.5, temperature: 10, weighting: max_score,"
    " reduction: per_image}, {type: LocalizationKD, region: vlr, weight: 0.125, temperature: 10,"
    " weighting: iou, reduction: per_image}]"
)


def weighted(main: float, vlr: float) -> str:
    """The recipe's terms with other weights, as an override."""
    return (
        f"distill.terms=[{{type: LocalizationKD, region: main, weight: {main}, temperature: 1,"
        f" weighting: uniform, reduction: per_image}}, {{type: LocalizationKD, region: vlr, weight: {vlr},"
        " temperature: 1, weighting: iou, reduction: per_image}]"
    )


def epochs(count: int) -> tuple[str, ...]:
    """Overrides of a training of so many epochs, with the drops where the quick start has them."""
    milestones = [round(count * share) for share in (6 / 8, 7 / 8)]
    return (f"max_epoch={count}", f"scheduler.milestones={milestones}", f"eval_interval={count}")


def entries(question: str) -> list:
    """The runs that answer a question, beside the quick start's own."""
    from jld.apis import Entry

    def pair(name: str, overrides: tuple[str, ...], teacher: str = "teacher", **more: str) -> list[Entry]:
        plain, taught = f"student_{name}", f"student_ld_{name}"
        return [
            Entry(plain, PLAIN, overrides=overrides, **more),
            Entry(taught, LD, teacher, overrides=overrides, gain_over=plain, cost=1.5, **more),
        ]

    if question == "weight":
        recipes = {"published": PUBLISHED} | {name: weighted(*pair) for name, pair in WEIGHTS.items()}
        return [
            Entry(f"student_ld_{name}", LD, "teacher", overrides=(terms,), gain_over="student", cost=1.5)
            for name, terms in recipes.items()
        ]
    if question == "length":
        return pair("4_epochs", epochs(4)) + pair("16_epochs", epochs(16))
    if question == "start":
        begun = Entry("begun", PLAIN, overrides=(*epochs(5), "scheduler.milestones=[]"))
        return [begun, *pair("going_on", epochs(4), starts_from="begun")]
    runs = []
    for noise in (0.0,):
        data, teacher = (f"dataset.train.box_noise={noise}",), f"teacher_noise_{noise}"
        runs += [
            Entry(teacher, TEACHER, seed=0, cost=4.0, overrides=data),
            *pair(f"noise_{noise}", data, teacher),
        ]
    return runs


QUESTIONS = ("weight", "length", "start", "noise")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the students; default: 0")
    parser.add_argument(
        "--work_dir", default="work_dirs/quick_start", help="a finished quick start's runs are taken from it"
    )
    parser.add_argument("--no_cuda", action="store_true", help="run on the CPU where a GPU is usable")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY=VALUE", help="config overrides for all runs"
    )
    return parser.parse_args()


def main() -> int:
    """Trains what is missing and prints one table; returns the exit code."""
    options = parse()
    from jld.apis import Entry, compare, register_parts, use_device
    from jld.utils.logging import set_up_logging

    register_parts()
    use_device("cpu" if options.no_cuda else "auto")
    set_up_logging(Path(options.work_dir) / "log.txt")
    runs = [
        Entry("teacher", TEACHER, seed=0, cost=4.0),
        Entry("student", PLAIN),
        Entry("student_ld", LD, "teacher", gain_over="student", cost=1.5),
    ]
    runs += [entry for question in options.questions for entry in entries(question)]
    try:
        compare(
            runs,
            options.work_dir,
            seeds=options.seeds,
            overrides=options.opts,
            metrics=["AP", "AP50", "AP75"],
        )
    except JldError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
