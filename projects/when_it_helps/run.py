"""Trains the quick start's students under other conditions, one at a time; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

TEACHER, START, PLAIN, LD = (
    str(ROOT / f"configs/quick_start/{name}.py")
    for name in ("noisy_gfl_teacher", "noisy_gfl_start", "noisy_gfl_student", "ld_noisy_gfl_student")
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
    """Overrides of a training of so many epochs, with the drop where the quick start's student has it."""
    lengths = [f"{key}={count}" for key in ("max_epoch", "eval_interval", "checkpoint_interval")]
    return (*lengths, f"scheduler.milestones=[{round(count * 3 / 4)}]")


def entries(question: str) -> list:
    """The runs that answer a question, beside the quick start's own."""
    from jld.apis import Entry

    def both(
        name: str, overrides: tuple[str, ...], teacher: str = "teacher", start: str | None = "start"
    ) -> list[Entry]:
        plain, taught = f"student_{name}", f"student_ld_{name}"
        shared = dict(overrides=overrides, starts_from=start)
        return [
            Entry(plain, PLAIN, cost=0.5, **shared),
            Entry(taught, LD, teacher, gain_over=plain, cost=0.8, **shared),
        ]

    if question == "recipe":
        shared = dict(starts_from="start", gain_over="student", cost=0.8)
        return [
            Entry(f"student_ld_{name}", LD, "teacher", overrides=(own,), **shared)
            for name, own in RECIPES.items()
        ]
    if question == "length":
        return both("2_epochs", epochs(2)) + both("8_epochs", epochs(8))
    if question == "start":
        return both("from_random", epochs(6), start=None)
    if question == "teacher":
        teacher = Entry("teacher_4_epochs", TEACHER, seed=0, overrides=epochs(4))
        taught = Entry(
            "student_ld_weak_teacher", LD, teacher.name, starts_from="start", gain_over="student", cost=0.8
        )
        return [teacher, taught]
    exact = ("dataset.train.box_noise=0.0",)
    teacher = Entry("teacher_exact", TEACHER, seed=0, overrides=exact)
    start = Entry("start_exact", START, seed=0, cost=0.5, overrides=exact)
    return [teacher, start, *both("exact", exact, teacher.name, start.name)]


QUESTIONS = ("recipe", "length", "start", "teacher", "boxes")


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
        Entry("teacher", TEACHER, seed=0),
        Entry("start", START, seed=0, cost=0.5),
        Entry("student", PLAIN, starts_from="start", cost=0.5),
        Entry("student_ld", LD, "teacher", starts_from="start", gain_over="student", cost=0.8),
    ]
    runs += [entry for question in options.questions for entry in entries(question)]
    compare(runs, work_dir, seeds=options.seeds, overrides=options.opts, metrics=["AP", "AP50", "AP75"])


if __name__ == "__main__":
    sys.exit(main())
