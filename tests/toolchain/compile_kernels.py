"""Builds Jittor for CUDA and every CUDA kernel of jld: run by test_cuda_compiles.py, one line per kernel.

With stand-ins instead of NVIDIA's libraries nothing is computed; on a GPU everything is.
"""

import sys

import numpy as np

from jld.toolchain import jittor as jt
from tests.ops.kernels import KERNELS


def main() -> int:
    """Compiles and starts every kernel; returns the number of those that failed."""
    jt.flags.use_cuda = 1
    failed = 0
    for name, make in KERNELS.items():
        try:
            jt.sync(make(np.random.default_rng(7)))
            jt.sync_all(True)
            print("compiled", name, flush=True)
        except RuntimeError as problem:
            failed += 1
            print("failed", name, problem, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
