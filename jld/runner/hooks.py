"""What happens around the steps of a run: averaging, evaluation, logging, checkpoints.

Hooks run in the order of their list: weights are averaged before they are evaluated, evaluated before they
are saved.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jld.errors import ConfigError
from jld.optim import WeightAverage
from jld.registry import HOOKS
from jld.runner.history import _to_float
from jld.runner.logs import RunLogger
from jld.runner.state import LAST, save_state
from jld.runner.work_folder import OwnCheckpoints
from jld.utils import stopping
from jld.utils.distributed import is_main, world_size
from jld.utils.logging import get_logger, warn_once

if TYPE_CHECKING:
    from jld.runner.loop import TrainingLoop

SILENT_STEPS = 100


class Hook:
    """Base: does nothing at each moment.

    `loop` is the `TrainingLoop` with `loop.detector`, `loop.distiller` and `loop.dataset`, that of training.
    What a hook must still know when a killed run is resumed is its state.

    Attributes:
        name: under which the state is saved; the class's name by default.
        is_done: whether the training may end with this epoch; of any hook it does.
    """

    @property
    def name(self) -> str:
        """See the class."""
        return type(self).__name__

    @property
    def is_done(self) -> bool:
        """See the class."""
        return False

    def before_training(self, loop: TrainingLoop) -> None:
        """Before the first step, after a resume."""

    def before_epoch(self, loop: TrainingLoop) -> None:
        """Before the first batch of an epoch is read; not where a run is resumed in the middle of one."""

    def before_step(self, loop: TrainingLoop) -> None:
        """Before each optimizer step, whose index is `loop.iteration`."""

    def after_step(self, loop: TrainingLoop) -> None:
        """After each optimizer step."""

    def after_epoch(self, loop: TrainingLoop) -> None:
        """After each whole epoch."""

    def after_training(self, loop: TrainingLoop) -> None:
        """After the last step."""

    def evaluating(self, loop: TrainingLoop) -> AbstractContextManager:
        """What surrounds each evaluation, such as other weights in `loop.detector`."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Plain data and arrays from which `load_state_dict` goes on; hooks without a state inherit this."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`; called before `before_training`.

        Raises:
            CheckpointError: it does not fit.
        """


@HOOKS.register
class EMAHook(Hook):
    """Keeps an exponential average of the weights, which is evaluated and saved beside them.

    Args:
        decay, warmup_iters: see `jld.optim.WeightAverage`.
    """

    name = "ema"

    def __init__(self, decay: float = 0.9998, warmup_iters: int = 2000):
        self.decay = decay
        self.warmup_iters = warmup_iters
        self.average: WeightAverage | None = None
        self._saved: Mapping[str, Any] = {}

    def before_training(self, loop: TrainingLoop) -> None:
        """See `Hook`; starts at the detector's weights where no average was saved."""
        if self.average is not None:
            return
        self.average = WeightAverage(dict(loop.detector.named_parameters()), self.decay, self.warmup_iters)
        if self._saved:
            self.average.load_state_dict(self._saved)

    def after_step(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        self._begun().update()

    def evaluating(self, loop: TrainingLoop) -> AbstractContextManager:
        """See `Hook`; the detector has the averaged weights."""
        return self._begun().applied()

    def _begun(self) -> WeightAverage:
        if self.average is None:
            raise ValueError("EMAHook keeps no average before `before_training`.")
        return self.average

    def state_dict(self) -> dict[str, Any]:
        """See `WeightAverage`."""
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Hook`."""
        self._saved = state


class LogHook(Hook):
    """Writes a training record every `interval` steps and stops a run whose losses are not finite.

    Speed and remaining time of the first record are those of the second half of its steps: the first ones
    compile their kernels. Where that is a single step, the time is not told yet.

    Args:
        logger: see `RunLogger`.
        interval: steps between records; 0 writes none, and losses are then looked at every 50 steps.
    """

    def __init__(self, logger: RunLogger, interval: int | None = 50):
        self.logger = logger
        self.interval = interval or 0
        self._started = 0.0
        self._images_before = 0
        self._weighed: set[str] = set()
        self._silent: dict[str, int] = {}  # steps since a term has last given something
        self._compiled_at: int | None = None

    def before_training(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        self.logger.start_bar(loop.total_steps, loop.iteration)
        self._restart(loop)
        interval = self.interval or 50
        self._compiled_at = loop.iteration + (interval - loop.iteration % interval + 1) // 2

    def after_step(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        self.logger.advance()
        is_logged = loop.iteration % (self.interval or 50) == 0
        if loop.iteration == self._compiled_at and not is_logged:
            self._compiled_at = None
            self._restart(loop)
        if not is_logged:
            return
        loop.history.fetch()
        if self.interval:
            self.logger.log(self._record(loop))
        else:
            loop.history.means()
        self._compiled_at = None
        self._restart(loop)

    def after_training(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        loop.history.fetch()

    def _restart(self, loop: TrainingLoop) -> None:
        self._started = time.perf_counter() - loop.paused_seconds
        self._images_before, self._first_step = loop.images_seen, loop.iteration

    def _record(self, loop: TrainingLoop) -> dict[str, Any]:
        seconds = max(time.perf_counter() - loop.paused_seconds - self._started, 1e-9)
        images = (loop.images_seen - self._images_before) * world_size()
        steps = max(loop.iteration - self._first_step, 1)
        left = datetime.timedelta(seconds=int((loop.total_steps - loop.iteration) * seconds / steps))
        means = loop.history.means()
        extra = {}
        if loop.distiller is not None:
            extra = loop.distiller.log_values()
            losses = {name: value for name, value in means.items() if name != "total_loss"}
            self._weigh(loop.distiller.describe_shares(losses))
            self._note_silence(loop.distiller.silent_terms(losses), steps)
        loss_scale = loop.optimizer.loss_scale
        scaling = {} if loss_scale is None else loss_scale.log_values()
        rates = loop.optimizer.rates
        return {
            "epoch": loop.epoch + 1,
            "iter": loop.iteration,
            "total_iter": loop.total_steps,
            "lr": next(iter(rates.values())),
            **({f"lr/{name}": rate for name, rate in rates.items()} if len(rates) > 1 else {}),
            **means,
            **{f"distill/{name}": _to_float(value) for name, value in extra.items()},
            **{f"optimizer/{name}": _to_float(value) for name, value in scaling.items()},
            "images_per_second": images / seconds,
            "eta": "unknown" if self._compiled_at else str(left),
        }

    def _weigh(self, shares: Mapping[str, str]) -> None:
        """Says once of each term, when it has first acted, what it weighs."""
        for term, line in shares.items():
            if term not in self._weighed:
                get_logger("run").info(line)
        self._weighed |= set(shares)

    def _note_silence(self, terms: Sequence[str], steps: int) -> None:
        """Warns once of each term that gives nothing for long: nobody looks for zeros in a log."""
        self._silent = {term: self._silent.get(term, 0) + steps for term in terms}
        for term, count in self._silent.items():
            if count >= SILENT_STEPS:
                warn_once(
                    f"{term} was 0 in each of the last {count} steps: its region holds no place of these "
                    "images, or student and teacher agree to the last digit.",
                    key=f"{term} is silent",
                )


class EvaluationHook(Hook):
    """Evaluates every `interval` epochs and at the end; remembers the best.

    Args:
        evaluate: () -> Metrics.
        logger: receives `eval/...` records.
        interval: epochs; 0 evaluates only at the end.
        best_metric: name of the number in the metrics that decides which weights are best; larger is better.
    Raises:
        ConfigError: the metrics have no such number.
    """

    def __init__(
        self,
        evaluate: Callable[[], Mapping[str, Any]],
        logger: RunLogger,
        interval: int | None = 1,
        best_metric: str = "AP",
    ):
        self.evaluate = evaluate
        self.logger = logger
        self.interval = interval or 0
        self.best_metric = best_metric

    def after_epoch(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if self.interval and loop.epoch % self.interval == 0:
            self._run(loop)

    def after_training(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if loop.metrics_iteration != loop.iteration:
            self._run(loop)

    def _run(self, loop: TrainingLoop) -> None:
        loop.history.fetch()
        with loop.paused(), loop.evaluating():
            metrics = self.evaluate()
        loop.detector.train()
        scores = numbers_of(metrics)
        loop.metrics, loop.metrics_iteration = dict(metrics), loop.iteration
        value = chosen_number(scores, self.best_metric)
        # After a resume with another best_metric the old best is a number of another kind.
        if loop.best.get("name") != self.best_metric or value > loop.best["value"]:
            loop.best = {"name": self.best_metric, "value": float(value), "iteration": loop.iteration}
        self.logger.log(
            {
                "epoch": loop.epoch,
                "iter": loop.iteration,
                **{f"eval/{key}": score for key, score in scores.items()},
            }
        )


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the metrics of an evaluation."""
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def chosen_number(numbers: Mapping[str, float], name: str) -> float:
    """The number called `name`.

    Raises:
        ConfigError: there is none; names those that there are.
    """
    if name not in numbers:
        raise ConfigError(
            f"best_metric is {name!r}, which the evaluation does not give: use one of {', '.join(numbers)}."
        )
    return numbers[name]


class CheckpointHook(Hook):
    """Saves last.pkl, epoch_K.pkl and best.pkl.

    Args:
        folder: where.
        collect: loop -> training state (see `jld.runner.state.collect_state`).
        interval: epochs; 0 saves only at the end.
        every_iters: also save last.pkl every so many steps, for long epochs; None is never.
        keep: how many epoch_K.pkl of this run to keep, the newest; None keeps all.
        resumed: the run goes on from a file in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        collect: Callable[[TrainingLoop], dict[str, Any]],
        interval: int | None = 1,
        *,
        every_iters: int | None = None,
        keep: int | None = None,
        resumed: bool = False,
    ):
        self.folder = folder
        self.collect = collect
        self.interval = interval or 0
        self.every_iters = every_iters or 0
        self._own = OwnCheckpoints(folder, keep, resumed)
        self._saved_at: tuple[int, int] | None = None

    def after_step(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if self.every_iters and loop.iteration % self.every_iters == 0:
            self._save(loop)

    def after_epoch(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if self.interval and loop.epoch % self.interval == 0:
            self._save(loop, f"epoch_{loop.epoch}.pkl")
            if is_main():
                self._own.add(f"epoch_{loop.epoch}.pkl")
        self._save_best(loop)

    def after_training(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if self._saved_at != (loop.iteration, loop.epoch):
            self._save(loop)
        self._save_best(loop)

    def save_when_stopped(self, loop: TrainingLoop, stop: stopping.Stopped) -> str:
        """Saves last.pkl if the loop stands between two steps; returns what to say about it."""
        last = self.folder / LAST
        if not loop.is_in_step and (stop.in_order or world_size() == 1):
            self._save(loop)
            return f"{last} holds iteration {loop.iteration}: go on with --resume."
        if not last.exists():
            return "Nothing was saved yet."
        return f"The running step was broken off: go on from the last checkpoint in {last} with --resume."

    def _save_best(self, loop: TrainingLoop) -> None:
        if loop.best.get("iteration") == loop.iteration:
            self._save(loop, "best.pkl", and_last=False)

    def _save(self, loop: TrainingLoop, copy: str | None = None, *, and_last: bool = True) -> None:
        # Weights after a step that was not finite must not replace good ones.
        loop.history.fetch()
        self._saved_at = (loop.iteration, loop.epoch) if and_last else self._saved_at
        if is_main():
            with loop.paused():
                names = ([LAST] if and_last else []) + ([copy] if copy else [])
                save_state(self.collect(loop), [self.folder / name for name in names])
