"""Repeats what wears a program down: runs that are killed and resumed, files that were damaged on purpose.

    python tests/stress.py --minutes 30

A killed run must end with the weights and log lines of one that was never stopped, digit for digit. A
damaged file must be read or refused with an error of jld, within seconds, and must never make anything run.
Faults are printed with the seed that repeats them; the exit code is their number, 255 at most.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jld.checkpoint import (
    read_checkpoint,
    read_training_state,
    write_safetensors,
    write_torch,
    write_training_state,
)
from jld.checkpoint.pickle_files import TRAILER
from jld.config import Config, dump_config, load_config, read_written
from jld.data.dota import check_submission
from jld.data.images import read_image
from jld.errors import JldError
from jld.evaluation.baselines import read_run
from tests.data import test_reader_fuzz as fuzz

ROOT = Path(__file__).resolve().parents[1]
SECONDS_PER_FILE = 10
RUNNING_EVENTS = "exec os.exec os.fork os.posix_spawn os.system subprocess.Popen ctypes.dlopen".split()
LIBRARY = str(Path(random.__file__).parent)
IGNORED = ("time", "images_per_second", "eta")
CONFIG = """
_base_ = {base!r}
_transforms = [dict(type="Normalize", mean=[116.0] * 3, std=[60.0] * 3), dict(type="Pad", size_divisor=32)]
_data = dict(_cover_=True, type="DrawnDataset", image_size=64, batch_size=4, transforms=_transforms)
model = dict(
    backbone=dict(base_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1, num_norm_groups=4),
)
dataset = dict(
    train=dict(_data, split="train", num_images=40, shuffle=True, num_workers={workers}),
    val=dict(_data, split="val", num_images=8),
    test=None,
)
logger = dict(type="RunLogger", loggers=["TextLogger"])
log_interval, checkpoint_iters, max_epoch, keep_checkpoints = 1, 3, {epochs}, 2
"""
ENDINGS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Result:
    """What was tried, and what went wrong."""

    tried: int = 0
    faults: list[str] = None

    def __post_init__(self) -> None:
        self.faults = []


# Files.


def seeds(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    """(kind, a sound file, its reader)."""
    arrays = {f"backbone.layer{n}.0.conv1.weight": np.ones((2, 3, 1, 1), np.float32) for n in range(1, 4)}
    meta = {"jld_version": "0", "classes": ["a", "b"], "config": "{}", "iter": 3}
    state = {
        "meta": meta,
        "model": arrays,
        "optimizer": {"state": {0: [np.ones(3), 1.5, None]}},
        "rng": {"x": (1, "a")},
    }
    write_training_state(folder / "state.pkl", state)
    yield "training state", folder / "state.pkl", read_training_state
    yield "weights in a pickle", folder / "state.pkl", read_checkpoint
    write_torch(folder / "weights.pth", arrays, {"classes": ["a"]})
    yield "PyTorch file", folder / "weights.pth", read_checkpoint
    write_safetensors(folder / "weights.safetensors", arrays, {"classes": '["a"]'})
    yield "safetensors", folder / "weights.safetensors", read_checkpoint
    yaml = "a: &a {lr: 1e-3, x: [1, 2]}\nb: {<<: *a, c: !!int 3}\nd: 'x'\ne:\n  - f: |\n      g\n"
    (folder / "config.yaml").write_text(yaml)
    yield "YAML", folder / "config.yaml", load_config
    dump_config(
        Config({"name": "x", "work_dir": "y", "model": {"lr": 0.1, "x": [1, (2,)]}}), folder / "config.py"
    )
    yield "config.py", folder / "config.py", read_written
    with zipfile.ZipFile(folder / "results.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_plane.txt", "P1 0.5 1 1 9 1 9 9 1 9\n" * 9)
    yield "submission", folder / "results.zip", lambda path: check_submission(path, ["P1"], ["plane"])
    (folder / "log.jsonl").write_text(
        "".join(json.dumps({"iter": n, "eval/AP": 0.1 * n}) + "\n" for n in range(4))
    )
    yield "log", folder / "log.jsonl", lambda path: read_run(path.parent)
    yield from data_seeds(folder / "data")


def data_seeds(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    """Label files and pictures; messages about the former name the file or what it speaks of."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    for suffix in (".jpg", ".png", ".tif", ".webp", ".bmp"):
        cv2.imwrite(str(folder / f"picture{suffix}"), pixels)
        yield "picture", folder / f"picture{suffix}", read_image
    fuzz.write_sound_files(folder)
    for name, (_, reader) in fuzz.READERS.items():
        yield f"labels, {name}", folder / name, partial(refused_or_read, reader, folder)


def refused_or_read(reader: Callable, folder: Path, path: Path) -> None:
    """Takes any error of jld for an answer."""
    with suppress(JldError):
        reader(folder, path)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to four of the things that disks, networks and people do to files."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) or 1)
        end = min(start + rng.choice((1, 2, 8, 64)), len(data))
        part = bytes(data[start:end])
        other = rng.randrange(len(data) or 1)
        change = rng.randrange(6)
        if change == 0 and data:
            data[start] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[start:end] = rng.randbytes(end - start)
        elif change == 2:
            del data[start:end]
        elif change == 3:
            data[other:other] = part * rng.choice((1, 3, 50))
        elif change == 4:
            data[start:end] = rng.choice((b"\xff", b"\x00", b"9", b"[", b"(", b"\n")) * (end - start)
        else:
            del data[rng.choice((start, len(data) - 1)) :]
    return bytes(data)


def with_checksum(data: bytes) -> bytes:
    """A pickle's bytes with the trailer that makes a reader look at them."""
    body = data[: -len(TRAILER) - 20] if len(data) > 28 else data
    return body + hashlib.sha1(body, usedforsecurity=False).digest() + TRAILER


def try_files(seconds: float, seed: int = 0) -> Result:
    """Reads damaged files of every kind for so many seconds, at least one of each."""
    result, end = Result(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name, watched() as events:
        kinds = list(seeds(Path(name)))
        sound = {path: path.read_bytes() for _, path, _ in kinds}
        while time.monotonic() < end or result.tried < len(kinds):
            kind, path, read = kinds[result.tried % len(kinds)]
            rng = random.Random(f"{seed} {result.tried}")
            data = damaged(sound[path], rng)
            path.write_bytes(with_checksum(data) if path.suffix == ".pkl" and rng.random() < 0.9 else data)
            fault = fault_of(read, path) or (f"it ran {events[0]}" if events else "")
            if fault:
                result.faults.append(f"{kind}, seed {seed}, file {result.tried}: {fault}")
            events.clear()
            path.write_bytes(sound[path])
            result.tried += 1
    return result


def fault_of(read: Callable[[Path], object], path: Path) -> str:
    """What is wrong with how a file is read, or ""."""
    start = time.monotonic()
    try:
        read(path)
    except JldError as error:
        if path.name not in str(error):
            return f"the message does not name the file: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - start
    return f"it took {seconds:.0f} s" if seconds > SECONDS_PER_FILE else ""


_watching: list[list[str]] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """A list that receives every audit event that runs something."""
    if not _watching:
        sys.addaudithook(_note)
    events: list[str] = []
    _watching.append(events)
    try:
        yield events
    finally:
        _watching[-1] = []


def _note(event: str, arguments: tuple) -> None:
    # Python itself executes the parts of its library that it imports late.
    is_import = event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(LIBRARY)
    if event in RUNNING_EVENTS and _watching and not is_import:
        _watching[-1].append(f"{event} {arguments}"[:200])


# Runs.


def train(config: Path, work_dir: Path, *flags: str) -> subprocess.Popen:
    """A run in a process of its own; a shell stands between, because Jittor watches for killed children."""
    command = [sys.executable, "tools/run_net.py", f"--config-file={config}", "--task=train", "--cpu"]
    said = (work_dir.parent / f"{work_dir.name}.txt").open("a")
    with said:
        return subprocess.Popen(
            [*command, f"--work_dir={work_dir}", *flags], cwd=ROOT, stdout=said, stderr=said
        )


def outcome(work_dir: Path) -> tuple[dict, dict]:
    """({iteration and kind: record} of the log, {name: array} of the last weights) of a finished run."""
    records = {}
    for line in (work_dir / "log.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut by a kill
            continue
        kept = {key: value for key, value in record.items() if key not in IGNORED}
        records[record["iter"], "total_loss" in record] = kept
    return records, read_training_state(work_dir / "checkpoints" / "last.pkl")["model"]


def try_runs(seconds: float, seed: int = 0, epochs: int = 2) -> Result:
    """Kills and resumes runs at random moments for so many seconds, at least one run."""
    result, end, rng = Result(), time.monotonic() + seconds, random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wholes = {}
        while time.monotonic() < end or not result.tried:
            workers = rng.choice((0, 2))
            config = folder / f"workers_{workers}.py"
            base = str(ROOT / "configs/quick_start/gfl_student.py")
            config.write_text(CONFIG.format(base=base, workers=workers, epochs=epochs))
            if workers not in wholes:
                whole = folder / f"whole_{workers}"
                start = time.monotonic()
                if train(config, whole).wait():
                    result.faults.append(said_by(whole))
                    return result
                wholes[workers] = outcome(whole), time.monotonic() - start
            expected, length = wholes[workers]
            result.faults += broken_run(config, folder / "broken", expected, length, rng, result)
            print(f"runs: {result.tried} ended so far, {len(result.faults)} faults", flush=True)
            shutil.rmtree(folder / "broken", ignore_errors=True)
    return result


def broken_run(
    config: Path,
    work_dir: Path,
    expected: tuple[dict, dict],
    length: float,
    rng: random.Random,
    result: Result,
) -> list[str]:
    """The faults of one run that is ended again and again and must end as the whole one did."""
    flags: tuple[str, ...] = ()
    for _ in range(40):
        run = train(config, work_dir, *flags)
        number = rng.choice(ENDINGS)
        try:
            code = run.wait(rng.uniform(0.2, 1.1) * length)
        except subprocess.TimeoutExpired:
            run.send_signal(number)
            code = run.wait(120)
        result.tried += 1
        print(f"... {number.name}: exit code {code}", flush=True)
        flags = ("--resume",)
        if code == 0:
            break
        if code not in (-number, 128 + number):
            return [f"exit code {code} after {number.name}: {said_by(work_dir)}"]
    if code and train(config, work_dir, *flags).wait():  # ended too soon each time: left alone now
        return [said_by(work_dir)]
    records, weights = outcome(work_dir)
    faults = [] if records == expected[0] else ["the log lines differ from those of the whole run"]
    if any(not np.array_equal(weights[name], array) for name, array in expected[1].items()):
        faults.append("the weights differ from those of the whole run")
    return faults


def said_by(work_dir: Path) -> str:
    """The last words of a run."""
    return (work_dir.parent / f"{work_dir.name}.txt").read_text(errors="replace")[-1500:]


def main(arguments: list[str] | None = None) -> int:
    """Tries both for the time given; returns the number of faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=("files", "runs"), help="one of the two instead of both")
    options = parser.parse_args(arguments)
    parts = {"files": try_files, "runs": try_runs}
    if options.only:
        parts = {options.only: parts[options.only]}
    faults: list[str] = []
    for name, attempt in parts.items():
        result = attempt(60 * options.minutes / len(parts), options.seed)
        print(f"{name}: {result.tried} tried, {len(result.faults)} faults (seed {options.seed})")
        faults += result.faults
    print("\n".join(faults))
    return min(len(faults), 255)


if __name__ == "__main__":
    sys.exit(main())
