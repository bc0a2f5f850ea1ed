"""Freed memory stays with the process instead of going back to the system after every operator.

oneDNN allocates the reordered copies of each convolution anew. By default the C library gives such large
blocks back when they are freed, and the system clears every page again at the next use: a tenth of a training
step on the CPU (docs/performance.md). For Jittor 1.3.11; can go when its convolutions reuse their buffers.
"""

from __future__ import annotations

import ctypes
import os

# From malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
SETTINGS = (
    ("MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD, 2**31 - 1),
    ("MALLOC_MMAP_THRESHOLD_", M_MMAP_THRESHOLD, 2**30),
)


def keep_freed_memory() -> None:
    """Lets `malloc` keep what is freed, for the GNU C library; the environment's own values win."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for name, parameter, value in SETTINGS:
        if name not in os.environ:
            mallopt(parameter, value)
