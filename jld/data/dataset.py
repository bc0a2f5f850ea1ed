"""What every dataset gives a run; what those of boxes share: a table of annotations, samples, ground truth.

A dataset class only fills the table (`coco.py`, `voc.py`) or replaces the reading of pixels (`drawn.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from jld.boxes.detections import Detections
from jld.data.account import Account, Fate, Losses, account_of, account_of_images
from jld.data.classes import benchmark_of
from jld.data.dota.views import Views, make_views
from jld.data.images import ImageReader
from jld.data.instance_masks import InstanceMasks, mask_form
from jld.data.mask_table import FAULTS
from jld.data.problems import Problem
from jld.data.results import write_plain_results
from jld.data.tables import AnnotationTable, fingerprint_of, touches_image
from jld.data.transforms import Compose, Sample, Transform, finish_sample, new_sample
from jld.errors import ConfigError, DataError


class Dataset:
    """Images, and what becomes of the detections in them; base of every dataset.

    A dataset gives `len`, `image_ids`, `image_file(index)`, `image_sizes()`, `get(index, rng)`,
    `first(count)` and, with labels, `ground_truth()`. It overrides what it reads, joins, scores or writes in
    another way.

    Attributes:
        classes: names, in the order of the labels; () where they are not known.
        default_evaluator: registered name of the evaluator that suits the annotations, or its section; None
            without labels.
        has_files: whether `image_file` names a file on disk.
        angle_version: of the boxes in its samples, None for upright ones; see `jld.boxes.rotated.angles`.
        has_masks: whether its samples hold instance masks.
        num_sides: numbers that describe a box in its samples: 4 (xyxy), or 5 with an angle; None where any
            detector may look at the images.
        problems: what was found wrong while the annotations were read.
        times: how often one epoch visits each image; `ground_truth` and `image_ids` hold each image once.
        image_reader: how image files are read.
        table: the annotations, None without labels.
        transforms: what happens to its samples, as far as jld does it.
    """

    angle_version: str | None = None
    classes: tuple[str, ...] = ()
    default_evaluator: str | Mapping[str, Any] | None = None
    has_files = True
    has_masks = False
    image_reader = ImageReader()
    num_sides: int | None = 4
    transforms: Compose = Compose()
    problems: Sequence[Problem] = ()
    times = 1
    table: AnnotationTable | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def image_ids(self) -> Sequence[Any]:
        """Identifiers of the images, each once."""
        raise NotImplementedError

    def image_file(self, index: int) -> str:
        """Path of the image behind an index."""
        raise NotImplementedError

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample behind an index; what is random in its transforms comes from `rng`."""
        raise NotImplementedError

    def ground_truth(self) -> list[dict[str, Any]]:
        """Per image, each once: what evaluation compares with, in original pixels.

        Raises:
            DataError: there are no labels.
        """
        raise DataError(
            f"{type(self).__name__} has no labels to evaluate with: use COCODataset, VOCDataset, DOTADataset."
        )

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
        return self.image_reader.read(self.image_file(index))

    def first(self, count: int) -> Self:
        """The same dataset with only its first images, for smoke runs.

        Args:
            count: images of an epoch, at most.
        Raises:
            ConfigError: the dataset does not say how.
        """
        raise ConfigError(f"{type(self).__name__} cannot be shortened for a dry run: it has no `first`.")

    def account(self) -> Account:
        """Where every image and object of the files went, see `jld.data.account`; here the images alone."""
        return account_of_images(len(self))

    def fingerprint(self) -> str | None:
        """A hash of the data, equal where they only lie elsewhere; None without a table of annotations."""
        return None if self.table is None else fingerprint_of(self.table, self.classes)

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Self:
        """The same dataset with its classes in another order or spelling, see `jld.data.labels`.

        Args:
            names: in the order of the new labels.
            sources: label so far of each of them.
        """
        other = copy(self)
        other.classes = tuple(names)
        return other

    def views(
        self,
        flip_test: Sequence[str] = (),
        merge_iou_threshold: float | Mapping[str, float] | None = None,
        scale_test: Sequence[float] = (),
    ) -> Views | None:
        """How often a detector looks at each image, and how what it finds is joined.

        Args:
            flip_test, merge_iou_threshold, scale_test: the config's keys.
        Returns:
            None: once, and nothing is joined; see `jld.data.dota.Views` otherwise.
        Raises:
            ConfigError: there is nothing to join, or a value that makes no views.
        """
        if flip_test or scale_test:
            return make_views(flip_test, scale_test, merge_iou_threshold, self.classes)
        if merge_iou_threshold is not None:
            raise ConfigError(
                f"merge_iou_threshold={merge_iou_threshold} joins what patches or views of an image show, "
                f"and {type(self).__name__} shows each image once: set it to None, or set flip_test."
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
    """Images with boxes; `get` makes a sample, `ground_truth` says what evaluation compares with.

    Attributes:
        lost: images and objects that the files hold and the table does not.
        mask_form: of the masks in its samples, one of `MASK_FORMS`.
    """

    default_evaluator: str | Mapping[str, Any] | None = "CocoEvaluator"
    mask_form = "polygons"
    table: AnnotationTable

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
        with_masks: bool | str = False,
    ):
        if times < 1:
            raise ConfigError(f"{type(self).__name__}.times is {times}, but must be at least 1.")
        self.table = table
        self.classes = tuple(classes)
        self.transforms = transforms if isinstance(transforms, Compose) else Compose(transforms)
        for index, transform in self.transforms.marked("for_rotated") if self.num_sides == 4 else ():
            raise ConfigError(
                f"{type(self).__name__}.transforms.{index} is {type(transform).__name__}, which moves "
                "rotated boxes only: leave it out, or use its upright counterpart."
            )
        self.problems = list(problems)
        self.times = times
        self.lost = lost or Losses()
        self.image_reader = ImageReader.of(image_reader)
        self.has_masks = table.masks is not None
        if self.has_masks:
            self.mask_form = mask_form(type(self).__name__, with_masks)
            self.transforms.check_masks(type(self).__name__)
            self.default_evaluator = {"type": "CocoEvaluator", "with_masks": True}

    def __len__(self) -> int:
        return len(self.table) * self.times

    def account(self) -> Account:
        """See `Dataset`."""
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
            *(
                ("ignored", reason, table.masks.faults == fault)
                for fault, reason in enumerate(FAULTS)
                if fault and table.masks is not None
            ),
        ]

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Self:
        """See `Dataset`."""
        other = super().with_classes(names, sources)
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
        """See `Dataset`."""
        return self.table.image_files[index % len(self.table)]

    def read_image(self, index: int) -> np.ndarray:
        """See `Dataset`.

        Raises:
            DataError: the annotated size is that of the other orientation.
        """
        size = self.table.sizes[index % len(self.table)]
        return self.image_reader.read(self.image_file(index), size)

    def first(self, count: int) -> Self:
        """See `Dataset`."""
        part, rows = copy(self), min(count, len(self.table))
        part.table, part.times = self.table.take(np.arange(rows)), max(1, min(self.times, count // rows))
        return part

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """One training or test sample; equal generators give equal samples.

        Returns:
            dict: image [3, H, W] float32; boxes [n, 4] float32 xyxy px of that image, labels [n] int64,
            boxes_ignore [k, 4] (crowds and difficult objects, with masks also those without one), img_id,
            img_file, ori_shape, img_shape (before padding), pad_shape, all (height, width), scale_factor [4],
            flip; masks of the n objects, see `jld.data.instance_masks`, or None.
        Raises:
            BrokenImageError: the image file cannot be read.
        """
        row = index % len(self.table)
        rows = self.table.rows(row)
        boxes, usable = self.table.boxes[rows].astype(np.float32), self.table.is_usable[rows]
        ignored = self.table.is_crowd[rows] | self.table.is_difficult[rows]
        if self.table.masks is not None:
            ignored |= ~self.table.masks.is_usable[rows]
        image = self.read_image(index)
        sample = new_sample(
            image,
            boxes=boxes[usable & ~ignored],
            labels=self.table.labels[rows][usable & ~ignored],
            boxes_ignore=boxes[usable & ignored],
            img_id=self.table.image_ids[row],
            img_file=self.image_file(index),
            masks=self._masks(row, usable & ~ignored, (image.shape[0], image.shape[1])),
        )
        return finish_sample(self.transforms(sample, rng))

    def _masks(self, row: int, keep: np.ndarray, image_size: tuple[int, int]) -> InstanceMasks | None:
        """Of the objects of an image where `keep` is True, in the form that was asked for."""
        if self.table.masks is None:
            return None
        masks = self.table.masks[self.table.rows(row).start + np.flatnonzero(keep)]
        polygons = masks.sample(tuple(self.table.sizes[row].tolist()), image_size)
        return polygons if self.mask_form == "polygons" else polygons.bitmaps()

    def ground_truth(self) -> list[dict[str, Any]]:
        """See `Dataset`.

        Returns:
            dicts with img_id, img_file, width, height, boxes [n, 4] float64 xyxy, labels [n], is_crowd [n],
            is_difficult [n], areas [n]; with masks also masks, n run lengths in COCO's form. Boxes that
            training drops are included.
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
            **self._true_masks(rows, (height, width)),
        }

    def _true_masks(self, rows: slice, size: tuple[int, int]) -> dict[str, list[dict[str, Any]]]:
        if self.table.masks is None:
            return {}
        masks = self.table.masks[np.arange(rows.start, rows.stop)]
        return {"masks": masks.rles(np.tile(size, (len(masks), 1)))}
