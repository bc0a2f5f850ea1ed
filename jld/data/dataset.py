"""What every dataset of boxes shares: a table of annotations, samples made from it, ground truth.

A dataset class only fills the table (`coco.py`, `voc.py`) or replaces the reading of pixels (`drawn.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from jld.data.account import Account, Fate, Losses, account_of
from jld.data.images import ImageReader
from jld.data.problems import Problem
from jld.data.transforms import Compose, Sample, Transform, finish_sample, new_sample
from jld.errors import ConfigError, DataError

BORDER_TOLERANCE = 1.0
"""Annotation tools round; a box this many px outside of its image is not worth a line."""


@dataclass(frozen=True)
class AnnotationTable:
    """All annotations of M images as flat arrays over T boxes.

    Rows offsets[i] up to offsets[i + 1] belong to image i. boxes [T, 4] float64 xyxy in original px, labels
    [T] int64 0-based, areas [T] px squared, is_crowd [T], is_difficult [T], is_usable [T] bool (False:
    evaluation sees the box, training drops it).
    """

    image_ids: tuple
    image_files: tuple[str, ...]
    sizes: np.ndarray  # [M, 2] (height, width)
    offsets: np.ndarray  # [M + 1]
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_difficult: np.ndarray
    is_usable: np.ndarray

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows(self, index: int) -> slice:
        """Rows of the boxes of one image."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def select(self, keep: np.ndarray) -> AnnotationTable:
        """The table of the images where `keep` [M] is True."""
        return self.take(np.flatnonzero(keep))

    def take(self, indices: np.ndarray) -> AnnotationTable:
        """The table of these images, in this order; an index may occur several times."""
        counts = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][indices] - offsets[:-1], counts)
        columns = {column.name: getattr(self, column.name)[rows] for column in fields(self)[4:]}
        return replace(
            self,
            image_ids=tuple(self.image_ids[index] for index in indices),
            image_files=tuple(self.image_files[index] for index in indices),
            sizes=self.sizes[indices],
            offsets=offsets,
            **columns,
        )


@dataclass
class ReadTable:
    """What was read from annotation files: the table, the findings, and what is not in the table."""

    table: AnnotationTable
    problems: list[Problem]
    lost: Losses = field(default_factory=Losses)


def usable_boxes(boxes: np.ndarray, areas: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which boxes training keeps: at least 1 px wide and high, some area, and some of it inside the image.

    Args:
        boxes: [T, 4] xyxy px.
        areas: [T] px squared.
        sizes: [T, 2] (height, width) of the image each box belongs to.
    Returns:
        [T] bool.
    """
    x1, y1, x2, y2 = boxes.T
    return (x2 - x1 >= 1) & (y2 - y1 >= 1) & (areas > 0) & _overlaps(boxes, sizes)


def touches_image(table: AnnotationTable) -> np.ndarray:
    """[T] bool: which boxes of a table have some of their area inside of their image."""
    return _overlaps(table.boxes, np.repeat(table.sizes, np.diff(table.offsets), axis=0))


def _overlaps(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    near, far = np.maximum(boxes[:, :2], 0), np.minimum(boxes[:, 2:4], sizes[:, ::-1])
    return (far > near).all(axis=1)


class DetectionDataset:
    """Images with boxes; `get` makes a sample, `ground_truth` says what evaluation compares with.

    Attributes:
        classes: names, in the order of the labels.
        default_evaluator: registered name of the evaluator that suits the annotations.
        has_files: whether `image_file` names a file on disk.
        problems: what was found wrong while the annotations were read.
        lost: images and objects that the files hold and the table does not.
        times: how often one epoch visits each image; `ground_truth` and `image_ids` hold each image once.
        image_reader: how image files are read.
    """

    default_evaluator: str | None = "CocoEvaluator"
    has_files = True

    def __init__(
        self,
        table: AnnotationTable,
        classes: Sequence[str],
        transforms: Iterable[Transform] | Compose | None = None,
        problems: Sequence[Problem] = (),
        *,
        times: int = 1,
        lost: Losses | None = None,
        image_reader: ImageReader | Mapping[str, Any] | None = None,
    ):
        if times < 1:
            raise ConfigError(f"{type(self).__name__}.times is {times}, but must be at least 1.")
        self.table = table
        self.classes = tuple(classes)
        self.transforms = transforms if isinstance(transforms, Compose) else Compose(transforms)
        self.problems = list(problems)
        self.times = times
        self.lost = lost or Losses()
        self.image_reader = ImageReader.of(image_reader)

    def __len__(self) -> int:
        return len(self.table) * self.times

    def account(self) -> Account:
        """Where every image and object of the files went, see `jld.data.account`."""
        _, first = np.unique(np.array(list(map(str, self.table.image_ids))), return_index=True)
        table = self.table.take(np.sort(first))  # a table may repeat images with rare classes
        return account_of(table, self._fates(table), self.lost, self.classes)

    def _fates(self, table: AnnotationTable) -> list[Fate]:
        """What training does not learn from, in the order in which it is counted."""
        sides = table.boxes[:, 2:4] - table.boxes[:, :2]
        return [
            ("dropped", "less than 1 px wide or high", (sides < 1).any(axis=1)),
            ("dropped", "outside of their image", ~touches_image(table)),
            ("dropped", "marked `ignore`", ~table.is_usable),
            ("ignored", "crowds", table.is_crowd),
            ("ignored", "difficult", table.is_difficult),
        ]

    def check_results(self) -> None:
        """Stops where detections on this dataset could not be written in the format of its benchmark.

        Raises:
            DataError: names that the format cannot hold.
        """

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> DetectionDataset:
        """The same dataset with its classes in another order or spelling, see `jld.data.labels`.

        Args:
            names: in the order of the new labels.
            sources: label so far of each of them.
        """
        other = copy(self)
        other.classes = tuple(names)
        other.table = replace(self.table, labels=np.argsort(sources)[self.table.labels])
        return other

    @property
    def image_ids(self) -> list:
        """Identifiers of the images, each once."""
        return list(self.table.image_ids)

    def image_sizes(self) -> np.ndarray:
        """[len(self), 2] (height, width) of every index, from the annotations."""
        return np.tile(self.table.sizes, (self.times, 1))

    def image_file(self, index: int) -> str:
        """Path of the image behind an index."""
        return self.table.image_files[index % len(self.table)]

    def read_image(self, index: int) -> np.ndarray:
        """[H, W, 3] uint8 BGR pixels behind an index.

        Raises:
            BrokenImageError: the file cannot be read.
            DataError: the annotated size is that of the other orientation.
        """
        size = self.table.sizes[index % len(self.table)]
        return self.image_reader.read(self.image_file(index), size)

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """One training or test sample; equal generators give equal samples.

        Returns:
            dict: image [3, H, W] float32; boxes [n, 4] float32 xyxy px of that image, labels [n] int64,
            boxes_ignore [k, 4] (crowds and difficult objects), img_id, img_file, ori_shape, img_shape (before
            padding), pad_shape, all (height, width), scale_factor [4], flip.
        Raises:
            BrokenImageError: the image file cannot be read.
        """
        row = index % len(self.table)
        rows = self.table.rows(row)
        boxes, usable = self.table.boxes[rows].astype(np.float32), self.table.is_usable[rows]
        ignored = self.table.is_crowd[rows] | self.table.is_difficult[rows]
        sample = new_sample(
            self.read_image(index),
            boxes=boxes[usable & ~ignored],
            labels=self.table.labels[rows][usable & ~ignored],
            boxes_ignore=boxes[usable & ignored],
            img_id=self.table.image_ids[row],
            img_file=self.image_file(index),
        )
        return finish_sample(self.transforms(sample, rng))

    def ground_truth(self) -> list[dict[str, Any]]:
        """Per image, each once: what evaluation compares with, in original pixels.

        Returns:
            dicts with img_id, img_file, width, height, boxes [n, 4] float64 xyxy, labels [n], is_crowd [n],
            is_difficult [n], areas [n]. Boxes that training drops are included.
        """
        return [self._truth(index) for index in range(len(self.table))]

    def _truth(self, index: int) -> dict[str, Any]:
        table, rows = self.table, self.table.rows(index)
        height, width = table.sizes[index]
        return {
            "img_id": table.image_ids[index],
            "img_file": table.image_files[index],
            "width": int(width),
            "height": int(height),
            "boxes": table.boxes[rows],
            "labels": table.labels[rows],
            "is_crowd": table.is_crowd[rows],
            "is_difficult": table.is_difficult[rows],
            "areas": table.areas[rows],
        }


def drop_images(
    table: AnnotationTable, name: str, *, min_size: int, filter_empty_gt: bool, lost: Losses
) -> AnnotationTable:
    """Leaves out images without annotation and images smaller than `min_size` px, if it is to filter.

    `lost` counts them, and the objects on them.

    Raises:
        DataError: no image is left.
    """
    if filter_empty_gt:
        counts = np.diff(table.offsets)
        has_boxes = counts > 0
        keep = has_boxes & (table.sizes.min(axis=1, initial=1 << 30) >= min_size)
        small = f"with a side below {min_size} px"
        for mask, reason in ((~has_boxes, "without an object"), (has_boxes & ~keep, small)):
            rows = np.flatnonzero(mask)
            if len(rows):
                lost.images.add(reason, table.image_ids[rows[0]], len(rows))
                lost.objects.add(
                    f"in images {reason}", f"image {table.image_ids[rows[0]]}", counts[rows].sum()
                )
        if len(table) and not keep.any():
            raise DataError(
                f"{name}: none of its {len(table)} images has an object of the wanted classes and sides of "
                f"at least {min_size} px; set filter_empty_gt=False to keep images without objects."
            )
        table = table.select(keep)
    if not len(table):
        raise DataError(f"{name} holds no image.")
    return table
