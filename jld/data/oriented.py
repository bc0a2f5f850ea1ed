"""What datasets of rotated boxes share: the table with corners and flags, samples, ground truth, checks.

A dataset class fills the table (`dota_dataset.py`) or draws (`drawn_oriented.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.rotated import (
    check_version,
    is_loadable,
    poly_areas,
    polys_to_rboxes,
    polys_to_xyxy,
)
from jld.boxes.rotated.clipping import is_convex
from jld.data.account import Fate, Losses
from jld.data.dataset import DetectionDataset
from jld.data.dota.labels import TRUNCATED, far_outside
from jld.data.dota.views import OrientedViews
from jld.data.images import ImageReader
from jld.data.problems import Problem, error, warning
from jld.data.rotated_transforms import RotatedRandomFlip, RotatedResize
from jld.data.tables import AnnotationTable
from jld.data.transforms import Compose, RandomFlip, Resize, Sample, Transform, finish_sample, new_sample
from jld.errors import ConfigError

# Transforms that move upright boxes only, and what takes their place.
UPRIGHT_ONLY = {Resize: RotatedResize, RandomFlip: RotatedRandomFlip}
DIFFICULT = ("ignore", "train")


@dataclass(frozen=True)
class OrientedTable(AnnotationTable):
    """An `AnnotationTable` of rotated boxes: `boxes` [T, 5] px and radians in the angle version.

    polys [T, 8] float64 px are the annotated corners; flags [T] int64 are DOTA's: 0, 1 (difficult), 2 (cut by
    the border of a patch). is_ignored [T] bool: training counts it as neither object nor background.
    """

    polys: np.ndarray
    flags: np.ndarray
    is_ignored: np.ndarray


def oriented_table(
    images: Sequence[tuple[Any, str, tuple[int, int]]],
    polys: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    flags: Sequence[np.ndarray],
    *,
    angle_version: str,
    difficult: str = "ignore",
    rboxes: Sequence[np.ndarray] | None = None,
) -> OrientedTable:
    """The table of M images.

    Args:
        images: (identifier, file, (height, width) px) of each.
        polys: [n, 8] px of each image; labels: [n] 0-based; flags: [n], see `OrientedTable`.
        angle_version: see `jld.boxes.rotated.angles`.
        difficult: "ignore": objects of flag 1 and 2 are not trained on; "train": they are, as in MMRotate,
            and only flag 1 counts as difficult in evaluation.
        rboxes: [n, 5] in the angle version, where they are known better than from the corners.
    Raises:
        ConfigError: unknown angle version or `difficult`.
    """
    check_version(angle_version)
    if difficult not in DIFFICULT:
        raise ConfigError(f"difficult is {difficult!r}; it is 'ignore' or 'train'.")
    all_polys = np.concatenate([np.zeros((0, 8)), *polys])
    if rboxes is None:
        boxes = polys_to_rboxes(all_polys, angle_version)
    else:
        boxes = np.concatenate([np.zeros((0, 5)), *rboxes])
    all_flags = np.concatenate([np.zeros(0, np.int64), *flags])
    sizes = np.array([size for _, _, size in images], np.int64).reshape(-1, 2)
    counts = [len(rows) for rows in polys]
    areas = poly_areas(all_polys)
    owners = np.repeat(np.arange(len(images)), counts)
    is_difficult = all_flags != 0 if difficult == "ignore" else (all_flags != 0) & (all_flags != TRUNCATED)
    return OrientedTable(
        image_ids=tuple(image_id for image_id, _, _ in images),
        image_files=tuple(file for _, file, _ in images),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=boxes,
        labels=np.concatenate([np.zeros(0, np.int64), *labels]),
        areas=areas,
        is_crowd=np.zeros(len(all_polys), bool),
        is_difficult=is_difficult,
        is_usable=is_loadable(boxes)
        & (areas > 0)
        & _touches_image(all_polys, sizes[owners])
        & ~far_outside(all_polys, sizes[owners]),
        polys=all_polys,
        flags=all_flags,
        is_ignored=is_difficult if difficult == "ignore" else np.zeros(len(all_polys), bool),
    )


def _touches_image(polys: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    boxes = polys_to_xyxy(polys)
    return (boxes[:, :2] < sizes[:, ::-1]).all(1) & (boxes[:, 2:] > 0).all(1)


class OrientedDataset(OrientedViews, DetectionDataset):
    """Images with rotated boxes.

    Attributes:
        angle_version: of the boxes in its samples.
    """

    default_evaluator = "DotaEvaluator"

    def __init__(
        self,
        table: OrientedTable,
        classes: Sequence[str],
        transforms: Iterable[Transform] | Compose | None,
        *,
        angle_version: str,
        problems: Sequence[Problem] = (),
        times: int = 1,
        lost: Losses | None = None,
        image_reader: ImageReader | Mapping[str, Any] | None = None,
    ):
        super().__init__(
            table, classes, transforms, problems, times=times, lost=lost, image_reader=image_reader
        )
        self.angle_version = check_version(angle_version)
        check_transforms(self.transforms, type(self).__name__)

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """As in `DetectionDataset`, with `boxes` [n, 5] and `boxes_ignore` [k, 5] px and radians.

        The sample also holds `angle_version`, which the transforms of rotated boxes keep to.

        Raises:
            BrokenImageError: the image file cannot be read.
        """
        table, row = self.table, index % len(self.table)
        rows = table.rows(row)
        boxes, usable, ignored = (
            table.boxes[rows].astype(np.float32),
            table.is_usable[rows],
            table.is_ignored[rows],
        )
        sample = new_sample(
            self.read_image(index),
            boxes=boxes[usable & ~ignored],
            labels=table.labels[rows][usable & ~ignored],
            boxes_ignore=boxes[usable & ignored],
            img_id=table.image_ids[row],
            img_file=self.image_file(index),
            angle_version=self.angle_version,
        )
        return finish_sample(self.transforms(sample, rng))

    def _fates(self, table: OrientedTable) -> list[Fate]:
        """As in `DetectionDataset`."""
        sizes = np.repeat(table.sizes, np.diff(table.offsets), axis=0)
        return [
            ("dropped", "less than 2 px wide or high", ~is_loadable(table.boxes) | (table.areas <= 0)),
            ("dropped", "outside of their image", ~_touches_image(table.polys, sizes)),
            ("dropped", "with a corner far outside of their image", ~table.is_usable),
            ("ignored", "cut by the border of a patch", table.is_ignored & (table.flags == TRUNCATED)),
            ("ignored", "difficult", table.is_ignored),
        ]

    def _truth(self, index: int) -> dict[str, Any]:
        """As in `DetectionDataset`; `polys` [n, 8] and `rboxes` [n, 5] are the objects, `boxes` [n, 4] stand
        upright around them, `difficult` [n] are the flags.
        """
        rows = self.table.rows(index)
        polys = self.table.polys[rows]
        return {
            **super()._truth(index),
            "polys": polys,
            "rboxes": self.table.boxes[rows],
            "boxes": polys_to_xyxy(polys),
            "difficult": self.table.flags[rows],
        }


def check_transforms(transforms: Compose, name: str) -> None:
    """Stops on transforms that would treat rotated boxes as upright ones.

    Raises:
        ConfigError: see above; says what to write instead.
    """
    for index, transform in enumerate(transforms.transforms):
        instead = UPRIGHT_ONLY.get(type(transform))
        if instead is not None:
            raise ConfigError(
                f"{name}.transforms.{index} is {type(transform).__name__}, which moves upright boxes only: "
                f"use {instead.__name__}."
            )


def annotation_findings(table: OrientedTable, source: object) -> list[Problem]:
    """Findings about objects, one per kind with a count and the first example.

    Args:
        table: see `oriented_table`.
        source: the annotation file or folder, for the messages.
    """
    owners = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    touches = _touches_image(table.polys, table.sizes[owners])
    is_far = far_outside(table.polys, table.sizes[owners])
    is_tiny = (~is_loadable(table.boxes) | (table.areas <= 0)) & ~is_far
    if len(table.polys) and table.polys.min() >= 0 and 0 < table.polys.max() <= 1:
        text = (
            f"holds {len(table.polys)} objects whose corners all lie between 0 and 1: fractions of the image "
        )
        return [error(f"{text}are not read, multiply them by its width and height.", source)]
    kinds = (
        (is_far, "with a corner further outside of their image than the image is long"),
        (is_tiny, "less than 2 px wide or high, which training leaves out"),
        (~touches & ~is_tiny & ~is_far, "outside of their image, which training leaves out"),
        (
            ~is_convex(table.polys.reshape(-1, 4, 2)) & ~is_tiny & ~is_far,
            "with corners that do not go round a convex shape, so that their boxes are a guess",
        ),
        (_repeated(table, owners), "that repeat another one of the same image and class"),
    )
    findings = []
    for mask, text in kinds:
        rows = np.flatnonzero(mask)
        if len(rows):
            row = rows[0]
            where = f"image {table.image_ids[owners[row]]}, corners {np.round(table.polys[row], 1).tolist()}"
            noun = "object" if len(rows) == 1 else "objects"
            make = error if mask is is_far else warning
            findings.append(make(f"holds {len(rows)} {noun} {text} (first: {where}).", source))
    return findings


def _repeated(table: OrientedTable, owners: np.ndarray) -> np.ndarray:
    keys = np.concatenate([np.stack([owners, table.labels], 1), table.polys], 1)
    _, first, numbers = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first[numbers.reshape(-1)] != np.arange(len(keys))


def is_degrees(rboxes: np.ndarray) -> bool:
    """Whether angles [n, 5] can hardly be radians: one of them is more than a full turn."""
    return bool(len(rboxes)) and bool(np.abs(rboxes[:, 4]).max() > 2 * math.pi)
