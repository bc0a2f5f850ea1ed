"""The training loop: batches in, steps out. Everything that is not a step is a hook.

One step is the four lines in `TrainingLoop.losses_of`; a detector knows nothing of the distiller.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from jld.data import DataLoader, Dataset
from jld.distill import Distiller, Step
from jld.errors import ConfigError
from jld.models import Detector, Targets
from jld.ops.precision import FLOAT32, convolutions_in
from jld.optim import Optimizer, Optimizers, Progress, Schedule
from jld.runner.history import LossHistory, sum_up, total_loss
from jld.runner.hooks import Hook
from jld.runner.ranks import largest_over_ranks
from jld.toolchain import jittor as jt
from jld.utils import stopping
from jld.utils.distributed import rank


class TrainingLoop:
    """Trains a detector for a number of epochs or iterations.

    An iteration is one optimizer step; it takes `accumulate_steps` batches, whose losses are averaged.

    Args:
        detector: the student.
        loader: `len`, and `epoch(epoch, start)` giving batch dicts in an order that follows from the epoch.
        optimizer: one, or several as `Optimizers`.
        schedule: of every optimizer, or {name of the optimizer: schedule}; None keeps the learning rate.
        distiller: adds losses from a teacher, or None.
        max_epoch, max_iter: the end; exactly one is given.
        accumulate_steps: batches per step.
        precision: of the convolutions of student and teacher, see `jld.ops.precision`. float16 needs
            `Optimizers` with a loss scale.
        seed: every random draw of a step follows from this and the iteration.
        hooks: called in this order at each moment, see `Hook`.
        history: where the losses go.
    Attributes:
        epoch: finished epochs.
        iteration: finished steps; during a step its index, counted from 0.
        batch_index: batches of the current epoch that are done.
        metrics: of the latest evaluation, with `metrics_iteration`; empty before the first.
        best: {"name", "value", "iteration"} of the best evaluation; empty before the first.
        paused_seconds: time spent outside training (evaluation, checkpoints).
        is_in_step: the weights may be those of half a step.
        work_dir: the run's folder, for hooks that write files; None: they write none.
    """

    def __init__(
        self,
        detector: Detector,
        loader: DataLoader,
        optimizer: Optimizer | Optimizers,
        schedule: Schedule | Mapping[str, Schedule] | None = None,
        *,
        distiller: Distiller | None = None,
        max_epoch: int | None = None,
        max_iter: int | None = None,
        accumulate_steps: int = 1,
        precision: str = FLOAT32,
        seed: int = 0,
        hooks: Sequence[Hook] = (),
        history: LossHistory | None = None,
    ):
        if (max_epoch is None) == (max_iter is None):
            raise ValueError("TrainingLoop needs max_epoch or max_iter, one of the two.")
        self.detector, self.loader, self.schedule = detector, loader, schedule
        self.optimizer = optimizer if isinstance(optimizer, Optimizers) else Optimizers(optimizer)
        self.distiller = distiller
        self.max_epoch, self.max_iter = max_epoch, max_iter
        self.accumulate_steps = accumulate_steps
        self.precision = precision
        self.seed = seed
        self.hooks = list(hooks)
        self.history = history or LossHistory()
        self.work_dir: Path | None = None
        self.epoch = self.iteration = self.batch_index = 0
        self.images_seen = 0
        self.metrics: dict[str, Any] = {}
        self.metrics_iteration = -1
        self.best: dict[str, Any] = {}
        self.paused_seconds = 0.0
        self.is_in_step = False

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch; the last one may take fewer batches."""
        return -(-len(self.loader) // self.accumulate_steps)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        if self.max_iter is not None:
            return self.max_iter
        return (self.max_epoch or 0) * self.steps_per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether the end is reached, or a hook needs no more."""
        return self.is_at_length or any(hook.is_done for hook in self.hooks)

    @property
    def is_at_length(self) -> bool:
        """Whether all steps of the config are done."""
        if self.max_iter is not None:
            return self.iteration >= self.max_iter
        return self.epoch >= (self.max_epoch or 0)

    @property
    def progress(self) -> Progress:
        """The position, as schedules read it."""
        return Progress(self.iteration, self.epoch, by_epoch=self.max_iter is None)

    @property
    def dataset(self) -> Dataset:
        """What the loader reads from, for hooks that look through the training images."""
        return self.loader.dataset

    def run(self) -> None:
        """Trains from the current position to the end.

        Raises:
            ConfigError: two hooks with a state have one name, or a term lacks what a hook should give it.
            TrainingError: a loss is not finite.
            Stopped: a signal was noted, see `jld.utils.stopping`.
        """
        self.stateful_hooks()
        self._call("before_training")
        if self.distiller is not None:
            self.distiller.begin(self.total_steps, self.steps_per_epoch)
        while not self.is_finished:
            self._run_epoch()
        self._call("after_training")

    def _run_epoch(self) -> None:
        if self.batch_index == 0:
            self._call("before_epoch")
        self.detector.train()
        batches = iter(self.loader.epoch(self.epoch, start=self.batch_index))
        while group := list(islice(batches, self.accumulate_steps)):
            self._call("before_step")
            self._step(group)
            self._call("after_step")
            stopping.poll(largest_over_ranks)
            if self.max_iter is not None and self.iteration >= self.max_iter:
                return
        self.epoch += 1
        self.batch_index = 0
        try:
            self._call("after_epoch")
        except BaseException:
            # What is saved after a stop is as the last batch left it: resumed, the epoch ends once more.
            self.epoch, self.batch_index = self.epoch - 1, len(self.loader)
            raise

    def _step(self, batches: Sequence[Mapping[str, Any]]) -> None:
        self.is_in_step = True
        seed_step(self.seed, self.iteration)
        self.optimizer.follow(self.schedule, self.progress)
        for batch in batches:
            with convolutions_in(self.precision):
                losses = sum_up(self.losses_of(batch))
            total = total_loss(losses)
            self.optimizer.backward(total / len(batches) if len(batches) > 1 else total)
            values = {"total_loss": total, **losses}
            # Detached: a held loss would keep the graph of its step in memory.
            self.history.add(
                self.iteration + 1,
                {name: value.detach() for name, value in values.items()},
                batch["img_files"],
            )
            self.images_seen += len(batch["img_files"])
            del losses, total, values
            # Launches the work without waiting for it, so that the graph never spans two batches.
            jt.sync_all()
        self.optimizer.step()
        jt.sync_all()
        self.iteration += 1
        self.batch_index += len(batches)
        self.is_in_step = False

    def losses_of(self, batch: Mapping[str, Any]) -> dict[str, jt.Var]:
        """{name: scalar Var} of one batch: the detector's losses, then the distiller's."""
        images, targets = jt.array(batch["images"]), Targets.from_batch(batch, self.seed, self.iteration)
        features = self.detector.features(images)
        trace = self.detector.predict(features, targets)
        losses = dict(self.detector.losses(trace, targets))
        if self.distiller is not None:
            step = Step(images, targets, self.detector, features, trace, self.iteration)
            taught = self.distiller(step)
            if twice := losses.keys() & taught.keys():
                raise ConfigError(
                    f"detector and distiller both have a loss {min(twice)!r}: give the term another name."
                )
            losses.update(taught)
        return losses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps the time of a `with` block out of the training speed."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.paused_seconds += time.perf_counter() - start

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A `with` block in which the detector has the weights that hooks want evaluated."""
        with ExitStack() as stack:
            for hook in self.hooks:
                stack.enter_context(hook.evaluating(self))
            yield

    def stateful_hooks(self) -> dict[str, Hook]:
        """{name: hook} of the hooks that have a state to be saved.

        Raises:
            ConfigError: two of them have one name.
        """
        found: dict[str, Hook] = {}
        for hook in self.hooks:
            if type(hook).state_dict is not Hook.state_dict:
                if hook.name in found:
                    raise ConfigError(f"two hooks with a state are called {hook.name!r}: rename one of them.")
                found[hook.name] = hook
        return found

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)


def seed_step(seed: int, iteration: int) -> None:
    """Makes Jittor's random numbers of a step a function of (seed, iteration, rank).

    Jittor's generator cannot be saved; seeding each step lets a resumed run draw what it would have drawn.
    """
    jt.set_seed(int(np.random.SeedSequence([seed, iteration, rank()]).generate_state(1)[0] >> 1))
