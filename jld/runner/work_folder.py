"""The folder of a run: one run at a time, no left-overs, and only its own checkpoints removed.

A lock that the kernel takes back keeps a second training out: a killed run leaves nothing that must be
removed by hand. Whether the folder holds another run is decided in `same_run.py`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from jld.checkpoint import atomic_write
from jld.config import RUN_CONFIG
from jld.errors import ConfigError
from jld.runner.same_run import CHECKPOINTS, require_same_run
from jld.utils.distributed import is_main
from jld.utils.logging import get_logger

LOCK, LOG = "run.lock", "log.txt"
FILES = (LOCK, RUN_CONFIG, LOG, "log.jsonl", "env.json", "checkpoints/last.pkl", "checkpoints/best.pkl")
# Left by a process that was killed while it wrote: see `atomic_write`, `save_state` and `dump_config`.
TEMPORARY = re.compile(r"\.[\w.-]+\.(py|json|pkl)\.([0-9a-f]{8}\.tmp|\d+)")


@contextlib.contextmanager
def work_folder(
    path: Path, config: Mapping[str, Any], *, resumed: bool, compared: bool = True
) -> Iterator[None]:
    """Owns a work_dir for the length of a `with` block; on ranks other than 0 it does nothing.

    Args:
        path: of the folder; made if it is not there.
        config: of the run that starts.
        resumed: the run goes on from a checkpoint in the folder.
        compared: whether the folder may not hold a run of another config.
    Raises:
        ConfigError: another run is alive in it, it holds another run, or it cannot be written.
    """
    if not is_main():
        yield
        return
    _require_files(path)
    with _locked(path):
        _remove_temporaries(path)
        if compared:
            require_same_run(path, config, resumed=resumed)
        yield


class OwnCheckpoints:
    """The epoch_K.pkl files that this run wrote, the newest of which stay; files of others are left alone.

    Args:
        folder: of the checkpoints.
        keep: how many; None keeps all.
        resumed: go on with what the interrupted part of the run had noted.
    """

    def __init__(self, folder: Path, keep: int | None, resumed: bool = False):
        self.keep = keep
        self._note = folder / "epochs.json"
        self._names: list[str] = []
        if resumed:
            # Without a readable note nothing is known to be ours, so nothing is removed.
            with contextlib.suppress(OSError, ValueError, RecursionError):
                noted = json.loads(self._note.read_text(encoding="utf-8"))
                names = map(str, noted if isinstance(noted, list) else ())
                self._names = [name for name in names if re.fullmatch(r"epoch_\d+\.pkl", name)]

    def add(self, name: str) -> None:
        """Notes a file that was written and removes the oldest own ones that are too many."""
        if not self.keep:
            return
        self._names = [*(other for other in self._names if other != name), name]
        surplus, self._names = self._names[: -self.keep], self._names[-self.keep :]
        text = json.dumps(self._names)
        atomic_write(self._note, lambda file: file.write(text.encode()))
        for old in surplus:
            (self._note.parent / old).unlink(missing_ok=True)


def _require_files(path: Path) -> None:
    """Stops where something that is no file or folder stands in the place of one."""
    try:
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"work_dir {path} cannot be used: {error.filename}: {error.strerror}; choose another."
        ) from error
    for name in FILES:
        if (path / name).is_dir():
            raise ConfigError(f"work_dir {path} cannot be used: {path / name} is a folder; choose another.")
    for folder in (path, path / CHECKPOINTS):
        if not os.access(folder, os.W_OK):
            raise ConfigError(
                f"{folder} cannot be written: choose another work_dir or change its permissions."
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of a folder; its file goes with it, unless the process is killed."""
    lock = path / LOCK
    try:
        file = _lock(lock)
    except BlockingIOError:
        owner = ""
        with contextlib.suppress(OSError):  # removed by its owner just now
            owner = lock.read_text(encoding="utf-8", errors="replace")[:200].strip()
        owner = owner or "another process"
        raise ConfigError(
            f"another run is alive in work_dir {path}: {owner}; wait for it, end it, or choose another."
        ) from None
    except OSError as error:
        raise ConfigError(f"work_dir {path} cannot be used: {error.strerror}; choose another.") from error
    with file:
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(path: Path) -> IO[str]:
    while True:
        file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                file.close()
                raise
            get_logger("run").warning("%s: its file system has no locks, so nothing keeps others out.", path)
            return file
        # The run before may have removed the file between our two steps: then another has to be locked.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def _remove_temporaries(path: Path) -> None:
    for folder in (path, path / CHECKPOINTS):
        for file in folder.iterdir():
            if TEMPORARY.fullmatch(file.name) and file.is_file():
                file.unlink(missing_ok=True)
