"""Part of a dataset, for smoke runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class DatasetSlice:
    """The first images of a dataset.

    It lives here because data workers rebuild it and must not import anything above `jld.data`.

    Args:
        dataset: a dataset of `jld.data`.
        count: how many images; all, if it has fewer.
    """

    def __init__(self, dataset: Any, count: int):
        self._dataset = dataset
        self._count = min(count, len(dataset))

    def __getattr__(self, name: str) -> Any:
        # While it is being unpickled nothing is there yet, and asking for it would never end.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return self._count

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> DatasetSlice:
        """The same images with the classes in another order."""
        return DatasetSlice(self._dataset.with_classes(names, sources), self._count)

    def image_sizes(self) -> np.ndarray:
        """[len(self), 2] (height, width)."""
        return self._dataset.image_sizes()[: self._count]

    def ground_truth(self) -> list[dict]:
        """Ground truth of these images."""
        return self._dataset.ground_truth()[: self._count]

    @property
    def image_ids(self) -> list:
        """Identifiers of these images."""
        return list(self._dataset.image_ids)[: self._count]
