"""Freed memory stays with the process instead of going back to the system after every operator.

oneDNN allocates the reordered copies of each convolution anew. By default the C library gives such large
blocks back when they are freed, and the system clears every page again at the next use (docs/performance.md
says what that costs). For Jittor 1.3.11; can go when its convolutions reuse their buffers.
"""

from __future__ import annotations

import ctypes
import os

# From malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Largest blocks that are kept, in bytes; older versions of the library refuse more than the second.
KEPT_BLOCKS = (2**30, 2**25)
OWN_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Lets `malloc` keep what is freed, for the GNU C library; the environment's own settings win."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name in os.environ for name in OWN_SETTINGS):
        return
    # Either setting ends the library's own adaptation: without the first the second does harm.
    if any(mallopt(M_MMAP_THRESHOLD, size) for size in KEPT_BLOCKS):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
