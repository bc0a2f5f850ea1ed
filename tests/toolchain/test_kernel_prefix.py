"""Precompiled headers for Jittor's kernels, with a header of the test and no Jittor."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from jld.toolchain import kernel_prefix

COMPILER = shutil.which("g++")
needs_gcc = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture
def jittor(tmp_path, monkeypatch):
    """The four things of Jittor that are looked at."""
    monkeypatch.setattr(kernel_prefix, "PREFIX", '#include <cmath>\n#include "own.h"\n')
    monkeypatch.delenv(kernel_prefix.SWITCH, raising=False)
    (tmp_path / "own folder").mkdir()
    (tmp_path / "own folder/own.h").write_text("inline int own() { return 7; }\n")
    flags = f' -Wall -std=c++14 -fPIC -O2 -lstdc++ -ldl -shared -I"{tmp_path}/own folder" -L"{tmp_path}" '
    cache = tmp_path / "cache"
    return SimpleNamespace(
        __version__="1",
        flags=SimpleNamespace(cc_flags=flags, cc_path=COMPILER or "g++", cache_path=str(cache)),
    )


@needs_gcc
def test_compiler_starts_with_the_precompiled_headers(jittor, tmp_path):
    assert kernel_prefix.precompile(jittor)
    source = tmp_path / "kernel.cc"
    source.write_text("int main() { return own(); }\n")
    # Debug lines and assembly, as Jittor compiles; -H marks a precompiled header in use with "!".
    command = f"'{COMPILER}' '{source}' {jittor.flags.cc_flags} -H -g -S -o '{tmp_path}/kernel.s'"
    command = command.replace("-shared", "").replace("-lstdc++", "").replace("-ldl", "")
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=True)
    used = [line for line in done.stderr.splitlines() if line.startswith("!")]
    assert len(used) == 1 and used[0].endswith("prefix.h.gch")


@needs_gcc
def test_second_process_takes_what_the_first_has_compiled(jittor):
    given = jittor.flags.cc_flags
    assert kernel_prefix.precompile(jittor)
    flags = jittor.flags.cc_flags
    compiled = next(Path(jittor.flags.cache_path).rglob("prefix.h.gch"))
    before = compiled.stat().st_mtime_ns
    jittor.flags.cc_flags = given
    assert kernel_prefix.precompile(jittor) and jittor.flags.cc_flags == flags
    assert compiled.stat().st_mtime_ns == before
    jittor.flags.cc_flags = given.replace("-O2", "-O1")
    assert kernel_prefix.precompile(jittor) and jittor.flags.cc_flags != flags, "other flags, other headers"


def test_switch_and_other_compilers_leave_the_flags_alone(jittor, monkeypatch):
    given = jittor.flags.cc_flags
    jittor.flags.cc_path = "/usr/bin/clang++-19"
    assert not kernel_prefix.precompile(jittor)
    jittor.flags.cc_path = "g++"
    monkeypatch.setenv(kernel_prefix.SWITCH, "0")
    assert not kernel_prefix.precompile(jittor) and jittor.flags.cc_flags == given


@needs_gcc
def test_headers_that_do_not_compile_cost_a_line_and_nothing_else(jittor, monkeypatch, capsys):
    given = jittor.flags.cc_flags
    monkeypatch.setattr(kernel_prefix, "PREFIX", '#include "nowhere.h"\n')
    assert not kernel_prefix.precompile(jittor) and jittor.flags.cc_flags == given
    said = capsys.readouterr().err
    assert (
        said.startswith("jld: kernels compile without precompiled headers: ") and len(said.splitlines()) == 1
    )
