"""What a dataset's labels look like in numbers: classes, sizes, shapes, objects per image, angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jld.boxes.rotated import regularize_rboxes
from jld.data.dataset import DetectionDataset
from jld.data.oriented import OrientedTable

SIZES = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
"""{size of an object: its least area in px squared}, as COCO's evaluation has them."""


@dataclass(frozen=True)
class LabelStatistics:
    """T objects that training learns from, in M images.

    Attributes:
        classes: names, in the order of the labels.
        labels: [T] 0-based; owners: [T] number of the image.
        sides: [T, 2] width and height px; of rotated boxes the longer and the shorter side.
        angles: [T] degrees of the longer side, clockwise on the screen, in [-90, 90); None for upright boxes.
        image_sizes: [M, 2] (height, width) px.
        num_ignored: [C] crowds and difficult objects of each class.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    owners: np.ndarray
    sides: np.ndarray
    angles: np.ndarray | None
    image_sizes: np.ndarray
    num_ignored: np.ndarray

    @classmethod
    def of(cls, dataset: DetectionDataset) -> LabelStatistics:
        """The numbers of a dataset with a table of annotations."""
        table = dataset.table
        if isinstance(table, OrientedTable):
            rboxes = regularize_rboxes(table.boxes, "le90")
            sides, angles = rboxes[:, 2:4], np.degrees(rboxes[:, 4])
            is_ignored = table.is_ignored
        else:
            sides, angles = table.boxes[:, 2:] - table.boxes[:, :2], None
            is_ignored = table.is_crowd | table.is_difficult
        owners = np.repeat(np.arange(len(table)), np.diff(table.offsets))
        chosen = table.is_usable & ~is_ignored
        return cls(
            classes=tuple(dataset.classes),
            labels=table.labels[chosen],
            owners=owners[chosen],
            sides=sides[chosen],
            angles=None if angles is None else angles[chosen],
            image_sizes=table.sizes,
            num_ignored=np.bincount(
                table.labels[table.is_usable & is_ignored], minlength=len(dataset.classes)
            ),
        )

    @property
    def areas(self) -> np.ndarray:
        """[T] px squared, width times height."""
        return self.sides.prod(axis=1)

    @property
    def ratios(self) -> np.ndarray:
        """[T] width by height; of rotated boxes the longer by the shorter side."""
        return self.sides[:, 0] / self.sides[:, 1]

    @property
    def size_index(self) -> np.ndarray:
        """[T] position in `SIZES`."""
        return np.searchsorted(list(SIZES.values()), self.areas, side="right") - 1

    @property
    def objects_per_image(self) -> np.ndarray:
        """[M] objects."""
        return np.bincount(self.owners, minlength=len(self.image_sizes))

    def table(self) -> str:
        """A row for each class and one for all: counts, sizes, medians of the sides and of their ratio."""
        shape = "long x short" if self.angles is not None else "width x height"
        titles = ["class", "objects", "images", "ignored", *SIZES, f"{shape} px", "ratio"]
        rows = [titles]
        for label, name in enumerate(self.classes):
            rows.append([name, *self._row(self.labels == label, self.num_ignored[label])])
        everything = np.ones(len(self.labels), bool)
        rows.append(["all", *self._row(everything, self.num_ignored.sum())])
        widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join([*lines, self._images()])

    def _row(self, mask: np.ndarray, num_ignored: int) -> list[str]:
        counts = np.bincount(self.size_index[mask], minlength=len(SIZES))
        texts = [str(mask.sum()), str(len(np.unique(self.owners[mask]))), str(num_ignored), *map(str, counts)]
        if not mask.any():
            return [*texts, "-", "-"]
        width, height = np.median(self.sides[mask], axis=0)
        return [*texts, f"{width:.0f} x {height:.0f}", f"{np.median(self.ratios[mask]):.2f}"]

    def _images(self) -> str:
        counts = self.objects_per_image
        height, width = np.median(self.image_sizes, axis=0)
        return (
            f"{len(counts)} images of {width:.0f} x {height:.0f} px (medians), "
            f"{int((counts == 0).sum())} without an object; "
            f"objects per image: {counts.mean():.1f} on average, {counts.max()} at most"
        )
