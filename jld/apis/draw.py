"""Pictures of detections for a paper: ground truth and one or several runs beside each other."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.apis.looking import Seen, add_flags, file_name, looked_at
from jld.apis.program import program
from jld.errors import DataError
from jld.utils.logging import set_up_logging
from jld.visualization.boxes import box_marks, scaled
from jld.visualization.canvas import enlarged
from jld.visualization.marks import Mark, beside, titled, write_marks

GAP = 8


def draw_runs(
    runs: Mapping[str, Seen],
    index: int,
    truth: Mapping[str, Any] | None = None,
    *,
    threshold: float = 0.3,
    with_text: bool = True,
) -> tuple[np.ndarray, list[Mark]]:
    """Ground truth and every run's detections of one image, from left to right.

    Args:
        runs: {title: run} on the same data.
        index: of the image in the data.
        truth: its ground truth, see `Dataset.ground_truth`; None leaves that panel out.
        threshold: detections scored below are left out.
        with_text: whether to write class names, scores and titles.
    Returns:
        (uint8 BGR, marks), see `jld.visualization.marks.write_marks`.
    """
    dataset = next(iter(runs.values())).dataset
    img_id = dataset.image_ids[index]
    image, zoom = enlarged(dataset.read_image(index))
    shape = image.shape[:2]
    panels: dict[str, list[Mark]] = {}
    if truth is not None:
        boxes = scaled(truth.get("rboxes", truth["boxes"]), zoom)
        panels["ground truth"] = box_marks(
            shape, boxes, truth["labels"], classes=dataset.classes, with_text=with_text
        )
    for name, seen in runs.items():
        found = next((each for each in seen.detections if each.img_id == img_id), None)
        panels[name] = []
        if found is not None:
            panels[name] = box_marks(
                shape,
                scaled(found.shapes, zoom),
                found.labels,
                found.scores,
                classes=seen.dataset.classes,
                score_threshold=threshold,
                with_text=with_text,
            )
    return beside(
        [titled(image, marks, name if with_text else "") for name, marks in panels.items()], gap=GAP
    )


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="work folders, configs, or files of weights or detections"
    )
    parser.add_argument("--save_dir", default="drawn", help="folder for the pictures (default: drawn)")
    parser.add_argument("--num", type=int, default=8, help="number of images (default: 8)")
    parser.add_argument("--images", nargs="+", default=[], help="identifiers of the images to draw instead")
    add_flags(parser)
    options = parser.parse_args(argv)
    set_up_logging()
    runs = looked_at(options.runs, options)
    dataset = next(iter(runs.values())).dataset
    ids = list(map(str, dataset.image_ids))
    truths = dataset.ground_truth() if dataset.is_labelled else [None] * len(ids)
    if unknown := [name for name in options.images if name not in ids]:
        raise DataError(f"the data have no image {unknown[0]!r}; their first is {ids[0]!r}.")
    for name in options.images or ids[: options.num]:
        index = ids.index(name)
        picture = draw_runs(
            runs, index, truths[index], threshold=options.threshold, with_text=not options.no_text
        )
        path = Path(options.save_dir) / f"{file_name(name)}.{options.format}"
        print(write_marks(path, *picture, dpi=options.dpi))
