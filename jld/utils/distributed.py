"""Rank and averages over the processes of an `mpirun`; in one process all of it is the identity.

Jittor joins the processes when it is imported (it was built against the same MPI); the rest of this file only
reads what the launcher put into the environment, so that code without Jittor can ask for its rank too.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TypeVar

# Jittor 1.3.11 knows Open MPI alone; `jld.toolchain` stops processes that another MPI has started.
_RANK_NAME, _SIZE_NAME = "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"
V = TypeVar("V")


def rank() -> int:
    """Number of this process, 0 for the one that logs and saves."""
    return int(os.environ.get(_RANK_NAME, "0"))


def world_size() -> int:
    """Number of processes that train together."""
    return int(os.environ.get(_SIZE_NAME, "1"))


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def mean_over_ranks(var: V) -> V:
    """The mean of a Var over all processes, for loss normalisers (a count of positives); gradient flows.

    It is part of the graph: every rank must build the same operators in the same order.

    Raises:
        RuntimeError: started under MPI, but Jittor was imported without it.
    """
    if world_size() == 1:
        return var
    _joined_jittor()
    # Not the operation "mean": Jittor 1.3.11 leaves a division behind it that its fusion cannot compile.
    return var.mpi_all_reduce("add") * (1.0 / world_size())


def average_gradients(grads: list[V]) -> list[V]:
    """Gradients averaged over all processes, as Vars without a graph.

    Outside of the graph and in the order of the list: inside it, each rank's executor would choose the order
    of the messages, and ranks that wait for different ones wait for ever.

    Raises:
        RuntimeError: see `mean_over_ranks`.
    """
    if world_size() == 1:
        return grads
    jittor = _joined_jittor()
    # Products own their memory; two gradients may share theirs, and would be summed twice.
    averaged = [(grad * (1.0 / world_size())).stop_grad() for grad in grads]
    jittor.sync(averaged)
    for grad in averaged:
        jittor.mpi.var_all_reduce(grad)
    return averaged


def _joined_jittor() -> Any:
    jittor = sys.modules.get("jittor")
    if jittor is None or jittor.mpi is None:
        raise RuntimeError(
            f"{world_size()} processes were started, but Jittor was imported without MPI: import it through "
            "jld.toolchain."
        )
    return jittor
