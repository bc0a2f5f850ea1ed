"""Trains one student with every distillation method and the same teacher; see README.md beside this file."""

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from jld.apis.comparison_options import add_flags, prepare
from jld.apis.program import program

# {dataset: (teacher, student with the paper's three terms, seconds per step of a plain and a distilled one)}
DATASETS = {
    "drawn": ("configs/quick_start/gfl_teacher.py", "configs/quick_start/ld_gfl_student.py", 0.17, 0.35),
    "bccd": ("projects/bccd/configs/gfl_teacher.py", "projects/bccd/configs/ld_gfl_student.py", 0.3, 0.6),
}
# Ten places of each level for a whole batch, where `gi` has ten for every image.
REGIONS = {"gi_released": dict(type="GeneralInstance", thinning="batch")}
TEACHER_COST = {"drawn": 0.45, "bccd": 0.9}


def imitation(region: str, weight: float = 2.0) -> dict:
    """Feature imitation in a region with the released weight and reduction."""
    return dict(type="FeatureImitation", region=region, weight=weight, reduction="per_level_mean")


def methods(logit_terms: list[dict]) -> dict[str, list[dict]]:
    """{method: terms}, of the logit terms main LD, VLR LD and main KD in this order."""
    feature = {
        "FitNets": [imitation("all")],
        "Inside GT box": [imitation("inside_gt")],
        "Main region": [imitation("main")],
        "Fine-grained": [imitation("fine_grained")],
        "DeFeat": [imitation("inside_gt", 1.0), imitation("background", 2.0)],
        "GI imitation": [imitation("gi")],
        "GI imitation, released": [imitation("gi_released")],
        "GI imitation, released, weight 0.2": [imitation("gi_released", 0.2)],
        "FGFI": [dict(type="FGFI")],
        # The blocks of the published five levels, as far as the students here have them.
        "FBKD": [dict(type="FBKD", inner_channels=[64, 64, 128], pooling=[8, 4, 2], images_per_norm=2)],
        "GID": [dict(type="GID")],
        "PFI with rank mimicking": [dict(type="RankMimicking"), dict(type="PFI")],
    }
    logit = {
        "Main LD": logit_terms[:1],
        "Main LD + VLR LD": logit_terms[:2],
        "Ours": logit_terms,
        "Ours + GI imitation": [*logit_terms, imitation("gi")],
    }
    return {"none": [], **feature, **logit}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=DATASETS, default="drawn", help="default: %(default)s")
    parser.add_argument("--data", default="data/bccd", help="folder of bccd; default: %(default)s")
    parser.add_argument("--methods", nargs="+", help="only these; default: all")
    add_flags(parser, None, (0, 1, 2), meaning="default: work_dirs/logit_vs_feature/DATASET")
    return parser.parse_args()


def write_configs(dataset: str, chosen: list[str] | None, folder: Path) -> dict[str, Path]:
    """{method: its config file}; each is the dataset's distilled student with other terms.

    Raises:
        ConfigError: unknown method.
    """
    from jld.config import Config, dump_config, load_config
    from jld.errors import ConfigError, suggestion

    base = load_config(ROOT / DATASETS[dataset][1])
    every = methods([dict(term) for term in base.distill.terms])
    for name in chosen or ():
        if name not in every:
            raise ConfigError(f"unknown method {name!r}: {suggestion(name, every)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in chosen or every:
        config = Config(base)
        distill = {**base.distill, "terms": every[name], "regions": REGIONS}
        config.distill = Config(distill) if every[name] else None
        written[name] = folder / f"{slug(name)}.py"
        dump_config(config, written[name])
    return written


def slug(method: str) -> str:
    """A method's name as a file name."""
    return re.sub(r"\W+", "_", method.lower())


@program
def main() -> None:
    """Runs the comparison."""
    options = parse()
    from jld.apis import Entry, compare

    work_dir = prepare(options, options.work_dir or f"work_dirs/logit_vs_feature/{options.dataset}")
    teacher, _, plain_cost, cost = DATASETS[options.dataset]
    splits = ("train", "val", "test") if options.dataset == "bccd" else ()
    overrides = [f"dataset.{split}.root={options.data}" for split in splits] + options.opts
    configs = write_configs(options.dataset, options.methods, work_dir / "configs")
    entries = [Entry("teacher", str(ROOT / teacher), seed=0, cost=TEACHER_COST[options.dataset])]
    base = "none" if "none" in configs else None
    for name, path in configs.items():
        taught = dict(taught_by="teacher", cost=cost, gain_over=base)
        entries.append(Entry(slug(name), str(path), **(dict(cost=plain_cost) if name == "none" else taught)))
    compare(entries, work_dir, seeds=options.seeds, overrides=overrides, metrics=["AP", "AP50", "AP75"])


if __name__ == "__main__":
    sys.exit(main())
