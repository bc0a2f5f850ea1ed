"""Kernels in one step: the script between Jittor and the compiler; its programs are the test's own."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from jld.toolchain import one_step

COMPILER = shutil.which("g++")


@pytest.fixture
def jittor(tmp_path, monkeypatch):
    """The flags of Jittor that are looked at; its interpreter and tuner say what they were called with."""
    monkeypatch.delenv(one_step.SWITCH, raising=False)
    python = tmp_path / "the python"
    python.write_text('#!/bin/sh\nprintf "python"; printf " <%s>" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "cache").mkdir()
    flags = {"cc_path": "g++", "cache_path": str(tmp_path / "cache"), "python_path": str(python)}
    return SimpleNamespace(flags=SimpleNamespace(**flags))


def call(jittor, *words):
    command = " ".join([jittor.flags.python_path, *words])  # as Jittor puts its commands together
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False)


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
def test_plain_kernel_is_compiled_at_once_and_a_marked_one_by_jittors_program(jittor, tmp_path):
    assert one_step.compile_in_one_step(jittor)
    source, library = tmp_path / "a_op.cc", tmp_path / "a_op.so"
    rest = ("/x/asm_tuner.py", f'--cc_path="{COMPILER}"', f'"{source}"', "-shared -fPIC", f'-o "{library}"')
    source.write_text("//@begin replace\nint f() { return 1; }\n")
    assert call(jittor, *rest).stdout == (
        f"python </x/asm_tuner.py> <--cc_path={COMPILER}> <{source}> <-shared> <-fPIC> <-o> <{library}>"
    )
    source.write_text("int f() { return 1; }\n")
    assert call(jittor, *rest).stdout == "" and library.read_bytes()[:4] == b"\x7fELF"
    assert not list(tmp_path.glob("*.s"))
    source.write_text("int f() { return }\n")
    broken = call(jittor, *rest)
    assert broken.returncode != 0 and "error" in broken.stderr
    assert call(jittor, "other.py", "'a b'").stdout == "python <other.py> <a b>"


def test_second_process_finds_the_script_and_a_second_call_changes_nothing(jittor):
    given = jittor.flags.python_path
    assert one_step.compile_in_one_step(jittor) and one_step.compile_in_one_step(jittor)
    path = jittor.flags.python_path
    jittor.flags.python_path = given
    assert one_step.compile_in_one_step(jittor) and jittor.flags.python_path == path
    assert len(list(Path(jittor.flags.cache_path).iterdir())) == 1


@pytest.mark.parametrize("why", ["switch", "compiler", "folder"])
def test_where_it_cannot_be_jittors_way_stays(jittor, monkeypatch, tmp_path, why, capsys):
    given = jittor.flags.python_path
    if why == "switch":
        monkeypatch.setenv(one_step.SWITCH, "0")
    elif why == "compiler":
        jittor.flags.cc_path = "/usr/bin/clang++-19"
    else:
        jittor.flags.cache_path = os.fspath(tmp_path / "nowhere")
    assert not one_step.compile_in_one_step(jittor) and jittor.flags.python_path == given
    assert ("two steps" in capsys.readouterr().err) == (why == "folder")
