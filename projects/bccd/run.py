"""Trains teacher, plain and distilled students on BCCD and compares them; see README.md beside this file."""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

EPOCHS = 16  # of the students' config


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", default="data/bccd", help="the BCCD folder (VOC layout); default: %(default)s"
    )
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[], metavar="EPOCHS",
        help="plain student and all three terms for so many epochs, too, and a figure of the gain",
    )  # fmt: skip
    add_flags(parser, "work_dirs/bccd", (0, 1, 2))
    return parser.parse_args()


def imitation(region: str) -> dict:
    """Feature imitation in a region with the released weight and reduction."""
    return dict(type="FeatureImitation", region=region, weight=2.0, reduction="per_level_mean")


def methods() -> dict[str, list[dict]]:
    """{name: terms}, out of the three of the distilled student's config: main LD, VLR LD, main KD; `short_ld`
    is LD as recommended for short schedules.
    """
    from jld.config import load_config

    def terms_of(config: str) -> list[dict]:
        return [dict(term) for term in load_config(HERE / f"configs/{config}.py").distill.terms]

    terms = terms_of("ld_gfl_student")
    return {
        "main_ld": terms[:1],
        "main_vlr_ld": terms[:2],
        "ours": terms,
        "short_ld": terms_of("short_ld_gfl_student"),
        "fitnets": [imitation("all")],
        "main_imitation": [imitation("main")],
        "ours_gi": [*terms, imitation("gi")],
    }


def entries(lengths: list[int]) -> list:
    """A teacher, and of every seed a plain student and one of each method; two more of each other length."""
    from jld.apis import Entry

    teacher, plain, taught = (
        str(HERE / f"configs/{name}.py") for name in ("gfl_teacher", "gfl_student", "ld_gfl_student")
    )

    def distilled(name: str, *overrides: str, over: str = "student", cost: float = 0.6) -> Entry:
        return Entry(name, taught, "teacher", cost=cost, gain_over=over, overrides=overrides)

    runs = [Entry("teacher", teacher, seed=0, cost=0.9), Entry("student", plain, cost=0.3)]
    runs += [distilled(name, f"distill.terms={terms}") for name, terms in methods().items()]
    for length in sorted(set(lengths) - {EPOCHS}):
        longer = (
            *(f"{key}={length}" for key in ("max_epoch", "eval_interval", "checkpoint_interval")),
            f"scheduler.milestones={[round(length * share) for share in (12 / 16, 14 / 16)]}",
        )
        name = f"student_{length}_epochs"
        runs += [
            Entry(name, plain, cost=0.3, overrides=longer),
            distilled(f"ours_{length}_epochs", *longer, over=name),
        ]
    return runs


def draw_lengths(results: dict, seeds: list[int], lengths: list[int], file: Path) -> Path:
    """Draws AP and AP75 of the plain and the distilled student against the epochs, with deviations.

    Args:
        results: {run: metrics} as `compare` returns it.
        file: .png to write.
    """
    import numpy as np

    from jld.visualization.figures import make_figure, write_figure

    figure, lengths = make_figure(8.0, 3.4), sorted({*lengths, EPOCHS})
    for axis, metric in zip(figure.subplots(1, 2), ("AP", "AP75"), strict=True):
        for kind in ("student", "ours"):
            names = [kind if length == EPOCHS else f"{kind}_{length}_epochs" for length in lengths]
            scores = 100 * np.array(
                [[results[f"{name}_seed{seed}"][metric] for seed in seeds] for name in names]
            )
            deviations = scores.std(1, ddof=1) if len(seeds) > 1 else None
            axis.errorbar(lengths, scores.mean(1), deviations, marker="o", capsize=3, label=kind)
        axis.axhline(100 * results["teacher"][metric], color="grey", linestyle=":", label="teacher")
        axis.set(xlabel="epochs", title=metric)
        axis.legend()
    return write_figure(file, figure, dpi=100)


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import compare

    work_dir = prepare(options)
    data = [f"dataset.{split}.root={options.data}" for split in ("train", "val", "test")]
    results = compare(
        entries(options.lengths),
        work_dir,
        seeds=options.seeds,
        overrides=[*data, *options.opts],
        metrics=["AP", "AP50", "AP75"],
    ).results
    if options.lengths:
        print(f"figure: {draw_lengths(results, options.seeds, options.lengths, work_dir / 'lengths.png')}")


if __name__ == "__main__":
    sys.exit(main())
