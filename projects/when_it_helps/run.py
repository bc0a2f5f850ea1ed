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


# The published recipe for 2 images per GPU; that of short schedules with a quarter of its weights, and with
# either of its terms alone.
RECIPES = {
    "published": terms(0.5, 0.125, 10, "max_score"),
    "quarter": terms(3.0, 0.75, 1, "uniform"),
    "main_only": terms(12.0, 0.0, 1, "uniform"),
    "vlr_only": terms(0.0, 3.0, 1, "uniform"),
}
# {question: {condition: entry of the distilled student}}; "student_ld" is the quick start's. Names in braces
# stand for the AP of a teacher.
CONDITIONS = {
    "recipe": {
        "recipe for short schedules": "student_ld",
        "a quarter of its weights": "student_ld_quarter",
        "as published": "student_ld_published",
    },
    "region": {
        "main and valuable region": "student_ld",
        "main region alone": "student_ld_main_only",
        "valuable region alone": "student_ld_vlr_only",
    },
    "length": {
        "500 steps": "student_ld_2_epochs",
        "1000 steps": "student_ld",
        "2000 steps": "student_ld_8_epochs",
    },
    "start": {"half-trained": "student_ld", "random weights": "student_ld_from_random"},
    "teacher": {
        "AP {teacher:.1f}": "student_ld",
        "AP {teacher_4_epochs:.1f}": "student_ld_weak_teacher",
    },
    "boxes": {"off by 12 % of the side": "student_ld", "exact": "student_ld_exact"},
}


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

    if question in ("recipe", "region"):
        shared = dict(starts_from="start", gain_over="student", cost=0.8)
        names = {name: name.removeprefix("student_ld_") for name in CONDITIONS[question].values()}
        return [
            Entry(name, LD, "teacher", overrides=(RECIPES[own],), **shared)
            for name, own in names.items()
            if own in RECIPES
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


def bars(found, runs: list, questions: list[str], seeds: list[int]) -> dict:
    """{question: {condition with mean AP of the plain and of the distilled student: {"": gain}}}.

    Args:
        found: what `compare` returns for `runs`.
    """
    import numpy as np

    def mean(name: str) -> float:
        return 100 * float(np.mean([found.results[f"{name}_seed{seed}"]["AP"] for seed in seeds]))

    plain = {entry.name: entry.gain_over for entry in runs}
    teachers = {
        entry.name: 100 * found.results[entry.name]["AP"] for entry in runs if entry.config == TEACHER
    }
    return {
        question: {
            f"{label.format(**teachers)}\n{mean(plain[name]):.1f} → {mean(name):.1f}": {"": found.gains[name]}
            for label, name in CONDITIONS[question].items()
        }
        for question in questions
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    add_flags(parser, "work_dirs/quick_start", meaning="a finished quick start's runs are taken from it")
    return parser.parse_args()


@program
def main() -> None:
    """Trains what is missing, prints one table and draws it."""
    options = parse()
    from jld.apis import Entry, compare
    from jld.apis.comparison_pictures import draw_gains

    work_dir = prepare(options)
    runs = [
        Entry("teacher", TEACHER, seed=0),
        Entry("start", START, seed=0, cost=0.5),
        Entry("student", PLAIN, starts_from="start", cost=0.5),
        Entry("student_ld", LD, "teacher", starts_from="start", gain_over="student", cost=0.8),
    ]
    runs += [entry for question in options.questions for entry in entries(question)]
    found = compare(
        runs, work_dir, seeds=options.seeds, overrides=options.opts, metrics=["AP", "AP50", "AP75"]
    )
    panels = bars(found, runs, options.questions, options.seeds)
    print(f"figure: {draw_gains(panels, work_dir / 'when_it_helps.png', 'gain of LD in AP', columns=2)}")


if __name__ == "__main__":
    sys.exit(main())
