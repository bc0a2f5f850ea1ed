"""Trains the quick start's students under other conditions, one at a time; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

TEACHER, PLAIN, LD = (
    str(ROOT / f"configs/quick_start/{name}.py")
    for name in ("noisy_gfl_teacher", "noisy_gfl_student", "ld_noisy_gfl_student")
)


def terms(main: float, vlr: float, temperature: int, weighting: str) -> str:
    """Main LD and VLR LD, as an override."""
    shared = f"type: LocalizationKD, temperature: {temperature}, reduction: per_image"
    return (
        f"distill.terms=[{{{shared}, region: main, weight: {main}, weighting: {weighting}}},"
        f" {{{shared}, region: vlr, weight: {vlr}, weighting: iou}}]"
    )


# The published recipe for 2 images per GPU, and a quarter of that of short schedules.
RECIPES = {"published": terms(0.5, 0.125, 10, "max_score"), "quarter": terms(3.0, 0.75, 1, "uniform")}


def epochs(count: int) -> tuple[str, ...]:
    """Overrides of a training of so many epochs, with the drops where the quick start has them."""
    milestones = [round(count * share) for share in (6 / 8, 7 / 8)]
    lengths = [f"{key}={count}" for key in ("max_epoch", "eval_interval", "checkpoint_interval")]
    return (*lengths, f"scheduler.milestones={milestones}")


def entries(question: str) -> list:
    """The runs that answer a question, beside the quick start's own."""
    from jld.apis import Entry

    def both(name: str, overrides: tuple[str, ...], teacher: str = "teacher", **more: str) -> list[Entry]:
        plain, taught = f"student_{name}", f"student_ld_{name}"
        return [
            Entry(plain, PLAIN, overrides=overrides, **more),
            Entry(taught, LD, teacher, overrides=overrides, gain_over=plain, cost=1.5, **more),
        ]

    if question == "recipe":
        return [
            Entry(f"student_ld_{name}", LD, "teacher", overrides=(own,), gain_over="student", cost=1.5)
            for name, own in RECIPES.items()
        ]
    if question == "length":
        return both("4_epochs", epochs(4))
    if question == "start":
        begun = Entry("begun", PLAIN, overrides=(*epochs(5), "scheduler.milestones=[]"))
        return [begun, *both("going_on", epochs(4), starts_from="begun")]
    exact = ("dataset.train.box_noise=0.0",)
    teacher = Entry("teacher_exact", TEACHER, seed=0, cost=4.0, overrides=exact)
    return [teacher, *both("exact", exact, "teacher_exact")]


QUESTIONS = ("recipe", "length", "start", "boxes")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    add_flags(parser, "work_dirs/quick_start", meaning="a finished quick start's runs are taken from it")
    return parser.parse_args()


@program
def main() -> None:
    """Trains what is missing and prints one table."""
    options = parse()
    from jld.apis import Entry, compare

    work_dir = prepare(options)
    runs = [
        Entry("teacher", TEACHER, seed=0, cost=4.0),
        Entry("student", PLAIN),
        Entry("student_ld", LD, "teacher", gain_over="student", cost=1.5),
    ]
    runs += [entry for question in options.questions for entry in entries(question)]
    compare(runs, work_dir, seeds=options.seeds, overrides=options.opts, metrics=["AP", "AP50", "AP75"])


if __name__ == "__main__":
    sys.exit(main())
