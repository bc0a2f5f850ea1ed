"""The masks of all objects of a dataset: polygons and run lengths in flat arrays, and which are of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jld.boxes.masks import RunLengths, fill_polygons, outline, to_bitmap
from jld.data.instance_masks import PolygonMasks, Polygons, gather_rows

FAULTS = ("", "without a mask", "with an empty mask", "whose box and mask disagree")
"""Why training ignores an object; index 0 is none."""
MISSING, EMPTY, ELSEWHERE = 1, 2, 3


@dataclass(frozen=True)
class MaskTable:
    """Masks of T objects; an object has polygons, or run lengths, or neither.

    polygons: in px of each object's image. texts [B] uint8 are the counts of all run lengths; those of object
    t are the bytes text_starts[t] up to text_starts[t + 1]. faults [T] uint8 are indices into `FAULTS`.
    """

    polygons: Polygons
    texts: np.ndarray
    text_starts: np.ndarray
    faults: np.ndarray

    @classmethod
    def of(cls, polygons: Polygons, texts: Sequence[str], faults: np.ndarray) -> MaskTable:
        """From the counts of each object as text, "" where it has none."""
        joined = np.frombuffer("".join(texts).encode(), np.uint8)
        return cls(polygons, joined, np.cumsum([0, *map(len, texts)]), np.asarray(faults, np.uint8))

    def __len__(self) -> int:
        return len(self.faults)

    def __getitem__(self, rows: np.ndarray) -> MaskTable:
        """The masks of these objects [k], in this order."""
        indices = np.arange(len(self))[rows]
        letters, text_starts = gather_rows(self.text_starts, indices)
        return replace(
            self,
            polygons=self.polygons.take(indices),
            texts=self.texts[letters],
            text_starts=text_starts,
            faults=self.faults[indices],
        )

    @property
    def is_usable(self) -> np.ndarray:
        """[T] bool: the objects without a fault."""
        return self.faults == 0

    def rles(self, sizes: np.ndarray) -> list[RunLengths]:
        """The masks as run lengths; `sizes` [T, 2] are (height, width) of the images they lie in."""
        return [
            self._rle(index, size) or fill_polygons(self.polygons.parts(index), size)
            for index, size in enumerate(map(tuple, np.asarray(sizes).tolist()))
        ]

    def sample(self, size: tuple[int, int], image_size: tuple[int, int]) -> PolygonMasks:
        """All masks as polygons.

        Args:
            size: (height, width) that the annotations give the image.
            image_size: of its file.
        """
        fields = self.polygons
        if len(self.texts):
            drawn = [self._rle(index, size) for index in range(len(self))]
            fields = Polygons.of(
                [
                    self.polygons.parts(index) if mask is None else [outline(to_bitmap(mask))]
                    for index, mask in enumerate(drawn)
                ]
            )
        return PolygonMasks(fields.vertices, fields.part_starts, fields.object_starts, image_size)

    def _rle(self, index: int, size: tuple[int, int]) -> RunLengths | None:
        text = self.texts[self.text_starts[index] : self.text_starts[index + 1]].tobytes().decode()
        return {"size": list(size), "counts": text} if text else None
