"""What is found out about a machine and set before Jittor is imported; Jittor itself is not."""

import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jld import toolchain
from jld.toolchain import build, cache, findings, onednn

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def fresh_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    for name in (
        "nvcc_path",
        "use_mkl",
        "python_config_path",
        "cache_name",
        "cc_path",
        "log_silent",
        "JPY_PARENT_PID",
    ):
        # Set and removed, so that what `prepare` writes is undone at the end of the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def with_versions(monkeypatch, **versions):
    original = importlib.metadata.version

    def version(name):
        if name not in versions:
            return original(name)
        if versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_this_machine_can_run_jld(fresh_home):
    assert [finding.detail for finding in toolchain.inspect_machine() if not finding.ok] == []


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"numpy": "2.1.0"}, ["numpy: 2.1.0", 'pip install "numpy<2"']),
        ({"numpy": None}, ["numpy: not installed"]),
        ({"jittor": None}, ["jittor: not installed", "pip install"]),
        ({"jittor": "1.3.5"}, ["jittor: 1.3.5", "1.3.11"]),
    ],
)
def test_a_wrong_package_is_one_sentence_with_its_cure(fresh_home, monkeypatch, versions, words):
    with_versions(monkeypatch, **versions)
    with pytest.raises(toolchain.ToolchainError) as caught:
        toolchain.prepare()
    assert all(word in str(caught.value) for word in words)


def test_a_missing_compiler_is_named(fresh_home, monkeypatch):
    monkeypatch.setattr(findings.shutil, "which", lambda name: None)
    with pytest.raises(toolchain.ToolchainError, match=r"no g\+\+ on PATH.*apt-get install g\+\+"):
        toolchain.prepare()


def test_missing_headers_are_named(fresh_home, monkeypatch, tmp_path):
    monkeypatch.setattr(findings.sysconfig, "get_paths", lambda: {"include": str(tmp_path / "nowhere")})
    finding = toolchain.check_python_headers()
    assert not finding.ok
    assert "apt-get install python3" in finding.cure


def test_a_folder_that_cannot_be_written_is_named(fresh_home, monkeypatch):
    monkeypatch.setattr(findings.os, "access", lambda path, mode: False)
    assert "set HOME" in toolchain.check_home().cure


def test_prepare_links_onednn_where_jittor_looks(fresh_home):
    toolchain.prepare()
    folder = fresh_home / ".cache" / "jittor" / "mkl" / onednn.ONEDNN_FOLDER
    assert (folder / "include" / "dnnl.hpp").is_file()
    assert (folder / "lib" / "libmkldnn.so").stat().st_size > 1e6
    assert "use_mkl" not in os.environ


def test_a_link_into_another_environment_is_renewed_and_a_download_is_left_alone(fresh_home):
    library = fresh_home / ".cache" / "jittor" / "mkl" / onednn.ONEDNN_FOLDER / "lib" / "libmkldnn.so"
    library.parent.mkdir(parents=True)
    library.symlink_to(fresh_home / "gone")
    assert toolchain.link_onednn()
    assert library.exists()
    library.unlink()
    library.write_bytes(b"a library Jittor downloaded")
    toolchain.link_onednn()
    assert library.read_bytes() == b"a library Jittor downloaded"


def test_without_onednn_jittor_is_told_not_to_download_it(fresh_home, monkeypatch):
    monkeypatch.setattr(onednn, "onednn_files", lambda: None)
    toolchain.prepare()
    assert os.environ["use_mkl"] == "0"
    assert "pip install onednn-cpu-gomp" in toolchain.check_onednn().cure


def test_variables_of_the_user_win(fresh_home, monkeypatch):
    monkeypatch.setenv("cache_name", "mine")
    toolchain.prepare()
    assert os.environ["cache_name"] == "mine"


def test_the_python_config_script_answers_what_jittor_asks(fresh_home, monkeypatch, tmp_path):
    monkeypatch.setattr(cache.sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(cache.sysconfig, "get_config_var", {"EXT_SUFFIX": ".so"}.get)
    script = toolchain.python_config()
    assert script.is_relative_to(fresh_home)
    answers = [
        subprocess.run([script, flag], capture_output=True, text=True, check=True).stdout.strip()
        for flag in ("--includes", "--extension-suffix")
    ]
    assert answers == [f"-I{cache.sysconfig.get_paths()['include']}", ".so"]


def test_importing_jld_does_not_import_jittor():
    code = (
        "import sys, jld, jld.toolchain, jld.config, jld.data, jld.evaluation; print('jittor' in sys.modules)"
    )
    root = Path(__file__).resolve().parent.parent
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("answers", "runs", "is_marked"),
    [
        (["imported"], 1, True),
        (["please rerun", "imported"], 2, True),
        (["please rerun", "please rerun"], 2, False),
    ],
)
def test_jittor_is_built_in_a_process_of_its_own_until_it_imports(
    fresh_home, monkeypatch, answers, runs, is_marked
):
    started = []

    def import_in_child(messages, settings):
        assert settings == {}
        started.append(build.environment_of_one()["use_mpi"])
        return 0, answers[len(started) - 1] == build.DONE

    monkeypatch.setattr(build, "_import_in_child", import_in_child)
    monkeypatch.setenv("JLD_QUICK_BUILD", "0")
    assert build.build_once() == is_marked
    assert started == ["0"] * runs
    assert build.built_mark().is_file() == is_marked
    monkeypatch.setenv("cc_flags", "-DOTHER")
    assert not build.built_mark().is_file()


@pytest.mark.parametrize("change", [("platform", "node"), ("_processor",)])
def test_what_another_machine_built_is_not_taken_for_built_here(fresh_home, monkeypatch, change):
    mark = build.built_mark()
    assert mark == build.built_mark()
    *module, name = change
    monkeypatch.setattr(build.platform if module else build, name, lambda: "another")
    assert mark != build.built_mark()


def test_a_toolkit_that_jittor_cannot_be_built_with_is_left_for_the_cpu(fresh_home, monkeypatch, capsys):
    def import_in_child(messages, settings):
        assert settings == {}
        failed = os.environ["nvcc_path"] != ""
        messages.write("nvcc says no" if failed else "all is well")
        return int(failed), True

    monkeypatch.setattr(build, "_import_in_child", import_in_child)
    monkeypatch.setenv("JLD_QUICK_BUILD", "0")
    monkeypatch.setenv("nvcc_path", "/chosen/nvcc")
    assert not build.build_once()
    toolchain._leave_the_gpu()
    assert os.environ["nvcc_path"] == "" and build.built_mark().is_file()
    printed = capsys.readouterr().err
    assert "nvcc says no" in printed and "all is well" not in printed
    assert "building Jittor with /chosen/nvcc failed" in printed


def test_the_child_that_builds_jittor_is_read_line_by_line(monkeypatch, capsys, tmp_path):
    """A stand-in for Jittor that counts as it does, with carriage returns."""
    (tmp_path / "jittor.py").write_text(
        "import os, sys\n"
        "assert os.environ['log_silent'] == '0' and os.environ['COUNTED'] == 'yes'\n"
        "print('loaded')\n"
        "for i in range(3): print(f'Compiling core({i + 1}/3) used: 2.1s eta: 1.0s', end='\\r')\n"
        "print('Compiling ops(1/2) used: 3s eta: 3s')\n"
        "print('a message', file=sys.stderr)\n"
        "if os.environ.get('broken'): sys.exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (tmp_path / "messages").open("w+") as messages:
        assert build._import_in_child(messages, {"COUNTED": "yes"}) == (0, True)
        assert (tmp_path / "messages").read_text() == "a message\n"
        bars = capsys.readouterr().err
        assert "Compiling core" in bars and "3/3" in bars and "Compiling ops" in bars and "1/2" in bars
        monkeypatch.setenv("broken", "1")
        assert build._import_in_child(messages, {"COUNTED": "yes"}) == (3, False)


SESSION = """
from jld.toolchain import jittor
import jittor_utils, signal, time
jittor_utils.try_import_jit_utils_core()  # a library with a handler of its own
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("still here")
"""


def test_an_interrupt_does_not_end_a_session_that_uses_jittor():
    session = subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert session.stdout.readline() == "ready\n"
    session.send_signal(signal.SIGINT)
    assert session.communicate(timeout=30)[0] == "still here\n" and session.returncode == 0


ENDED = """
import multiprocessing, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
from jld.toolchain import jittor
print(len(multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_a_signal_to_all_processes_of_a_job_ends_it():
    job = subprocess.Popen(
        [sys.executable, "-c", ENDED], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert job.stdout.readline() == "0\n"  # those that built Jittor are gone, and whoever waits for them
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(timeout=30) == 7
