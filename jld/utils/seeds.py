"""Random numbers: one seed for all generators, and their state as plain data for checkpoints."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and, where it is loaded, Jittor.

    All ranks get the same seed, so that equal weights are drawn everywhere; what must differ between
    samples uses `numpy.random.default_rng([seed, epoch, index])`, which knows no rank at all.

    Raises:
        ValueError: not between 0 and 2**32 - 1, NumPy's range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}, it must be between 0 and {2**32 - 1}.")
    jittor = sys.modules.get("jittor")
    if jittor is not None:
        # What is not drawn yet, such as the weights of a run that was refused, would be drawn from this seed.
        jittor.sync_all()
        # Before the other two, because it also seeds them, with an offset per rank.
        jittor.set_global_seed(seed, different_seed_for_mpi=False)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries that draw from the global generator


def random_state() -> dict[str, Any]:
    """State of Python's and NumPy's global generators as arrays and plain data.

    Jittor's own generator cannot be read; a resumed run seeds it from (seed, step) instead.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  see set_seed
    return {
        "python": {"version": version, "words": np.asarray(words, dtype=np.uint64), "gauss": gauss},
        "numpy": {"name": name, "keys": keys, "position": position, "has_gauss": has_gauss, "cached": cached},
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Puts the generators back where `random_state` found them."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((int(python["version"]), tuple(int(word) for word in python["words"]), python["gauss"]))
    np.random.set_state(  # noqa: NPY002  see set_seed
        (
            str(numpy["name"]),
            np.asarray(numpy["keys"], dtype=np.uint32),
            int(numpy["position"]),
            int(numpy["has_gauss"]),
            float(numpy["cached"]),
        )
    )
