"""Which toolkit is chosen for which card, on folders made here."""

import os
import sys
from pathlib import Path

import pytest

from jld import toolchain
from jld.toolchain import cuda, gpus
from jld.toolchain.gpus import Gpus
from tests.toolchain.cuda_trees import make_cudnn, make_toolkit, make_wheels, write

HOPPER = Gpus(("H200",), (90,), (13, 0))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an H200, a fresh home and no toolkit but those a test makes; returns its folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("JITTOR_HOME", raising=False)
    monkeypatch.setenv("nvcc_path", "")
    monkeypatch.delenv("nvcc_path")
    monkeypatch.setattr(cuda, "_SYSTEM_PLACES", (str(tmp_path / "cuda" / "bin" / "nvcc"),))
    monkeypatch.setattr(cuda, "_SYSTEM_LIBRARIES", tmp_path / "system")
    monkeypatch.setattr(cuda, "_SYSTEM_INCLUDES", (tmp_path / "system",))
    monkeypatch.setattr(cuda.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpus, "find_gpus", lambda: HOPPER)
    # The wheels of the machine that runs the test are not those of the one it plays.
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    (tmp_path / "site").mkdir()
    return tmp_path


def put_gpus(monkeypatch, architecture=90, driver=(13, 0)):
    monkeypatch.setattr(gpus, "find_gpus", lambda: Gpus(("card",), (architecture,), driver))


def homes(machine: Path) -> list[Path]:
    return sorted((machine / "home" / ".cache" / "jittor" / "jld").glob("cuda-*"))


def test_without_a_gpu_no_toolkit_is_looked_for(machine, monkeypatch):
    monkeypatch.setattr(gpus, "find_gpus", lambda: None)
    monkeypatch.setattr(cuda, "find_toolkits", lambda: pytest.fail("looked for a toolkit"))
    assert cuda.choose_cuda() == cuda.Choice("", "no usable GPU: running on the CPU")
    monkeypatch.setattr(cuda.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert cuda.check_cuda().detail.endswith("running on the CPU (nvcc at /usr/bin/nvcc is ignored)")


@pytest.mark.parametrize("version", [11080, 12020])
def test_a_toolkit_that_jittor_knows_is_left_alone(machine, version):
    nvcc = make_toolkit(machine / "cuda", version)
    assert cuda.choose_cuda().nvcc == str(nvcc)
    assert not homes(machine)


def test_jittors_own_download_is_found(machine):
    nvcc = make_toolkit(machine / "home" / ".cache" / "jittor" / "jtcuda" / "cuda12.2_cudnn8_linux")
    assert cuda.choose_cuda().nvcc == str(nvcc)


def test_a_system_cuda_13_completed_by_wheels_gets_a_home(machine):
    make_toolkit(machine / "cuda", 13000, cudnn=0)
    make_wheels(machine / "site")
    nvcc = Path(cuda.choose_cuda().nvcc)
    assert [nvcc.parent.parent] == homes(machine)
    assert str(machine / "cuda" / "bin" / "nvcc") in nvcc.read_text()
    library = nvcc.parent.parent / "lib64" / "libcudnn_ops_infer.so"
    assert library.resolve() == machine / "site" / "nvidia" / "cudnn" / "lib" / "libcudnn_ops.so.9"


def test_wheels_alone_are_enough_and_one_of_them_missing_is_named(machine):
    make_wheels(machine / "site")
    choice = cuda.choose_cuda()
    assert "CUDA 13.0 of the package index" in choice.detail and not choice.cure
    home = Path(choice.nvcc).parent.parent
    assert (home / "lib64" / "libcublas.so").exists() and (home / "include" / "cccl").is_dir()
    (machine / "site" / "nvidia" / "cu13" / "lib" / "libcufft.so.13").unlink()
    choice = cuda.choose_cuda()
    assert choice.nvcc == "" and "lacks libcufft.so: running on the CPU" in choice.detail
    assert choice.cure == cuda.WHEELS


def test_libraries_without_a_compiler_are_not_a_toolkit(machine):
    make_wheels(machine / "site", with_compiler=False)
    assert cuda.choose_cuda().detail == f"{HOPPER}; no nvcc: running on the CPU"


def test_cudnn_of_another_cuda_is_not_mixed_in(machine):
    make_toolkit(machine / "cuda", 13000, cudnn=0)
    make_wheels(machine / "site", cuda_major=12)
    assert "lacks libcudnn.so, cudnn.h" in cuda.choose_cuda().detail


def test_cuda_12_with_cudnn_9_gets_a_home_without_the_headers_for_cuda_13(machine):
    make_toolkit(machine / "cuda", 12040, cudnn=9)
    home = Path(cuda.choose_cuda().nvcc).parent.parent
    assert (home / "include" / "driver_types.h").is_symlink() and not (home / "include" / "cub").exists()
    assert not (home / "include" / "cudnn.h").is_symlink()
    assert "-std=c++14) argument=-std=c++14" in (home / "bin" / "nvcc").read_text()


def test_cudnn_of_the_system_is_taken(machine):
    make_toolkit(machine / "cuda", 13000, cudnn=0)
    make_cudnn(machine / "system", machine / "system", 9)
    home = Path(cuda.choose_cuda().nvcc).parent.parent
    assert (home / "lib64" / "libcudnn.so").resolve() == machine / "system" / "libcudnn.so.9"


def test_a_card_newer_than_jittor_gets_a_home_that_compiles_for_it(machine, monkeypatch):
    make_toolkit(machine / "cuda", 12080)
    put_gpus(monkeypatch, architecture=120)
    assert "-code=sm_120" in Path(cuda.choose_cuda().nvcc).read_text()


@pytest.mark.parametrize(
    ("architecture", "driver", "words", "cure"),
    [
        (90, (12, 4), "needs a driver for CUDA 13", cuda.INSTALLER),
        (70, (13, 0), "no longer compiles for this card", cuda.INSTALLER),
        (120, (12, 8), "needs a driver for CUDA 13", "Update the driver"),
    ],
)
def test_what_does_not_fit_is_said_with_its_cure(machine, monkeypatch, architecture, driver, words, cure):
    make_wheels(machine / "site")
    put_gpus(monkeypatch, architecture, driver)
    choice = cuda.choose_cuda()
    assert choice.nvcc == "" and words in choice.detail and cure in choice.cure


def test_a_toolkit_behind_a_script_is_found(machine, monkeypatch):
    make_toolkit(machine / "elsewhere", 13000, cudnn=9)
    script = write(
        machine / "local" / "bin" / "nvcc",
        f"#!/bin/sh\necho '#$ TOP={machine / 'elsewhere' / 'bin' / '..'}' >&2\n",
        executable=True,
    )
    monkeypatch.setattr(cuda.shutil, "which", lambda name: str(script))
    assert str(machine / "elsewhere" / "bin" / "nvcc") in Path(cuda.choose_cuda().nvcc).read_text()


def test_a_choice_of_the_user_is_kept(machine, monkeypatch):
    make_toolkit(machine / "cuda")
    monkeypatch.setenv("nvcc_path", "/mine/nvcc")
    assert cuda.choose_cuda() == cuda.Choice("/mine/nvcc", "nvcc_path is set to /mine/nvcc")
    monkeypatch.setenv("nvcc_path", "")
    assert cuda.choose_cuda().nvcc == ""


def test_looking_makes_no_home(machine):
    make_wheels(machine / "site")
    finding = cuda.check_cuda()
    assert finding.ok and "assembled under" in finding.detail
    assert not homes(machine)


def test_a_gpu_that_cannot_be_used_is_one_line_and_the_cpu(machine, monkeypatch, capsys):
    # Only the GPU is of interest, and nothing else of this machine's packages is on the path.
    monkeypatch.setattr(toolchain, "inspect_machine", list)
    monkeypatch.setattr(toolchain, "python_config", lambda: None)
    monkeypatch.setattr(toolchain, "link_onednn", lambda: True)
    toolchain.prepare()
    assert os.environ["nvcc_path"] == ""
    assert capsys.readouterr().err == (
        f"jld: {HOPPER}; no nvcc: running on the CPU. To use the GPU: {cuda.WHEELS}\n"
    )
