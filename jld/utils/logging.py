"""The logger "jld": one line per message, from rank 0 only, on the screen and in the run's text log."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from jld.errors import visible
from jld.utils.distributed import is_main
from jld.utils.line_file import LineFile

NAME = "jld"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_said: set[str] = set()


class _VisibleFormatter(logging.Formatter):
    """Names from files stand in messages: none of them may act on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class _EarlyLines(logging.Handler):
    """Keeps what is said before the text log is open."""

    def __init__(self, lines: Iterable[str] = ()):
        super().__init__()
        self.lines = deque(lines, maxlen=1000)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _TextLog(logging.Handler):
    """Appends to a file; where it cannot be written any more, that is said once on the screen."""

    def __init__(self, file: Path, early: Iterable[str] = ()):
        super().__init__()
        self._file = LineFile(file, on_loss=lambda text: print(f"jld: {text}", file=sys.stderr))
        for line in early:
            self._file.write(line)

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write(self.format(record))

    def close(self) -> None:
        self._file.close()
        super().close()


def get_logger(topic: str = "") -> logging.Logger:
    """The logger of jld or of one of its topics, `jld.<topic>`.

    Until `set_up_logging` is called it behaves as any library's: the program that uses jld decides.
    """
    return logging.getLogger(f"{NAME}.{topic}" if topic else NAME)


def set_up_logging(file: str | Path | None = None, level: int | str = logging.INFO) -> logging.Logger:
    """Sends messages to stderr and, when given, to the end of `file`; for programs, not for the library.

    Ranks other than 0 keep errors only and write no file. Calling it again replaces what it set before.

    Args:
        file: text log; missing folders are made. What was said since an earlier call without a file goes
            into it first.
        level: of rank 0.
    Raises:
        OSError: the file cannot be opened.
    """
    logger = get_logger()
    early = [line for each in logger.handlers if isinstance(each, _EarlyLines) for line in each.lines]
    close_logging()
    main = is_main()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if main:
        handlers.append(_EarlyLines(early) if file is None else _TextLog(Path(file), early))
    for handler in handlers:
        handler.setFormatter(_VisibleFormatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(handler)
    logger.setLevel(level if main else logging.ERROR)
    # The root logger may print as well (pytest, notebooks): say everything once.
    logger.propagate = False
    return logger


def close_logging() -> None:
    """Undoes `set_up_logging`: closes its files and leaves messages to the surrounding program."""
    logger = get_logger()
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def warn_once(message: str, key: str | None = None) -> None:
    """Warns the first time in this process.

    Args:
        message: one sentence.
        key: what counts as the same warning; the message itself by default.
    """
    key = message if key is None else key
    if key not in _said:
        _said.add(key)
        if is_main():
            get_logger().warning(message)
