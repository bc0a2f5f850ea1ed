"""What heads with a box for every class say of the class that the teacher holds likeliest."""

from __future__ import annotations

from collections.abc import Mapping

from jld.models.heads.box_head import entries_of
from jld.models.trace import Stage
from jld.toolchain import jittor as jt


def numbers_of_likeliest(own: Mapping[str, jt.Var], teacher: Stage) -> tuple[jt.Var, jt.Var]:
    """What two sets of predictions say of each place's box, where there are several in the teacher's class.

    Args:
        own: predictions with the teacher's key and shape of boxes.
        teacher: its stage; no gradient flows into it.
    Returns:
        (own, the teacher's) [N, P, *shape of a box].
    """
    boxes = teacher.head.boxes
    pair = own[boxes.key], teacher.predictions[boxes.key].detach()
    if pair[1].ndim == 2 + len(boxes.shape):
        return pair
    likeliest, _ = jt.argmax(teacher.probabilities(), dim=-1)
    return entries_of(pair[0], likeliest), entries_of(pair[1], likeliest)
