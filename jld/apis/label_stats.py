"""Prints and draws what labels look like: classes, sizes, aspect ratios, objects per image, angles.

Usage: python tools/label_stats.py --from yolo data/mine --out stats.png
       python tools/label_stats.py configs/ld/ld_gfl_r18_from_r101_1x_coco.py train
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jld.data  # noqa: F401  registers the datasets and transforms
from jld.apis.convert_labels import add_source, source_of
from jld.config import LOADER_KEYS, import_parts, load_config
from jld.data.check import check_dataset
from jld.data.dataset import DetectionDataset
from jld.data.label_sources import ROTATED
from jld.data.label_statistics import LabelStatistics
from jld.data.problems import listing
from jld.errors import ConfigError, DataError, JldError, suggestion
from jld.registry import build

CONFIG_SUFFIXES = (".py", ".yaml", ".yml")


def label_stats(dataset: DetectionDataset, out: Path | None = None) -> str:
    """The account of a dataset and the table of its labels; a picture of them in `out`."""
    if dataset.table is None:
        raise DataError(f"{type(dataset).__name__} has no labels to count.")
    found = LabelStatistics.of(dataset)
    if out is not None:
        # Imported here: matplotlib takes a second.
        from jld.visualization.canvas import write_image
        from jld.visualization.label_statistics import draw_label_statistics

        picture = draw_label_statistics(
            found.classes, found.labels, found.sides, found.objects_per_image, found.angles
        )
        write_image(out, picture)
    problems = check_dataset(dataset)
    findings = f"\nfindings:\n{listing(problems)}" if problems else ""
    return f"{dataset.account().describe()}\n\n{found.table()}{findings}"


def dataset_of_config(file: Path, split: str) -> DetectionDataset:
    """The dataset of one split of a config, as training or evaluation reads it.

    Raises:
        ConfigError: the config has no such split.
    """
    config = load_config(file)
    import_parts(config.get("imports"))
    sections = config.get("dataset") or {}
    if not sections.get(split):
        raise ConfigError(f"{file} has no dataset.{split}: {suggestion(split, sections)}")
    loader_keys = {key.name for key in LOADER_KEYS}
    section = {key: value for key, value in sections[split].items() if key not in loader_keys}
    return build(section | {"transforms": []}, path=f"dataset.{split}")


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add_source(made, is_needed=False)
    made.add_argument("split", nargs="?", default="train", help="of a config (default: train)")
    made.add_argument("--out", type=Path, metavar="FILE", help="picture to write, such as stats.png")
    return made


def main(argv: list[str] | None = None) -> int:
    """0 when all is printed, 1 after an error that a user can mend."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.source.suffix in CONFIG_SUFFIXES and not arguments.format:
            dataset = dataset_of_config(arguments.source, arguments.split)
        elif not arguments.format:
            raise ConfigError(f"{arguments.source}: give a config, or the format of the labels with --from.")
        else:
            rotated = arguments.boxes == "rotated" or (not arguments.boxes and arguments.format in ROTATED)
            dataset, _ = source_of(arguments).read(rotated=rotated)
        print(label_stats(dataset, arguments.out))
    except (JldError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0
