"""How a distillation term turns one number per prior into one scalar.

The released implementations differ here, and the choice decides how the loss scales with the batch, so it
is a named option of every term instead of a hidden constant.
"""

from __future__ import annotations

from collections.abc import Callable

from jld.boxes.places import Places, on_grid
from jld.distill.context import StepContext
from jld.errors import one_of
from jld.losses.reduction import total
from jld.toolchain import jittor as jt


def _sum(values: jt.Var, mask: jt.Var, places: Places) -> jt.Var:
    return total(values)


def _per_image(values: jt.Var, mask: jt.Var, places: Places) -> jt.Var:
    return total(values) / values.shape[0]


def _mean(values: jt.Var, mask: jt.Var, places: Places) -> jt.Var:
    return total(values) / mask.sum().maximum(1.0)


def _per_level_mean(values: jt.Var, mask: jt.Var, places: Places) -> jt.Var:
    # One pass over [N, P] per level would build five graphs; a [P, L] membership product builds one.
    if places.levels.shape[0] == 1:
        membership = level_membership(places)  # [P, L]
        rows = [x.sum(0, keepdims=True) for x in (values, mask)]
    else:
        membership = _membership(places.levels, places.num_levels)  # [N P, L]
        rows = [x.reshape(1, -1) for x in (values, mask)]
    sums, counts = (jt.matmul(row, membership) for row in rows)  # [1, L]
    return (sums / counts.maximum(1.0)).sum()


REDUCTIONS: dict[str, Callable[[jt.Var, jt.Var, Places], jt.Var]] = {
    "sum": _sum,
    "per_image": _per_image,
    "mean": _mean,
    "per_level_mean": _per_level_mean,
}


def reduce_over_region(values: jt.Var, mask: jt.Var, places: Places, reduction: str) -> jt.Var:
    """Scalar of per-prior values.

    Args:
        values: [N, P] weighted values, 0 outside the region.
        mask: [N, P] 1 inside the region.
        places: Places, for the level of each.
        reduction: `sum` (grows with the batch: the released localization terms), `per_image` (sum divided by
            N: independent of the batch size), `mean` (divided by the number of priors in the region of the
            batch), `per_level_mean` (that per level, then added: the released classification term and both
            rotated ones).
    Returns:
        Scalar Var that carries gradient; 0 where the region is empty.
    """
    return REDUCTIONS[reduction](values, mask, places)


def check_reduction(reduction: str) -> str:
    """`reduction` itself.

    Raises:
        ConfigError: not one of REDUCTIONS.
    """
    return one_of(reduction, REDUCTIONS, f"unknown reduction {reduction!r}")


def level_membership(places: Places) -> jt.Var:
    """[P, L] float32, 1 where place p, one that all images share, belongs to level l."""
    places = on_grid(places)
    return _membership(places.levels, places.num_levels)


def _membership(levels: jt.Var, num_levels: int) -> jt.Var:
    return (levels.reshape(-1, 1) == jt.arange(num_levels).unsqueeze(0)).float32()


def levels_with_positives(context: StepContext) -> jt.Var:
    """[1, P] 1 for the priors of every level that holds a positive of any image."""
    membership = level_membership(context.places)  # [P, L]
    counts = jt.matmul(context.assignment.positive_mask.sum(0, keepdims=True), membership)  # [1, L]
    return jt.matmul((counts > 0).float32(), membership.transpose(1, 0))
