"""Empty and cut kernels are removed from Jittor's cache; sound ones and those being written stay."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from jld.toolchain import inspect_machine, kernels


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JITTOR_HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "jittor" / "jt1" / "default" / "jit"
    folder.mkdir(parents=True)
    return folder


def library(path, length=None):
    """A real shared object, cut to `length` bytes."""
    shutil.copy(next(Path(sys.prefix).rglob("*.so")), path)
    if length is not None:
        os.truncate(path, length)
    return settled(path)


def settled(path):
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def test_broken_kernels_are_removed_and_named(cache):
    sound = library(cache / "sound.so")
    half = sound.stat().st_size // 2
    broken = [library(cache / f"cut{n}.so", n) for n in (0, 10, half, sound.stat().st_size - 1)]
    for name in ("empty.o", "empty.cc"):
        (cache / name).touch()
        broken.append(settled(cache / name))
    writing, key = cache / "writing.so", cache / "a.so.key"
    writing.touch()
    key.touch()
    settled(key)
    finding = kernels.mend_kernels()
    assert finding.ok and "6 broken ones removed" in finding.detail
    assert not any(file.exists() for file in broken)
    assert sound.exists() and writing.exists() and key.exists()
    assert kernels.mend_kernels().detail == "none is broken"


def test_doctor_and_every_start_look_at_them(cache):
    library(cache / "cut.so", 100)
    found = [finding for finding in inspect_machine() if finding.name == kernels.NAME]
    assert len(found) == 1 and "cut.so" in found[0].detail


def test_what_cannot_be_removed_is_a_problem_with_its_cure(cache, monkeypatch):
    file = library(cache / "cut.so", 100)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError("no")))
    finding = kernels.mend_kernels()
    assert not finding.ok and str(file) in finding.detail and str(cache) in finding.cure
