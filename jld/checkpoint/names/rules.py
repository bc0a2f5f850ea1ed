"""How a rename table is written and applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

Rules = tuple[tuple[str, str], ...]
State = Mapping[str, np.ndarray]

# Rules that hold for every origin.
COMMON_DROPS: Rules = ((r"(^|\.)num_batches_tracked$", "counter of batch normalisation that nothing reads"),)
COMMON_RENAMES: Rules = ((r"\.conv2_offset\.(weight|bias)$", r".conv2.conv_offset.\1"),)


class Mapped(NamedTuple):
    """A file's name in our spelling, or None and why it is left out."""

    name: str | None
    reason: str = ""


def apply_rules(name: str, drops: Rules, renames: Rules) -> Mapped:
    """The first matching drop wins; otherwise every rename is applied in order.

    Args:
        drops: (pattern, reason) pairs.
        renames: (pattern, replacement) pairs for `re.sub`.
    """
    for pattern, reason in (*COMMON_DROPS, *drops):
        if re.search(pattern, name):
            return Mapped(None, reason)
    for pattern, replacement in (*renames, *COMMON_RENAMES):
        name = re.sub(pattern, replacement, name)
    return Mapped(name)


def has_prefix(names: Iterable[str], *prefixes: str) -> bool:
    """Whether any name starts with one of the prefixes."""
    return any(name.startswith(prefixes) for name in names)


def counts_batches(names: Iterable[str]) -> bool:
    """Whether PyTorch's batch normalisation left its counters; Jittor's has none."""
    return any(name.endswith("num_batches_tracked") for name in names)
