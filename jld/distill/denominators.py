"""What a sum over places is divided by: named, because codes differ and hide a batch's size in it."""

from __future__ import annotations

from collections.abc import Callable

from jld.boxes.centerness import centerness
from jld.boxes.distances import bbox2distance
from jld.distill.context import StepContext
from jld.errors import one_of
from jld.models.boxes import targets_or_places
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

# The least sum of centerness: the released divisor lets a batch without positives explode.
RELEASED_FLOOR = 1e-6


def _positives(context: StepContext) -> jt.Var:
    return jt.maximum(mean_over_ranks(context.assignment.num_total_pos.float32()), 1.0)


def _own_positives(context: StepContext) -> jt.Var:
    return jt.maximum(context.assignment.num_total_pos.float32(), 1.0)


def _centerness(context: StepContext) -> jt.Var:
    wanted = targets_or_places(context.places, context.assignment)
    central = centerness(bbox2distance(context.places.centers, wanted)) * context.assignment.positive_mask
    return mean_over_ranks(central.sum().detach())


DENOMINATORS: dict[str, Callable[[StepContext], jt.Var]] = {
    "positives": _positives,
    "own_positives": _own_positives,
    "centerness": lambda context: jt.maximum(_centerness(context), 1.0),
    "centerness_released": lambda context: jt.maximum(_centerness(context), RELEASED_FLOOR),
    "images": lambda context: jt.array([float(context.valid_mask.shape[0])]),
}


def check_denominator(name: str) -> str:
    """`name` itself.

    The sums they divide grow with the batch as they do, so a loss depends neither on the batch's size nor on
    the number of processes, except for `own_positives` (of this process alone, as some codes have it):

    - `positives`: sum over images of max(positives, 1), averaged over processes.
    - `centerness`: sum of the positives' centerness, averaged over processes, at least 1;
      `centerness_released`: at least 1e-6.
    - `images`: of the batch.

    Raises:
        ConfigError: not one of DENOMINATORS.
    """
    return one_of(name, DENOMINATORS, f"unknown denominator {name!r}")
