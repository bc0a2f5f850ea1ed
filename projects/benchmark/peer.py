"""The PyTorch side of a comparison, a program of its own with jld's weights and batch; never needed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jld.errors import JldError
from jld.toolchain import jittor as jt
from projects.benchmark.clock import Timing
from projects.benchmark.scene import Settings

PROGRAM = "torch_peer"
LIBRARIES = {"torch": "torch", "mmdet": "mmdet.models, mmcv.ops", "torchvision": "torchvision"}
"""{library that a peer is made with: what it imports}."""
NEEDS = {
    **dict.fromkeys(("gfl", "lgd_retinanet"), ("torch",)),
    **dict.fromkeys(("faster_rcnn", "mask_rcnn", "rois"), ("mmdet", "torchvision")),
}
"""{what is measured: libraries that its peer is made with, the first one there}; others have none."""
TORCH, COMPILED = "torch", "torch.compile"
PRODUCT = "matrix product"
PRODUCT_SIDES = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices whose product shows the device's peak."""


@dataclass(frozen=True)
class Duel:
    """With whom jld is compared, and under which load.

    Attributes:
        python: interpreter that has torch; None: nobody.
        channels_last: memory format of torch's images and weights; None: on a GPU only.
        shared: also measure while a busy loop runs on every core.
        compiled: a second peer, whose networks are compiled by `torch.compile`.
        library: a key of `LIBRARIES` that is to be the peer's; None: the first one there.
    """

    python: str | None = None
    channels_last: bool | None = None
    shared: bool = False
    compiled: bool = False
    library: str | None = None


NO_PEER = Duel()


class TorchPeer:
    """The program `torch_peer`, which measures what it is asked for, at once.

    A process of its own, because two frameworks in one process share, and disturb, one thread pool. While it
    is not asked it waits for its input and needs no core.

    Attributes:
        about: what it said of itself: version, threads, suppression, TF32.
        failure: why `torch.compile` gave up, in one line; "" while it has not.
    Raises:
        JldError: the program ended; its messages are on stderr.
    """

    def __init__(self, process: subprocess.Popen):
        self._process, self.failure = process, ""
        self.about = self._reply()

    def ask(self, task: str, **options: Any) -> dict[str, Any]:
        """The reply to one request, see `torch_peer/tasks.py`; empty once `torch.compile` has failed."""
        if self.failure:
            return {}
        with suppress(BrokenPipeError):  # a dead program: its missing reply is reported below
            self._process.stdin.write(json.dumps({"task": task, **options}) + "\n")
            self._process.stdin.flush()
        reply = self._reply()
        self.failure = reply.pop("failure", "")
        return reply

    def times(self, task: str, count: int) -> dict[str, Timing]:
        """{row: Timing} of `count` repetitions."""
        times = self.ask(task, count=count).get("times", {})
        return {row: Timing(*map(tuple, samples)) for row, samples in times.items()}

    def describe(self) -> str:
        """Version, threads and what else belongs to the numbers, as one line."""
        if self.failure:
            return f"torch.compile failed, so there is no ratio to it: {self.failure}"
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
def open_peers(
    settings: Settings, duel: Duel, student: Any, teacher: Any, batch: Mapping[str, Any]
) -> Iterator[dict[str, TorchPeer]]:
    """{side: peer with the weights and the batch of jld}, empty without torch.

    Args:
        settings: sizes.
        duel: interpreter, memory format, and whether a compiled peer is wanted.
        student, teacher: detectors, or of a label-guided teacher its `HelperState`; None: the peers get none.
        batch: as the loader makes it.
    Raises:
        JldError: torch is there but the program failed.
    """
    library = library_of(duel, settings.detector)
    arrays = None if library is None else scene_arrays(student, teacher, batch)
    with open_programs(asdict(settings) | {"library": library}, duel, arrays) as peers:
        yield peers


def library_of(duel: Duel, what: str) -> str | None:
    """What the peer of a key of `NEEDS` is made with; None: nobody is wanted, or no library is there."""
    if duel.python is None:
        return None
    wanted = [name for name in NEEDS.get(what, ()) if duel.library in (None, name)]
    return next((name for name in wanted if has_module(duel.python, LIBRARIES[name])), None)


@contextmanager
def open_programs(
    told: Mapping[str, Any], duel: Duel, arrays: Mapping[str, np.ndarray] | None
) -> Iterator[dict[str, TorchPeer]]:
    """{side: program}, empty without arrays.

    Args:
        told: what the programs are to measure, its key `detector`, and at which sizes.
        duel: interpreter, memory format, and whether a compiled peer is wanted.
        arrays: {"part/name": array} that they read.
    """
    if arrays is None or duel.python is None:
        yield {}
        return
    device = device_name()
    channels_last = device == "cuda" if duel.channels_last is None else duel.channels_last
    given = dict(told) | {"device": device, "channels_last": channels_last, "threads": thread_count()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scene = Path(folder) / "scene.npz"
        np.savez(scene, **arrays)
        given |= {"scene": str(scene), "product_side": product_side()}
        yield {
            side: stack.enter_context(_started(duel.python, given | {"compiled": side == COMPILED}))
            for side in (TORCH, *([COMPILED] if duel.compiled else []))
        }


@contextmanager
def _started(python: str, given: Mapping[str, Any]) -> Iterator[TorchPeer]:
    paths = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))))
    command, environment = [python, "-m", PROGRAM, json.dumps(given)], os.environ | {"PYTHONPATH": paths}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield TorchPeer(process)
        finally:
            with suppress(BrokenPipeError):  # a dead program leaves a request in the buffer
                process.stdin.close()


def has_module(python: str, name: str = "torch") -> bool:
    """Whether that interpreter can import the module, or modules `a, b`.

    Raises:
        JldError: it cannot be started.
    """
    try:
        done = subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False)
        return not done.returncode
    except OSError as error:
        raise JldError(
            f"--peer-python {python} cannot be started ({error.strerror}): name a Python that has torch."
        ) from error


def device_name() -> str:
    """Where jld computes: cpu or cuda."""
    return "cuda" if jt.flags.use_cuda else "cpu"


def product_side() -> int:
    """Rows of the matrices whose product is measured on this device."""
    return PRODUCT_SIDES[device_name()]


def thread_count() -> int:
    """Threads that OpenMP gives jld, and that torch gets as well."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def scene_arrays(student: Any, teacher: Any, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Weights and batch: "student/<name>", "teacher/<name>", "batch/<name>"."""
    arrays = {f"batch/{name}": value for name, value in batch.items() if isinstance(value, np.ndarray)}
    for role, detector in (("student", student), ("teacher", teacher)):
        if detector is not None:
            arrays |= {f"{role}/{name}": var.numpy() for name, var in detector.state_dict().items()}
    return arrays


def peer_facts(duel: Duel, peers: Mapping[str, TorchPeer], what: str = "gfl") -> dict[str, Any]:
    """Who the peers were and their largest use of memory in MiB, or what a peer of `what` needs.

    Nothing where none was wanted.

    Memory is what is resident, or on a GPU what tensors and the allocator took.
    """
    if duel.python is None:
        return {}
    facts: dict[str, Any] = {}
    if not peers:
        needs = duel.library or " or ".join(NEEDS.get(what, (TORCH,)))
        facts = {"peer": f"{needs} is not installed: no ratio"}
    for side, peer in peers.items():
        facts["peer" if side == TORCH else f"peer, {side}"] = peer.describe()
        memory = peer.ask("memory")
        facts |= {f"peak memory of {side}, {name}, MiB": value for name, value in memory.items()}
    return facts
