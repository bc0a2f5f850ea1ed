"""How deep calls may nest while untrusted text is parsed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

DEEPEST = 5000


@contextmanager
def recursion_limit() -> Iterator[None]:
    """Inside the block calls nest no deeper than `DEEPEST`: Jittor lets them fill all of the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
