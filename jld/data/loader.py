"""Batches for training and evaluation: ordered, reproducible, prepared ahead by worker processes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from jld.data.sampling import BatchPlan
from jld.data.worker import ON_BROKEN, WAITING_SECONDS, WorkerPool, make_batch, say_waiting
from jld.errors import ConfigError, one_of, visible
from jld.utils.distributed import is_main

BATCHES_AHEAD = 2

logger = logging.getLogger(__name__)


class DataLoader:
    """Serves the batches of a dataset, epoch by epoch.

    The order depends on (seed, epoch) alone and each sample's randomness on (seed, epoch, index) alone,
    whatever the number of workers; a run that goes on at `epoch(epoch, start)` sees the same data as one
    that never stopped.

    A file that cannot be read does not end a run: it is named once in a warning. In training the next
    readable image (index + 1, ...) takes its place; in evaluation it is left out and counts as an image
    without detections.

    Args:
        dataset: `len`, `get(index, rng)`, `image_sizes()` for grouping.
        batch_size: images per batch; over all ranks together where `shard` splits batches.
        num_workers: processes that prepare batches; 0 prepares them here, when they are asked for.
        shuffle: a new order every epoch.
        drop_last: leave out what does not fill a batch.
        seed: of order and augmentation.
        group_by_aspect_ratio: batches hold only images wider than high, or only others; needs `shuffle`.
        on_broken: "replace", "skip" or "error"; by default "replace" with `shuffle` and "skip" without.
    Raises:
        ConfigError: values that cannot be.
        DataError: no batch would be left.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        num_workers: int = 0,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int = 0,
        group_by_aspect_ratio: bool = False,
        on_broken: str | None = None,
    ):
        if num_workers < 0:
            raise ConfigError(f"num_workers is {num_workers}, but must not be negative.")
        chosen = on_broken or ("replace" if shuffle else "skip")
        self.on_broken = one_of(chosen, ON_BROKEN, f"DataLoader knows no on_broken {on_broken!r}")
        self.dataset, self.num_workers = dataset, num_workers
        groups = _aspect_groups(dataset) if group_by_aspect_ratio else None
        self.plan = BatchPlan(len(dataset), batch_size, shuffle, drop_last, seed, groups)
        self._num_batches = len(self.plan.epoch(0))
        self._pool: WorkerPool | None = None
        self._named: set[str] = set()

    def __len__(self) -> int:
        return self._num_batches

    def shard(self, rank: int, world: int, *, split_batches: bool) -> DataLoader:
        """The same loader for one of several processes.

        Args:
            rank: which one.
            world: how many.
            split_batches: True gives every rank `batch_size / world` images of each batch and the same number
                of batches to all (training); False deals out whole batches in turn, without loss or
                repetition (evaluation).
        Raises:
            ConfigError: batches that are split have a size that `world` does not divide.
        """
        twin = DataLoader.__new__(DataLoader)
        twin.__dict__.update(self.__dict__)
        twin.plan = replace(self.plan, rank=rank, world=world, split_batches=split_batches)
        if split_batches and twin.on_broken == "skip":
            twin.on_broken = "replace"  # a rank without a batch would let the others wait for ever
        twin._num_batches, twin._pool, twin._named = len(twin.plan.epoch(0)), None, set()
        return twin

    def epoch(self, epoch: int, start: int = 0) -> Iterator[dict[str, Any]]:
        """Batches of one epoch as `collate` describes them.

        Args:
            epoch: from 0.
            start: how many batches to pass over, when a run goes on in the middle of an epoch.
        """
        batches = self.plan.epoch(epoch)[start:]
        prepared = self._ahead(epoch, batches) if self.num_workers else self._here(epoch, batches)
        for batch, broken in prepared:
            for path, reason in broken:
                self._warn_once(path, reason)
            if batch is not None:
                yield batch

    def close(self) -> None:
        """Ends the worker processes; the next epoch starts new ones."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    @property
    def _options(self) -> dict[str, Any]:
        return {"seed": self.plan.seed, "on_broken": self.on_broken}

    def _here(self, epoch: int, batches: list[np.ndarray]) -> Iterator[tuple]:
        for indices in batches:
            # A file may be a pipe, or lie on a server that does not answer.
            clock = threading.Timer(WAITING_SECONDS, say_waiting, (self.dataset, indices))
            clock.daemon = True
            clock.start()
            try:
                batch = make_batch(self.dataset, indices, epoch=epoch, **self._options)
            finally:
                clock.cancel()
            yield batch

    def _ahead(self, epoch: int, batches: list[np.ndarray]) -> Iterator[tuple]:
        if self._pool is None or self._pool.is_closed:
            self._pool = WorkerPool(self.dataset, self.num_workers, self._options)
        pool, waiting = self._pool, deque()
        try:
            for indices in batches:
                waiting.append(pool.submit(epoch, indices))
                if len(waiting) > BATCHES_AHEAD * self.num_workers:
                    yield pool.collect(waiting.popleft())
            while waiting:
                yield pool.collect(waiting.popleft())
        finally:
            for ticket in waiting:
                pool.forget(ticket)

    def _warn_once(self, path: str, reason: str) -> None:
        if path not in self._named:
            self._named.add(path)
            fate = "another image takes its place" if self.on_broken == "replace" else "it is left out"
            # Other ranks show errors only, and nobody else reads their images.
            level = logging.WARNING if is_main() else logging.ERROR
            logger.log(level, "image %s cannot be used: %s; %s.", visible(path, keep=""), reason, fate)


def _aspect_groups(dataset: Any) -> np.ndarray:
    height, width = dataset.image_sizes().T
    return (width > height).astype(np.int64)
