"""Preparing batches, in this process or in worker processes.

Workers are fresh Python processes that import `jld.data` and nothing else. Forked ones would inherit Jittor's
and OpenMP's locks in whatever state they are; multiprocessing's "spawn" would run the user's main script
again, and import Jittor with it. Here only sockets connect the two sides: a worker ends when its socket
closes, whatever happened to the parent, and the parent notices a dead worker by the same sign.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jld.data.collate import collate
from jld.data.images import BrokenImageError
from jld.errors import DataError, JldError
from jld.utils import stopping
from jld.utils.logging import get_logger

WAITING_SECONDS = 60
# Ends a worker: its own signal, because those that end a run may reach a whole group of processes of which
# the parent alone decides what they mean.
END = signal.SIGUSR2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
ON_BROKEN = ("replace", "skip", "error")
Broken = list[tuple[str, str]]


def make_batch(
    dataset: Any, indices: np.ndarray, *, seed: int, epoch: int, on_broken: str
) -> tuple[dict[str, Any] | None, Broken]:
    """Loads, transforms and collates one batch.

    Args:
        dataset: `get(index, rng)` gives a sample.
        indices: of the images.
        seed: of the samples' generators, `default_rng([seed, epoch, index])`.
        epoch: likewise.
        on_broken: "replace" takes the next readable index instead of an unreadable one (with the generator of
            the original index), "skip" leaves it out, "error" raises.
    Returns:
        The batch, or None when all of its images were skipped; (path, reason) of unreadable images.
    Raises:
        BrokenImageError: with "error".
        DataError: with "replace", when no image of the dataset can be read.
    """
    samples, broken = [], []
    for index in map(int, indices):
        for candidate in _candidates(index, len(dataset), on_broken):
            try:
                samples.append(dataset.get(candidate, np.random.default_rng([seed, epoch, index])))
                break
            except BrokenImageError as problem:
                if on_broken == "error":
                    raise
                broken.append((problem.path, problem.reason))
        else:
            if on_broken == "replace":
                path, reason = broken[-1]
                raise DataError(
                    f"no image of the dataset can be read; the last one tried is {path}: {reason}."
                )
    return (collate(samples) if samples else None), broken


def _candidates(index: int, count: int, on_broken: str) -> range | list[int]:
    return [index] if on_broken != "replace" else [(index + step) % count for step in range(count)]


def send(connection: socket.socket, message: Any) -> None:
    """Writes one object; arrays go as they lie in memory, without being copied into the pickle."""
    buffers: list[memoryview] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
    sizes = [len(head), *(buffer.nbytes for buffer in buffers)]
    connection.sendall(struct.pack(f"<{1 + len(sizes)}Q", len(sizes), *sizes))
    for part in (head, *buffers):
        connection.sendall(part)


def receive(connection: socket.socket) -> Any:
    """Reads one object of `send`.

    Raises:
        EOFError: the other side is gone.
    """
    (count,) = struct.unpack("<Q", _read(connection, 8))
    sizes = struct.unpack(f"<{count}Q", _read(connection, 8 * count))
    head, *buffers = [_read(connection, size) for size in sizes]
    return pickle.loads(head, buffers=buffers)


def _read(connection: socket.socket, size: int) -> np.ndarray:
    # An uninitialised array: bytearray would be filled with zeros first, which costs as much as receiving.
    data = np.empty(size, np.uint8)
    view, done = memoryview(data), 0
    while done < size:
        got = connection.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return data


def main(descriptor: int, parent: int) -> None:
    """Body of a worker process: receives the dataset, then batch requests, until the socket closes.

    Args:
        descriptor: of the socket.
        parent: process whose end is also the worker's, however it ends and whatever the worker waits for; 0
            where a thread that may end earlier has started it.
    """
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # An exit, not a death by signal: Jittor's handler takes the latter for a lack of memory.
    signal.signal(END, lambda number, frame: os._exit(0))
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
    cv2.setNumThreads(1)
    # What is to be said of images is said once, by the process that checks the dataset.
    logging.getLogger("jld").setLevel(logging.ERROR)
    connection = socket.socket(fileno=descriptor)
    try:
        _serve(connection)
    except (EOFError, ConnectionError):
        return


def _serve(connection: socket.socket) -> None:
    payload, options = receive(connection)
    dataset, failure = None, None
    try:
        dataset = pickle.loads(payload)
    except Exception:
        reason = traceback.format_exc()
        failure = f"the dataset cannot be rebuilt in a data worker; num_workers=0 avoids it.\n{reason}"
    while True:
        ticket, epoch, indices = receive(connection)
        if failure is not None:
            send(connection, (ticket, None, DataError(failure)))
            continue
        try:
            answer = (ticket, make_batch(dataset, indices, epoch=epoch, **options), None)
        except JldError as problem:
            answer = (ticket, None, problem)
        except Exception:
            answer = (ticket, None, RuntimeError(f"a data worker failed:\n{traceback.format_exc()}"))
        send(connection, answer)


class WorkerPool:
    """Worker processes that answer numbered requests; answers may come in any order.

    Args:
        dataset: pickled once and sent to every worker.
        num_workers: at least 1.
        options: keyword arguments of `make_batch` that never change.
    Raises:
        DataError: the dataset cannot be pickled.
    """

    def __init__(self, dataset: Any, num_workers: int, options: dict[str, Any]):
        try:
            payload = pickle.dumps(dataset, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as problem:
            raise DataError(
                f"the dataset cannot be sent to data workers ({problem}); set num_workers=0."
            ) from None
        self._answers: queue.Queue = queue.Queue()
        self._ready: dict[int, tuple[Any, Exception | None]] = {}
        self._wanted: dict[int, tuple[int, np.ndarray]] = {}
        self._dataset = dataset
        self._next_ticket = 0
        started = [_start_worker() for _ in range(num_workers)]
        self._processes = [process for process, _ in started]
        self._connections = [connection for _, connection in started]
        self._finalizer = weakref.finalize(self, _end_workers, self._processes, self._connections)
        for process, connection in started:
            try:
                send(connection, (payload, options))
            except OSError:
                pass  # the worker has died already; the thread that listens to it says so
            arguments = (process, connection, self._answers)
            threading.Thread(target=_listen, args=arguments, daemon=True, name="jld-data").start()

    def submit(self, epoch: int, indices: np.ndarray) -> int:
        """Asks for a batch; returns the ticket to `collect` it with. Workers take turns."""
        ticket = self._next_ticket
        self._next_ticket += 1
        worker = ticket % len(self._connections)
        self._wanted[ticket] = worker, indices
        try:
            send(self._connections[worker], (ticket, epoch, indices))
        except OSError:
            pass  # the worker has died; the thread that listens to it says so when the ticket is collected
        return ticket

    def collect(self, ticket: int) -> Any:
        """The answer to a ticket; waits for it, and says what for when that takes long.

        Raises:
            DataError: the worker has died, or found the data unusable.
            RuntimeError: the dataset or a transform failed; holds the worker's traceback.
            Stopped: a signal was noted while nothing came.
        """
        warn_at = time.monotonic() + WAITING_SECONDS
        while ticket not in self._ready:
            try:
                number, answer, failure = self._answers.get(timeout=1)
            except queue.Empty:
                stopping.poll_alone()
                if time.monotonic() > warn_at:
                    worker, indices = self._wanted[ticket]
                    say_waiting(self._dataset, indices, self._processes[worker].pid)
                    warn_at = float("inf")
                continue
            if number is None:
                self.close()
                raise failure
            if number in self._wanted:
                self._ready[number] = (answer, failure)
        del self._wanted[ticket]
        answer, failure = self._ready.pop(ticket)
        if failure is not None:
            raise failure
        return answer

    def forget(self, ticket: int) -> None:
        """Drops the answer to a ticket that nobody will collect."""
        self._wanted.pop(ticket, None)
        self._ready.pop(ticket, None)

    @property
    def is_closed(self) -> bool:
        """Whether the workers were ended."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Ends the workers at once; they hold nothing that could be lost."""
        self._finalizer()


def say_waiting(dataset: Any, indices: np.ndarray, process: int | None = None) -> None:
    """Warns that a batch has not come, with the worker that prepares it and the images in it."""
    names = [str(getattr(dataset, "image_file", str)(int(index))) for index in indices[:3]]
    more = f" and {len(indices) - 3} more" if len(indices) > 3 else ""
    who = "this process" if process is None else f"data worker {process}{_if_stopped(process)}"
    get_logger("data").warning(
        "waiting for more than %d s for %s to prepare %s%s.", WAITING_SECONDS, who, ", ".join(names), more
    )


def _if_stopped(process: int) -> str:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
    return f" (stopped: kill -CONT {process} lets it go on)" if state in "Tt" else ""


def _start_worker() -> tuple[subprocess.Popen, socket.socket]:
    ours, theirs = socket.socketpair()
    # One thread per worker: parallelism comes from the number of workers.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    # The kernel ends a child with the thread that started it, and only the main thread lasts.
    parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from jld.data.worker import main; main({theirs.fileno()}, {parent})"],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=environment,
        )
    return process, ours


def _listen(process: subprocess.Popen, connection: socket.socket, answers: queue.Queue) -> None:
    # One thread per worker keeps reading, so that a worker never waits for the training loop to take its
    # batch.
    try:
        while True:
            answers.put(receive(connection))
    except (EOFError, OSError):
        answers.put((None, None, DataError(_obituary(process))))


def _obituary(process: subprocess.Popen) -> str:
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return f"data worker {process.pid} closed its connection; run again with num_workers=0 to see why."
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"data worker {process.pid} was ended by {name}{hint}: lower num_workers or batch_size."
    return f"data worker {process.pid} ended with status {code}: run again with num_workers=0 to see why."


def _end_workers(processes: list[subprocess.Popen], connections: list[socket.socket]) -> None:
    for process in processes:
        process.send_signal(END)
    for connection in connections:
        connection.close()
    for process in processes:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
