"""What every dataset gives a run; what those of boxes share: a table of annotations, samples, ground truth.

A dataset class only fills the table (`coco.py`, `voc.py`) or replaces the reading of pixels (`drawn.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.data.classes import benchmark_of
from jld.data.images import read_image
from jld.data.problems import Problem
from jld.data.results import write_plain_results
from jld.data.transforms import Compose, Sample, finish_sample, new_sample
from jld.errors import ConfigError, DataError


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
        columns = {field.name: getattr(self, field.name)[rows] for field in fields(self)[4:]}
        return replace(
            self,
            image_ids=tuple(self.image_ids[index] for index in indices),
            image_files=tuple(self.image_files[index] for index in indices),
            sizes=self.sizes[indices],
            offsets=offsets,
            **columns,
        )


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
    inside_width = np.minimum(x2, sizes[:, 1]) - np.maximum(x1, 0)
    inside_height = np.minimum(y2, sizes[:, 0]) - np.maximum(y1, 0)
    return (x2 - x1 >= 1) & (y2 - y1 >= 1) & (areas > 0) & (inside_width > 0) & (inside_height > 0)


class Dataset:
    """Images, and what becomes of the detections in them; base of every dataset.

    A dataset gives `len`, `image_ids`, `image_file(index)`, `image_sizes()`, `get(index, rng)`,
    `first(count)` and, with labels, `ground_truth()`. It overrides what it reads, joins, scores or writes in
    another way.

    Attributes:
        classes: names, in the order of the labels; () where they are not known.
        default_evaluator: registered name of the evaluator that suits the annotations, None without labels.
        has_files: whether `image_file` names a file on disk.
        angle_version: of the boxes in its samples, None for upright ones; see `jld.boxes.rotated.angles`.
        num_sides: numbers that describe a box in its samples: 4 (xyxy), or 5 with an angle; None where any
            detector may look at the images.
        problems: what was found wrong while the annotations were read.
        times: how often one epoch visits each image; `ground_truth` and `image_ids` hold each image once.
        table: the annotations, None without labels.
    """

    angle_version: str | None = None
    classes: tuple[str, ...] = ()
    default_evaluator: str | None = None
    has_files = True
    num_sides: int | None = 4
    problems: Sequence[Problem] = ()
    times = 1
    table: AnnotationTable | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether there are objects to learn and to be compared with."""
        return self.table is not None

    @property
    def benchmark(self) -> str | None:
        """The public benchmark with exactly these classes, such as "COCO"; None for other data."""
        return benchmark_of(self.classes)

    def read_image(self, index: int) -> np.ndarray:
        """[H, W, 3] uint8 BGR pixels behind an index.

        Raises:
            BrokenImageError: the file cannot be read.
        """
        return read_image(self.image_file(index))

    def first(self, count: int) -> Dataset:
        """The same dataset with only its first images, for smoke runs.

        Args:
            count: images of an epoch, at most.
        Raises:
            ConfigError: the dataset does not say how.
        """
        raise ConfigError(f"{type(self).__name__} cannot be shortened for a dry run: it has no `first`.")

    def views(self, flip_test: Sequence[str] = (), merge_nms_threshold_type: int = 0) -> Any:
        """How often a detector looks at each image, and how what it finds is joined.

        Args:
            flip_test, merge_nms_threshold_type: the config's keys.
        Returns:
            None: once, and nothing is joined; see `jld.data.dota.Views` otherwise.
        Raises:
            ConfigError: the dataset cannot do what is asked.
        """
        name = type(self).__name__
        if flip_test:
            raise ConfigError(
                f"flip_test={list(flip_test)} joins detections of rotated boxes, and {name} cannot join any: "
                "set it to None."
            )
        if merge_nms_threshold_type:
            raise ConfigError(
                f"merge_nms_threshold_type={merge_nms_threshold_type} joins rotated boxes found in patches, "
                f"and {name} cannot join any: set it to 0."
            )
        return None

    def to_whole(self, detections: Sequence[Detections], views: Any = None) -> Sequence[Detections]:
        """Detections in the images that count: here those of the dataset themselves.

        Args:
            detections: per image of the dataset.
            views: what `views` gave; None is its default.
        """
        return detections

    def score(
        self, detections: Sequence[Detections], evaluator: Callable, views: Any = None
    ) -> tuple[dict[str, Any], Sequence[Detections]]:
        """(metrics, detections in the images that count) of what was found in the images of the dataset.

        Args:
            detections, views: see `to_whole`.
            evaluator: see `jld.evaluation`.
        """
        metrics = evaluator(detections, self.ground_truth(), self.classes)
        return metrics, self.to_whole(detections, views)

    def result_problems(self) -> list[str]:
        """What would keep `write_results` from writing, known before anything is detected."""
        return []

    def write_results(self, detections: Sequence[Detections], folder: Path) -> Path:
        """Writes detections in the images that count, here as plain json, for other programs; the file."""
        return write_plain_results(detections, self.classes, folder / "detections.json")


class DetectionDataset(Dataset):
    """Images with boxes; `get` makes a sample, `ground_truth` says what evaluation compares with."""

    default_evaluator = "CocoEvaluator"

    def __init__(
        self,
        table: AnnotationTable,
        classes: Sequence[str],
        transforms: Iterable[Callable] | Compose | None = None,
        problems: Sequence[Problem] = (),
        *,
        times: int = 1,
    ):
        if times < 1:
            raise ConfigError(f"{type(self).__name__}.times is {times}, but must be at least 1.")
        self.table = table
        self.classes = tuple(classes)
        self.transforms = transforms if isinstance(transforms, Compose) else Compose(transforms)
        self.problems = list(problems)
        self.times = times

    def __len__(self) -> int:
        return len(self.table) * self.times

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

    def first(self, count: int) -> DetectionDataset:
        """See `Dataset`."""
        part, rows = copy.copy(self), min(count, len(self.table))
        part.table, part.times = self.table.take(np.arange(rows)), max(1, min(self.times, count // rows))
        return part

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
    table: AnnotationTable, name: str, *, min_size: int, filter_empty_gt: bool
) -> AnnotationTable:
    """Leaves out images without annotation and images smaller than `min_size` px, if it is to filter.

    Raises:
        DataError: no image is left.
    """
    if filter_empty_gt:
        has_boxes = np.diff(table.offsets) > 0
        keep = has_boxes & (table.sizes.min(axis=1, initial=1 << 30) >= min_size)
        if len(table) and not keep.any():
            raise DataError(
                f"{name}: none of its {len(table)} images has an object of the wanted classes and sides of "
                f"at least {min_size} px; set filter_empty_gt=False to keep images without objects."
            )
        table = table.select(keep)
    if not len(table):
        raise DataError(f"{name} holds no image.")
    return table
