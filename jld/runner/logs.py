"""Where a run's numbers and pictures go: log.jsonl, TensorBoard, other trackers and the terminal.

`log.jsonl` holds one JSON object per line. Training lines have epoch, iter (finished steps), time, lr,
total_loss, every loss, images_per_second and eta, in float16 also optimizer/loss_scale and
optimizer/skipped_steps, with several optimizers also lr/<name>; evaluation lines have `eval/<metric>` keys.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np

from jld.registry import HOOKS, LOGGERS
from jld.utils.distributed import is_main
from jld.utils.line_file import LineFile
from jld.utils.logging import get_logger

# The entries of a training record that are no losses; further ones have a slash in their names.
_NO_LOSSES = frozenset(
    ("time", "epoch", "iter", "total_iter", "lr", "total_loss", "images_per_second", "eta")
)


@LOGGERS.interface
class Logger:
    """Base of the places a run's records go to. Its arguments are settings; `open` begins a run.

    What goes to a server or a thread of its own may fail without ending a training, see `RunLogger`.

    Attributes:
        is_vital: an error of it ends the run.
        takes_pictures: whether `log_pictures` does anything.
    """

    is_vital = False
    takes_pictures = False

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """Begins.

        Args:
            work_dir: of the run, there already.
            keep_old: go on with what an interrupted part of the run has left.
            config: of the run, plain data.
        """

    def log(self, record: Mapping[str, Any]) -> None:
        """Takes one record, with `iter`."""

    def log_pictures(self, pictures: Mapping[str, np.ndarray], iteration: int) -> None:
        """Takes {name: uint8 [H, W, 3] BGR} of an evaluation."""

    def close(self) -> None:
        """Ends; nothing is logged afterwards."""


@LOGGERS.register(name="TextLogger")
class JsonLines(Logger):
    """Appends records to `log.jsonl`, each line handed to the system before the next."""

    is_vital = True

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """See `Logger`."""
        path = work_dir / "log.jsonl"
        if path.exists() and not keep_old:
            # Another run's lines must not mix with ours, and must not be lost.
            number = next(k for k in range(1, 10**6) if not (work_dir / f"log.{k}.jsonl").exists())
            path.rename(work_dir / f"log.{number}.jsonl")
        self._file = LineFile(path, on_loss=get_logger("run").warning)

    def log(self, record: Mapping[str, Any]) -> None:
        """Writes one record; NaN and infinity become text, which JSON can hold."""
        self._file.write(json.dumps({key: _jsonable(value) for key, value in record.items()}))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@LOGGERS.register(name="TensorboardLogger")
class TensorBoard(Logger):
    """Writes every number of a record as a scalar over iterations."""

    is_vital = True
    takes_pictures = True

    def open(self, work_dir: Path, keep_old: bool, config: Mapping[str, Any]) -> None:
        """See `Logger`."""
        # Imported here: the package costs a second and is not needed without it.
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(work_dir / "tensorboard"))
        self._is_lost = False
        # It writes in a thread of its own; one that an error has ended would let the training wait for ever.
        events = self._writer.file_writer.event_writer._ev_writer
        for name in ("write_event", "flush", "close"):
            setattr(events, name, self._guarded(getattr(events, name)))

    def log(self, record: Mapping[str, Any]) -> None:
        """Writes one record."""
        for key, value in scalars(record).items():
            self._writer.add_scalar(key, value, record["iter"])
        self._writer.flush()

    def log_pictures(self, pictures: Mapping[str, np.ndarray], iteration: int) -> None:
        """See `Logger`."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture[..., ::-1], iteration, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()

    def _guarded(self, write: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            try:
                write(*arguments)
            except (OSError, ValueError) as error:  # ValueError: closing a file has failed before
                if not self._is_lost:
                    get_logger("run").warning("TensorBoard's events are lost: %s.", error)
                self._is_lost = True

        return guarded


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """What a tracker draws over `iter`: the numbers of a record, without those that count its position."""
    return {
        key: value
        for key, value in record.items()
        if isinstance(value, int | float) and key not in ("iter", "epoch", "time", "total_iter")
    }


@HOOKS.register
class RunLogger:
    """The log of a run; silent on every rank but the first.

    Args:
        loggers: names, such as "TextLogger" (log.jsonl) and "TensorboardLogger", or sections of those with
            settings, such as dict(type="WandbLogger", project="detectors").
        pictures: images of dataset.val whose detections go to the loggers after each evaluation.
    Raises:
        ConfigError: unknown logger.
    """

    def __init__(
        self,
        loggers: Sequence[Annotated[str, LOGGERS] | Logger] = ("TextLogger", "TensorboardLogger"),
        pictures: int = 0,
    ):
        self.loggers = [LOGGERS.get(each)() if isinstance(each, str) else each for each in loggers]
        self.pictures = pictures if any(each.takes_pictures for each in self.loggers) else 0
        self._open: list[Logger] = []
        self._bar: Any = None
        self._redirection = ExitStack()

    def open(
        self, work_dir: Path, keep_old: bool = False, config: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Begins in `work_dir`; `keep_old` continues an earlier log (resume). See `Logger.open`."""
        if is_main():
            work_dir.mkdir(parents=True, exist_ok=True)
            self._open = list(self.loggers)
            self._tell("open", work_dir, keep_old, config)

    def start_bar(self, total: int, done: int) -> None:
        """A progress bar over iterations, on terminals only."""
        if is_main() and sys.stderr.isatty():
            from tqdm import tqdm
            from tqdm.contrib.logging import logging_redirect_tqdm

            # Log lines then appear above the bar instead of through it.
            self._redirection.enter_context(logging_redirect_tqdm([get_logger()]))
            self._bar = tqdm(total=total, initial=done, unit="it", dynamic_ncols=True)

    def advance(self) -> None:
        """Moves the bar by one iteration."""
        if self._bar is not None:
            self._bar.update()

    def log(self, record: Mapping[str, Any]) -> None:
        """Writes a record with `iter` to every sink and shows it."""
        if not is_main():
            return
        stamped = {"time": round(time.time(), 3), **record}
        self._tell("log", stamped)
        if "total_loss" in record:
            if self._bar is not None:
                self._bar.set_postfix(loss=f"{record['total_loss']:.4f}", lr=f"{record['lr']:.2e}")
            get_logger("run").info(training_line(record))

    def log_pictures(self, pictures: Mapping[str, np.ndarray], iteration: int) -> None:
        """Hands {name: uint8 [H, W, 3] BGR} to the loggers that take pictures."""
        self._tell("log_pictures", pictures, iteration)

    def _tell(self, what: str, *arguments: Any) -> None:
        """Calls a method of every logger; one of a tracker that fails is left alone from then on."""
        for logger in list(self._open):
            try:
                getattr(logger, what)(*arguments)
            except Exception as error:
                if logger.is_vital:
                    raise
                self._open.remove(logger)
                name = type(logger).__name__
                get_logger("run").warning("%s has failed and gets nothing more: %s", name, error)

    def close(self) -> None:
        """Closes files and bar."""
        self._tell("close")
        self._open = []
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._redirection.close()


def training_line(record: Mapping[str, Any]) -> str:
    """A training record as one line of text."""
    # `distill/...` entries are for the files: unweighted terms and counts.
    names = [name for name in record if name not in _NO_LOSSES and "/" not in name]
    parts = [f"{name} {record[name]:.4f}" for name in names]
    return (
        f"epoch {record['epoch']} iter {record['iter']}/{record['total_iter']} lr {record['lr']:.3e} "
        f"loss {record['total_loss']:.4f} ({', '.join(parts)}) "
        f"{record['images_per_second']:.2f} images/s eta {record['eta']}"
    )


def _jsonable(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
