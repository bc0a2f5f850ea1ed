"""Instance masks of one image on their way from the label file to the device.

A sample carries polygons, or bitmaps where a run wants mmDetection's numbers. Both follow their image through
`scaled`, `flipped` and `padded`. Polygons are small whatever the image is: a batch of COCO takes some 100 kB
where bitmaps take N x G x H x W bytes, 140 MB for two images of 64 objects. An object that is given as run
lengths becomes the polygon around its pixels, which is filled to the same mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, Self

import cv2
import numpy as np

from jld.boxes.masks import RunLengths, fill_polygons, from_bitmap, to_bitmap
from jld.data.collate import bucket
from jld.errors import one_of

MASK_FORMS = ("polygons", "bitmaps")


def mask_form(owner: str, with_masks: bool | str) -> str:
    """What a dataset's `with_masks` asks for: True is "polygons".

    Raises:
        ConfigError: neither a boolean nor one of `MASK_FORMS`.
    """
    form = MASK_FORMS[0] if with_masks is True else with_masks
    one_of(form, MASK_FORMS, f"{owner}.with_masks is {form!r}")
    return str(form)


def gather_rows(starts: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, starts of the result) of some groups of a list that is cut into groups.

    Args:
        starts: [n + 1]; the rows of group i are starts[i] up to starts[i + 1].
        indices: [k] of the groups, in any order.
    """
    counts = np.diff(starts)[indices]
    taken = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.arange(taken[-1]) + np.repeat(starts[:-1][indices] - taken[:-1], counts)
    return rows, taken


class InstanceMasks(Protocol):
    """The masks of the objects of a sample, in the order of its boxes; `size` is that of its image."""

    @property
    def size(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def scaled(self, size: tuple[int, int]) -> InstanceMasks:
        """In the image resized to (height, width)."""

    def flipped(self, direction: str) -> InstanceMasks:
        """In the image mirrored in one of `jld.data.transforms.DIRECTIONS`."""

    def padded(self, size: tuple[int, int]) -> InstanceMasks:
        """In the image with more at its right and bottom."""

    def rles(self) -> list[RunLengths]:
        """The masks as run lengths."""

    @staticmethod
    def collate(masks: Sequence[Any], num_slots: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The arrays of a batch of images of `size` with `num_slots` objects each, see `jld.data.collate`."""


@dataclass(frozen=True)
class Polygons:
    """The polygons of G objects as flat arrays.

    vertices [V, 2] float64 x, y px; the vertices of polygon q are the rows part_starts[q] up to
    part_starts[q + 1], and the polygons of object g are object_starts[g] up to object_starts[g + 1].
    """

    vertices: np.ndarray
    part_starts: np.ndarray  # [Q + 1] int64
    object_starts: np.ndarray  # [G + 1] int64

    @classmethod
    def of(cls, objects: Sequence[Sequence[np.ndarray]], **fields: tuple[int, int]) -> Self:
        """From a list of polygons [v, 2] for each object."""
        parts = [part for each in objects for part in each]
        return cls(
            np.concatenate([np.zeros((0, 2)), *parts]),
            np.cumsum([0, *map(len, parts)]),
            np.cumsum([0, *map(len, objects)]),
            **fields,
        )

    def __len__(self) -> int:
        return len(self.object_starts) - 1

    def take(self, indices: np.ndarray) -> Self:
        """The polygons of these objects [k], in this order."""
        parts, object_starts = gather_rows(self.object_starts, indices)
        rows, part_starts = gather_rows(self.part_starts, parts)
        return replace(
            self, vertices=self.vertices[rows], part_starts=part_starts, object_starts=object_starts
        )

    def parts(self, index: int) -> list[np.ndarray]:
        """The polygons [v, 2] of one object."""
        first, last = self.object_starts[index : index + 2]
        ends = self.part_starts[first : last + 1].tolist()
        return [self.vertices[low:high] for low, high in pairwise(ends)]


@dataclass(frozen=True)
class PolygonMasks(Polygons):
    """The polygons of the objects of a sample, in px of its image, whose `size` is (height, width)."""

    size: tuple[int, int]

    def scaled(self, size: tuple[int, int]) -> PolygonMasks:
        """See `InstanceMasks`."""
        ratio = np.array([size[1] / self.size[1], size[0] / self.size[0]])
        return replace(self, vertices=self.vertices * ratio, size=size)

    def flipped(self, direction: str) -> PolygonMasks:
        """See `InstanceMasks`."""
        vertices = self.vertices.copy()
        for axis, without in ((0, "vertical"), (1, "horizontal")):
            if direction != without:
                vertices[:, axis] = self.size[1 - axis] - vertices[:, axis]
        return replace(self, vertices=vertices)

    def padded(self, size: tuple[int, int]) -> PolygonMasks:
        """See `InstanceMasks`."""
        return replace(self, size=size)

    def rles(self) -> list[RunLengths]:
        """See `InstanceMasks`."""
        return [fill_polygons(self.parts(index), self.size) for index in range(len(self))]

    def bitmaps(self) -> BitmapMasks:
        """The masks as bitmaps."""
        return BitmapMasks(_stacked([to_bitmap(mask) for mask in self.rles()], self.size))

    @staticmethod
    def collate(
        masks: Sequence[PolygonMasks], num_slots: int, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        """See `InstanceMasks`."""
        count = len(masks)
        vertices = np.zeros((count, bucket(max(len(each.vertices) for each in masks)), 2), np.float32)
        num_parts = bucket(max(len(each.part_starts) - 1 for each in masks))
        for target, each in zip(vertices, masks, strict=True):
            target[: len(each.vertices)] = each.vertices
        return {
            "mask_vertices": vertices,
            "mask_part_starts": _pad_starts([each.part_starts for each in masks], num_parts),
            "mask_object_starts": _pad_starts([each.object_starts for each in masks], num_slots),
        }


@dataclass(frozen=True)
class BitmapMasks:
    """Masks [n, H, W] uint8 zeros and ones of the objects of a sample."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __len__(self) -> int:
        return len(self.pixels)

    def scaled(self, size: tuple[int, int]) -> BitmapMasks:
        """See `InstanceMasks`; every pixel takes the nearest old one, as in mmDetection."""
        resized = [cv2.resize(each, size[::-1], interpolation=cv2.INTER_NEAREST) for each in self.pixels]
        return BitmapMasks(_stacked(resized, size))

    def flipped(self, direction: str) -> BitmapMasks:
        """See `InstanceMasks`."""
        down, along = (
            slice(None, None, -1 if direction != without else 1) for without in ("horizontal", "vertical")
        )
        return BitmapMasks(self.pixels[:, down, along])

    def padded(self, size: tuple[int, int]) -> BitmapMasks:
        """See `InstanceMasks`."""
        bottom, right = size[0] - self.size[0], size[1] - self.size[1]
        return BitmapMasks(np.pad(self.pixels, ((0, 0), (0, bottom), (0, right))))

    def rles(self) -> list[RunLengths]:
        """See `InstanceMasks`."""
        return [from_bitmap(each) for each in self.pixels]

    @staticmethod
    def collate(masks: Sequence[BitmapMasks], num_slots: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """See `InstanceMasks`."""
        stacked = np.zeros((len(masks), num_slots, *size), np.uint8)
        for target, each in zip(stacked, masks, strict=True):
            target[: len(each), : each.size[0], : each.size[1]] = each.pixels
        return {"mask_bitmaps": stacked}


def _stacked(bitmaps: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    return np.stack(bitmaps) if len(bitmaps) else np.zeros((0, *size), np.uint8)


def _pad_starts(starts: Sequence[np.ndarray], count: int) -> np.ndarray:
    # Groups behind the last one are empty: they begin and end where it ends.
    return np.stack([np.pad(each, (0, count + 1 - len(each)), "edge") for each in starts]).astype(np.int32)
