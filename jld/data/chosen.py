"""Some images of a dataset, for what looks at them outside of training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np

from jld.data.dataset import DetectionDataset
from jld.data.transforms import Compose, Sample, Transform


class ChosenImages:
    """The images behind some indices of a dataset, served as `DataLoader` asks for them.

    Args:
        dataset: of boxes.
        indices: into the dataset, in the order wanted.
        transforms: instead of the dataset's own; None keeps those.
    """

    def __init__(
        self, dataset: DetectionDataset, indices: Sequence[int], transforms: Iterable[Transform] | None = None
    ):
        self.dataset, self.indices = copy(dataset), [int(index) for index in indices]
        if transforms is not None:
            self.dataset.transforms = Compose(transforms)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def image_ids(self) -> list:
        """Identifier of every image."""
        return [self.dataset.table.image_ids[index] for index in self.indices]

    def describe(self) -> str:
        """Which images, and what happens to them, as text: equal texts mean equal samples."""
        steps = [f"{type(each).__name__}{vars(each)}" for each in self.dataset.transforms.transforms]
        return f"{self.image_ids} {steps}"

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """See `Dataset`."""
        return self.dataset.get(self.indices[index], rng)

    def image_file(self, index: int) -> str:
        """See `Dataset`."""
        return self.dataset.image_file(self.indices[index])


def images_with_classes(
    dataset: DetectionDataset, *, max_images: int, min_side_px: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images that hold every class, at most some for each, drawn by a seed.

    Args:
        dataset: with a table of upright boxes.
        max_images: of each class.
        min_side_px: a box counts when both of its sides, in original pixels, are longer.
        seed: of the draws.
    Returns:
        indices [I] of the images, ascending, and [I, C] bool: which class an image was drawn for.
    """
    table = dataset.table
    sides = table.boxes[:, 2:4] - table.boxes[:, :2]
    counts = table.is_usable & ~table.is_crowd & ~table.is_difficult & (sides > min_side_px).all(axis=1)
    owner = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    drawn = np.zeros((len(table), len(dataset.classes)), bool)
    for label in range(len(dataset.classes)):
        images = np.unique(owner[counts & (table.labels == label)])
        if len(images) > max_images:
            images = np.random.default_rng([seed, label]).choice(images, max_images, replace=False)
        drawn[images, label] = True
    chosen = np.flatnonzero(drawn.any(axis=1))
    return chosen, drawn[chosen]
