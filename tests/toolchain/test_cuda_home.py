"""What a CUDA home consists of, and that a real nvcc compiles with it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from jld.toolchain import cuda, cuda_home
from tests.toolchain.cuda_trees import make_toolkit, write


def make_home(tmp_path, nvcc, version=(13, 0), architectures=(90,), **more):
    root = tmp_path / "toolkit"
    headers, libraries = ([*(root / name).iterdir()] for name in ("include", "lib64"))
    links = cuda_home.collect(headers + more.get("headers", []), libraries)
    return cuda_home.assemble(tmp_path / "homes", links, nvcc, version, architectures).parent.parent


def test_real_headers_lie_behind_those_of_the_overlay(tmp_path):
    nvcc = make_toolkit(tmp_path / "toolkit", 13000, cudnn=9)
    home = make_home(tmp_path, nvcc)
    for name in ("driver_types.h", "cudnn.h", "cuda_bf16.h"):
        assert f'#include "toolkit/{name}"' in (home / "include" / name).read_text()
        assert (home / "include" / "toolkit" / name).resolve() == tmp_path / "toolkit" / "include" / name
    assert (home / "include" / "cublas.h").resolve() == tmp_path / "toolkit" / "include" / "cublas.h"
    assert (tmp_path / "toolkit" / "include" / "driver_types.h").read_text() == ""


def test_an_installed_npp_is_preferred_to_ours(tmp_path):
    nvcc = make_toolkit(tmp_path / "toolkit", 13000, cudnn=9)
    own = (make_home(tmp_path, nvcc) / "include" / "npp.h").read_text()
    npp = write(tmp_path / "npp" / "npp.h", "theirs")
    assert "NPP_MAX_64U" in own
    assert (make_home(tmp_path, nvcc, headers=[npp]) / "include" / "npp.h").read_text() == "theirs"


def test_a_home_is_made_once_and_anew_for_other_sources_and_cards(tmp_path):
    nvcc = make_toolkit(tmp_path / "toolkit", 13000, cudnn=9)
    first = make_home(tmp_path, nvcc)
    made = first.stat().st_mtime_ns
    assert make_home(tmp_path, nvcc) == first and first.stat().st_mtime_ns == made
    assert make_home(tmp_path, nvcc, architectures=(90, 120)) != first
    (tmp_path / "toolkit" / "lib64" / "libcublas.so.13").write_text("a newer library")
    assert make_home(tmp_path, nvcc) != first
    assert first.is_dir()


def test_a_link_named_like_a_folder_of_the_overlay_is_not_written_through(tmp_path):
    nvcc = make_toolkit(tmp_path / "toolkit", 13000, cudnn=9)
    theirs = write(tmp_path / "toolkit" / "include" / "cub" / "cub.cuh", "theirs")
    assert "CountingInputIterator" in (make_home(tmp_path, nvcc) / "include/cub/cub.cuh").read_text()
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("-std=c++14 -c a.cu", "-std=c++17 -c a.cu"),
        ("-Xcompiler -march=native -Xcompiler -fPIC", "-Xcompiler -fPIC"),
        ("-arch=compute_90 -code=sm_90 -code=sm_90 -O2", "-arch=compute_90 -code=sm_90,sm_120 -O2"),
        ("--version", "--version"),
        ("-DX='a b' -O2", "-DX='a b' -O2"),
    ],
)
def test_the_compiler_script_passes_what_cuda_13_and_the_cards_need(tmp_path, given, passed):
    nvcc = make_toolkit(tmp_path / "toolkit", 13000, cudnn=9)
    nvcc.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    home = make_home(tmp_path, nvcc, architectures=(120, 90))
    command = [home / "bin" / "nvcc", *shlex.split(given)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    include = [f"-I{home / 'include'}", "-isystem", str(home / "include" / "cccl")]
    assert told == include + shlex.split(passed)


# Everything the overlay stands in for, as Jittor's sources use it.
PROGRAM = """
#include <cuda_runtime.h>
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <npp.h>
#include <cub/cub.cuh>
#if __has_include("toolkit/cudnn.h")
#include <cudnn.h>
auto* dropped = &cudnnRNNForwardTraining<int>;
auto* replaced = &cudnnSetConvolutionNdDescriptor;
#endif
namespace jittor {
inline __device__ __half min(__half a, __half b) { return a < b ? a : b; }
__global__ void integers(int* a, int n) { a[0] = min(a[0], n) + max(a[1], n); }
struct Twice { __host__ __device__ float operator()(float x) const { return 2 * x; } };
void sum(float* in, float* out, void* workspace, size_t size, int n) {
    cub::TransformInputIterator<float, Twice, float*> doubled(in, Twice());
    cub::CountingInputIterator<int> counted(0);
    cub::DeviceReduce::Reduce(workspace, size, doubled, out, n, cub::Max(), 0.f);
    cub::DeviceReduce::Sum(workspace, size, counted, (int*)out, n);
}
int old_fields(cudaDeviceProp& device) { return device.computeMode + device.clockRate; }
long limits = NPP_MAX_64S;
}
"""


@pytest.mark.slow
def test_a_real_cuda_13_compiles_what_jittor_writes(tmp_path):
    toolkits = [toolkit for toolkit in cuda.find_toolkits() if toolkit.version >= (13, 0)]
    if not toolkits:
        pytest.skip("needs the nvcc of CUDA 13")
    links = cuda._links(toolkits[0])
    nvcc = cuda_home.assemble(tmp_path, links, toolkits[0].compiler, toolkits[0].version, (90,))
    source = write(tmp_path / "program.cu", PROGRAM)
    options = ["-std=c++14", "-arch=compute_90", "-code=sm_90", "--use_fast_math", "-w", "-c"]
    done = subprocess.run(
        [nvcc, *options, source, "-o", tmp_path / "program.o"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(tmp_path / "program.o").stat().st_size > 0
