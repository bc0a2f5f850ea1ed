"""The PyTorch side of a comparison, a program of its own with jld's weights and batch; never needed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jld.errors import JldError
from jld.toolchain import jittor as jt
from projects.benchmark.clock import Timing
from projects.benchmark.scene import Settings

PROGRAM = "torch_peer"
MISSING = "torch is not installed: no ratio"


@dataclass(frozen=True)
class Duel:
    """With whom jld is compared, and under which load.

    Attributes:
        python: interpreter that has torch; None: nobody.
        channels_last: memory format of torch's images and weights; None: on a GPU only.
        shared: also measure while a busy loop runs on every core.
    """

    python: str | None = None
    channels_last: bool | None = None
    shared: bool = False


NO_PEER = Duel()


class TorchPeer:
    """The program `torch_peer`, which measures what it is asked for, at once.

    A process of its own, because two frameworks in one process share, and disturb, one thread pool. While it
    is not asked it waits for its input and needs no core.

    Attributes:
        about: what it said of itself: version, threads, suppression, TF32.
    Raises:
        JldError: the program ended; its messages are on stderr.
    """

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self.about = self._reply()

    def ask(self, task: str, **options: Any) -> dict[str, Any]:
        """The reply to one request, see `torch_peer/tasks.py`."""
        with suppress(BrokenPipeError):  # a dead program: its missing reply is reported below
            self._process.stdin.write(json.dumps({"task": task, **options}) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def times(self, task: str, count: int) -> dict[str, Timing]:
        """{row: Timing} of `count` repetitions."""
        times = self.ask(task, count=count)["times"]
        return {row: Timing(*map(tuple, samples)) for row, samples in times.items()}

    def memory(self) -> dict[str, float]:
        """{name: largest use in MiB}: resident memory, or on a GPU what tensors and the allocator took."""
        return {f"peak memory of torch, {name}, MiB": value for name, value in self.ask("memory").items()}

    def describe(self) -> str:
        """Version, threads and what else belongs to the numbers, as one line."""
        about = dict(self.about)
        parts = [f"torch {about.pop('version')}", f"{about.pop('threads')} threads"]
        return ", ".join([*parts, *(f"{name}: {value}" for name, value in about.items())])

    def _reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise JldError(f"the PyTorch program ended with code {code}: its message is above, on stderr.")
        return json.loads(line)


@contextmanager
def open_peer(
    settings: Settings, duel: Duel, student: Any, teacher: Any, batch: Mapping[str, Any]
) -> Iterator[TorchPeer | None]:
    """The peer with the weights and the batch of jld, or None without torch.

    Args:
        settings: sizes.
        duel: interpreter and memory format.
        student, teacher: detectors; teacher None: the peer gets none.
        batch: as the loader makes it.
    Raises:
        JldError: torch is there but the program failed.
    """
    if duel.python is None or settings.detector != "gfl" or not has_torch(duel.python):
        yield None
        return
    device = "cuda" if jt.flags.use_cuda else "cpu"
    channels_last = device == "cuda" if duel.channels_last is None else duel.channels_last
    given = asdict(settings) | {"device": device, "channels_last": channels_last, "threads": thread_count()}
    folder = str(Path(__file__).parent)
    paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH", ""))))
    with tempfile.TemporaryDirectory() as temporary:
        scene = Path(temporary) / "scene.npz"
        write_scene(scene, student, teacher, batch)
        command = [duel.python, "-m", PROGRAM, json.dumps(given | {"scene": str(scene)})]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        try:
            yield TorchPeer(process)
        finally:
            with suppress(BrokenPipeError):  # a dead program leaves a request in the buffer
                process.stdin.close()
            process.wait()
            process.stdout.close()


def has_torch(python: str) -> bool:
    """Whether that interpreter can import torch.

    Raises:
        JldError: it cannot be started.
    """
    try:
        return not subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode
    except OSError as error:
        raise JldError(
            f"--peer-python {python} cannot be started ({error.strerror}): name a Python that has torch."
        ) from error


def thread_count() -> int:
    """Threads that OpenMP gives jld, and that torch gets as well."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def write_scene(path: Path, student: Any, teacher: Any, batch: Mapping[str, Any]) -> None:
    """Weights and batch as one .npz: "student/<name>", "teacher/<name>", "batch/<name>"."""
    arrays = {f"batch/{name}": value for name, value in batch.items() if isinstance(value, np.ndarray)}
    for role, detector in (("student", student), ("teacher", teacher)):
        if detector is not None:
            arrays |= {f"{role}/{name}": var.numpy() for name, var in detector.state_dict().items()}
    np.savez(path, **arrays)


def peer_facts(duel: Duel, peer: TorchPeer | None) -> dict[str, str]:
    """Who the peer was; nothing where none was wanted."""
    if duel.python is None:
        return {}
    return {"peer": MISSING if peer is None else peer.describe()}
