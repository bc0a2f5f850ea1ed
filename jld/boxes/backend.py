"""The one switch that lets box arithmetic run on NumPy arrays and on Jittor Vars."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeVar

import numpy as np

# An ndarray or a Jittor Var; what takes one kind gives the same kind.
Array = TypeVar("Array", bound=Any)


def array_module(array: Any) -> ModuleType:
    """`numpy` for an ndarray or a number of one, else `jittor`; both name box arithmetic alike."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    from jld.toolchain import jittor  # imported late: data and evaluation use boxes without Jittor

    return jittor
