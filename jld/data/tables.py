"""Tables of annotations: what the readers of files fill, and what of it training can use."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.data.account import Losses
from jld.data.mask_table import MaskTable
from jld.data.problems import Problem
from jld.errors import DataError

BORDER_TOLERANCE = 1.0
"""Annotation tools round; a box this many px outside of its image is not worth a line."""
HASHED_IMAGES = 8


@dataclass(frozen=True)
class AnnotationTable:
    """All annotations of M images as flat arrays over T boxes.

    Rows offsets[i] up to offsets[i + 1] belong to image i. boxes [T, 4] float64 xyxy in original px, labels
    [T] int64 0-based, areas [T] px squared, is_crowd [T], is_difficult [T], is_usable [T] bool (False:
    evaluation sees the box, training drops it). masks: of the T objects, None where nobody asked for them.
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
    masks: MaskTable | None = field(default=None, kw_only=True)

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
        given = {column.name: getattr(self, column.name) for column in fields(self)[4:]}
        columns = {name: values[rows] for name, values in given.items() if values is not None}
        return replace(
            self,
            image_ids=tuple(self.image_ids[index] for index in indices),
            image_files=tuple(self.image_files[index] for index in indices),
            sizes=self.sizes[indices],
            offsets=offsets,
            **columns,
        )


def fingerprint_of(table: AnnotationTable, classes: Sequence[str]) -> str:
    """What tells the data of two runs apart, wherever they lie: a hash of all labels and of some pixels.

    Of `HASHED_IMAGES` images, spread over the table, the first MiB is read.
    """
    made = hashlib.blake2b(repr((tuple(classes), table.image_ids)).encode(), digest_size=16)
    for array in _arrays_of(table):
        made.update(np.ascontiguousarray(array).tobytes())
    for index in np.linspace(0, len(table) - 1, HASHED_IMAGES).astype(int) if len(table) else ():
        # Data that are drawn have no files.
        with contextlib.suppress(OSError), Path(table.image_files[index]).open("rb") as file:
            made.update(file.read(1 << 20))
    return made.hexdigest()


def _arrays_of(record: Any) -> Iterator[np.ndarray]:
    """All arrays of numbers in a record and the records in it; whatever else it holds is passed over."""
    for column in fields(record):
        value = getattr(record, column.name)
        if is_dataclass(value):
            yield from _arrays_of(value)
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            yield value


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
    boxes = boxes.astype(np.float32)  # as training sees them: a sliver may round to nothing
    near, far = np.maximum(boxes[:, :2], 0), np.minimum(boxes[:, 2:4], sizes[:, ::-1])
    return (far > near).all(axis=1)


def count_lost(table: AnnotationTable, mask: np.ndarray, reason: str, lost: Losses) -> None:
    """Counts the images where `mask` [M] is True, and the objects on them, as lost."""
    rows = np.flatnonzero(mask)
    if len(rows):
        first = table.image_ids[rows[0]]
        lost.images.add(reason, first, len(rows))
        lost.objects.add(f"in images {reason}", f"image {first}", np.diff(table.offsets)[rows].sum())


def drop_images(
    table: AnnotationTable, name: str, *, min_size: int, filter_empty_gt: bool, lost: Losses
) -> AnnotationTable:
    """Leaves out images without annotation and images smaller than `min_size` px, if it is to filter.

    `lost` counts them, and the objects on them.

    Raises:
        DataError: no image is left.
    """
    if filter_empty_gt:
        has_boxes = np.diff(table.offsets) > 0
        keep = has_boxes & (table.sizes.min(axis=1, initial=1 << 30) >= min_size)
        small = f"with a side below {min_size} px"
        for mask, reason in ((~has_boxes, "without an object"), (has_boxes & ~keep, small)):
            count_lost(table, mask, reason, lost)
        if len(table) and not keep.any():
            raise DataError(
                f"{name}: none of its {len(table)} images has an object of the wanted classes and sides of "
                f"at least {min_size} px; set filter_empty_gt=False to keep images without objects."
            )
        table = table.select(keep)
    if not len(table):
        raise DataError(f"{name} holds no image.")
    return table
