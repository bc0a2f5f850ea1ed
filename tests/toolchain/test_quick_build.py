"""Jittor's files compiled quickly, with a tree of the test in Jittor's place."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from jld.toolchain import quick_build

COMPILER = shutil.which("g++")
needs_gcc = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder of sources in Jittor's place, and an environment without settings of a build."""
    for name in (quick_build.SWITCH, "cc_path", *quick_build.OTHER_BUILDS):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "a tree"
    monkeypatch.setattr(
        quick_build.importlib.util, "find_spec", lambda name: SimpleNamespace(origin=root / "__init__.py")
    )
    monkeypatch.setattr(quick_build, "HEADERS", '#include <cmath>\n#include "own.h"\n')
    for folder in ("src/opt", "src/ops", "elsewhere"):
        (root / folder).mkdir(parents=True)
    (root / "src/own.h").write_text("inline int own() { return 7; }\n")
    return root


def compile_file(source: Path, settings: dict[str, str]) -> subprocess.CompletedProcess:
    """Compiles to assembly that states the options; a header that was not compiled counts as an error."""
    flags = "-std=c++14 -fPIC -march=native -O2 -Winvalid-pch -Werror -fverbose-asm".split()
    command = [str(COMPILER), str(source), *flags, "-S", "-o", str(source.with_suffix(".s"))]
    environment = {**os.environ, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@needs_gcc
@pytest.mark.parametrize(("name", "level"), [("opt/a.cc", "-Og"), ("ops/a.cc", "-O2"), ("a.cc", "-O2")])
def test_file_of_jittor_starts_with_the_headers_and_takes_its_level(tree, tmp_path, name, level):
    source = tree / "src" / name
    source.write_text("int get() { return own(); }\n")
    with quick_build.quick_compiler(tmp_path) as settings:
        done = compile_file(source, settings)
    assert done.returncode == 0, done.stderr
    passed = source.with_suffix(".s").read_text().partition("# options passed:")[2].split()
    assert [word for word in passed if word.startswith("-O")][-1] == level


@needs_gcc
def test_file_that_the_headers_disturb_is_compiled_without_them(tree, tmp_path):
    source = tree / "src/opt/a.cc"
    source.write_text("static int own() { return 8; }\nint get() { return own(); }\n")
    with quick_build.quick_compiler(tmp_path) as settings:
        assert compile_file(source, settings).returncode == 0
        source.write_text("int get() { return nothing; }\n")
        assert "nothing" in compile_file(source, settings).stderr, "errors are those of the plain command"


@needs_gcc
def test_other_files_and_later_processes_are_left_alone(tree, tmp_path):
    source = tree / "elsewhere/a.cc"
    source.write_text("int get() { return own(); }\n")
    with quick_build.quick_compiler(tmp_path) as settings:
        assert "own" in compile_file(source, settings).stderr
        assert list(tmp_path.glob("quick-*"))
    assert not list(tmp_path.glob("quick-*"))


@needs_gcc
def test_what_a_killed_build_left_is_removed(tree, tmp_path):
    (tmp_path / "quick-left/deep").mkdir(parents=True)
    with quick_build.quick_compiler(tmp_path):
        assert not (tmp_path / "quick-left").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("cc_flags", "-O0"), ("nvcc_path", "/opt/bin/nvcc"), ("debug", "1"), ("cc_path", "/usr/bin/clang++"),
     (quick_build.SWITCH, "0")],
)  # fmt: skip
def test_settings_of_the_user_win(tree, tmp_path, monkeypatch, capfd, name, value):
    monkeypatch.setenv(name, value)
    with quick_build.quick_compiler(tmp_path) as settings:
        assert settings == {}
    assert not capfd.readouterr().err


@needs_gcc
def test_headers_that_do_not_compile_cost_a_line_and_nothing_else(tree, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(quick_build, "HEADERS", '#include "nowhere.h"\n')
    with quick_build.quick_compiler(tmp_path) as settings:
        assert settings == {}
    said = capfd.readouterr().err
    assert said.startswith("jld: it takes longer") and len(said.splitlines()) == 1


def test_compiler_that_cannot_start_costs_a_line_and_nothing_else(tree, monkeypatch, capfd):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("cc_path", f"{folder}/g++")
        with quick_build.quick_compiler(Path(folder)) as settings:
            assert settings == {}
    assert len(capfd.readouterr().err.splitlines()) == 1
