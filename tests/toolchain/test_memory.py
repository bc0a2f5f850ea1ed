"""That freed blocks are used again without asking the system for pages."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
from jld.toolchain.memory import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def use():
    block = libc.malloc(24 << 20)
    ctypes.memset(block, 1, 24 << 20)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library's allocator")
@pytest.mark.parametrize("own", [{}, {"MALLOC_MMAP_THRESHOLD_": "65536"}])
def test_freed_blocks_are_used_again_unless_the_user_says_otherwise(own):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    faults = int(done.stdout)
    assert faults > 1000 if own else faults < 100
