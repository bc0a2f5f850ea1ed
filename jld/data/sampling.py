"""Which images make up which batch: a pure function of seed, epoch and rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jld.errors import ConfigError, DataError


@dataclass(frozen=True)
class BatchPlan:
    """The order of an epoch.

    Args:
        num_images: indices are 0..num_images-1.
        batch_size: images per batch over all ranks together.
        shuffle: draw a new order every epoch.
        drop_last: leave out what does not fill a batch.
        seed: of the order.
        groups: [num_images] integers; batches hold images of one group only. A group's last batch is filled
            with images of the group drawn again, as mmDetection's group sampler does.
        rank: which share of the batches, 0..world-1.
        world: number of ranks.
        split_batches: True gives every rank an equal part of every batch (training; a short last batch is
            filled up with the first images of the epoch), False deals whole batches out in turn (evaluation;
            nothing is lost or repeated).
    """

    num_images: int
    batch_size: int
    shuffle: bool = False
    drop_last: bool = False
    seed: int = 0
    groups: np.ndarray | None = None
    rank: int = 0
    world: int = 1
    split_batches: bool = False

    def __post_init__(self):
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, but must be at least 1.")
        if self.groups is not None and not self.shuffle:
            raise ConfigError(
                "group_by_aspect_ratio needs shuffle=True: evaluation keeps the order of the images."
            )
        if self.split_batches and self.batch_size % self.world:
            raise ConfigError(
                f"batch_size {self.batch_size} cannot be divided over {self.world} processes: make it a "
                f"multiple of {self.world}."
            )
        if self.drop_last and self.num_images < self.batch_size:
            raise DataError(
                f"drop_last leaves no batch: {self.num_images} images for batch_size {self.batch_size}."
            )

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Indices of each batch of this rank, in order."""
        # A fourth word keeps this stream apart from those of the samples, [seed, epoch, index].
        rng = np.random.default_rng([self.seed, epoch, 0, 1])
        batches = self._plain(rng) if self.groups is None else self._grouped(rng)
        if not self.split_batches:
            return batches[self.rank :: self.world]
        first = batches[0]
        return [self._share(batch, first) for batch in batches]

    def _plain(self, rng: np.random.Generator) -> list[np.ndarray]:
        order = rng.permutation(self.num_images) if self.shuffle else np.arange(self.num_images)
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        return [batch for batch in batches if len(batch) == self.batch_size] if self.drop_last else batches

    def _grouped(self, rng: np.random.Generator) -> list[np.ndarray]:
        batches = []
        for group in np.unique(self.groups):
            order = rng.permutation(np.flatnonzero(self.groups == group))
            rest = len(order) % self.batch_size
            if rest and self.drop_last:
                order = order[: len(order) - rest]
            elif rest:
                order = np.concatenate([order, rng.choice(order, self.batch_size - rest)])
            batches += list(order.reshape(-1, self.batch_size))
        if not batches:
            raise DataError(
                f"drop_last leaves no batch: no aspect-ratio group fills batch_size {self.batch_size}."
            )
        return [batches[index] for index in rng.permutation(len(batches))]

    def _share(self, batch: np.ndarray, first: np.ndarray) -> np.ndarray:
        missing = -len(batch) % self.world
        batch = np.concatenate([batch, np.resize(first, missing)]) if missing else batch
        share = len(batch) // self.world
        return batch[self.rank * share : (self.rank + 1) * share]
