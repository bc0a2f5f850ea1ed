"""Draws the ground truth of a config's dataset, after the random transforms of training or as it is on disk.

Usage: jld browse ld_gfl_r18_from_r101_1x_coco train --save_dir out --num 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jld.data  # noqa: F401  registers the datasets and transforms
from jld.apis.arguments import ConfigParser
from jld.apis.program import program
from jld.config import LOADER_KEYS, apply_overrides, import_parts, load_config
from jld.errors import ConfigError, suggestion
from jld.registry import build
from jld.visualization.boxes import draw_boxes, draw_truth_outline
from jld.visualization.canvas import write_image
from jld.visualization.masks import draw_masks


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = ConfigParser(
        description=f"{__doc__.splitlines()[0]} SPLIT is train, val or test (default: train).",
        meaning="a config with a dataset section",
        further={"split": "train"},
    )
    parser.add_argument("--save_dir", default="browse", help="folder for the pictures (default: browse)")
    parser.add_argument("--num", type=int, default=20, help="number of pictures (default: 20)")
    parser.add_argument(
        "--original", action="store_true", help="images and boxes as on disk, without transforms"
    )
    parser.add_argument("--shuffle", action="store_true", help="random images instead of the first ones")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the shuffling and of the random transforms"
    )
    return parser.parse_args(arguments)


def build_dataset(config: dict[str, Any], split: str) -> Any:
    """The dataset of one split without normalisation, so that pixels stay what they are.

    Raises:
        ConfigError: the config has no such split.
    """
    section = config.get("dataset", {}).get(split)
    if section is None:
        raise ConfigError(
            f"the config has no dataset.{split}: {suggestion(split, config.get('dataset', {}))}"
        )
    loader_keys = {key.name for key in LOADER_KEYS}
    section = {key: value for key, value in section.items() if key not in loader_keys}
    steps = section.get("transforms") or []
    section["transforms"] = [step for step in steps if step.get("type") != "Normalize"]
    return build(section, path=f"dataset.{split}")


def draw_sample(dataset: Any, index: int, rng: np.random.Generator) -> np.ndarray:
    """One image as training sees it, masks included; boxes that training ignores are dashed. uint8 BGR."""
    sample = dataset.get(index, rng)
    image = np.clip(np.round(sample["image"]), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    if sample["masks"] is not None:
        image = draw_masks(image, sample["masks"].rles(), sample["labels"])
    drawn = draw_boxes(image, sample["boxes"], sample["labels"], classes=dataset.classes)
    return draw_truth_outline(drawn, sample["boxes_ignore"])


def draw_original(dataset: Any, truths: list[dict[str, Any]], index: int) -> np.ndarray:
    """One image with all its annotations; crowds and difficult objects are dashed. uint8 BGR."""
    truth = truths[index % len(truths)]
    is_ignored = truth["is_crowd"] | truth["is_difficult"]
    boxes = truth.get("rboxes", truth["boxes"])
    labels = truth["labels"][~is_ignored]
    image = dataset.read_image(index)
    if "masks" in truth:
        masks = [truth["masks"][row] for row in np.flatnonzero(~is_ignored)]
        image = draw_masks(image, masks, labels)
    drawn = draw_boxes(image, boxes[~is_ignored], labels, classes=dataset.classes)
    return draw_truth_outline(drawn, boxes[is_ignored])


@program
def main(words: Sequence[str] | None = None) -> None:
    """Writes the pictures."""
    arguments = parse_arguments(words)
    config = apply_overrides(load_config(arguments.config_file), arguments.opts)
    import_parts(config.get("imports"))
    dataset = build_dataset(config, arguments.split)
    rng = np.random.default_rng(arguments.seed)
    indices = rng.permutation(len(dataset)) if arguments.shuffle else np.arange(len(dataset))
    truths = dataset.ground_truth() if arguments.original else []
    for index in indices[: arguments.num].tolist():
        if arguments.original:
            picture = draw_original(dataset, truths, index)
        else:
            picture = draw_sample(dataset, index, np.random.default_rng([arguments.seed, index]))
        write_image(Path(arguments.save_dir) / f"{index:06d}.png", picture)
    drawn = min(arguments.num, len(dataset))
    print(f"{arguments.save_dir}: {drawn} of {len(dataset)} images of {arguments.split}")
