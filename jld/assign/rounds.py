"""Greedy non-maximum suppression in a fixed number of rounds: no sync, and shapes that do not change."""

from __future__ import annotations

from jld.boxes.overlaps import aligned_overlaps
from jld.toolchain import jittor as jt

# Score of a place that is taken, suppressed or not a candidate; real scores are not negative.
GONE = -1.0


def pick_in_rounds(
    scores: jt.Var, boxes: jt.Var, groups: jt.Var, *, num_groups: int, rounds: int, iou_threshold: float
) -> jt.Var:
    """In every round the best place of every group is picked, and its neighbours in the group are dropped.

    Args:
        scores: [R, Q] of Q places in each of R rows; negative ones are never picked.
        boxes: [R, Q, 4] corners in any unit.
        groups: [Q] int32 in [0, num_groups); places of different groups do not suppress each other.
        num_groups: L.
        rounds: places picked per group at most.
        iou_threshold: a place is dropped when its IoU with a picked one is above this.
    Returns:
        [R, rounds, L] int32 picked places, the first of equals; Q where a group was used up.
    """
    r, q = scores.shape
    members = (groups == jt.arange(num_groups).unsqueeze(1)).unsqueeze(1)  # [L, 1, Q]
    place = jt.arange(q)
    picks = []
    for _ in range(rounds):
        scores = scores.stop_fuse()  # compared for equality
        best = jt.ternary(members, scores, GONE).max(2)  # [L, R]
        wins = (scores == best.unsqueeze(2)).logical_and(members).logical_and(scores >= 0.0)
        first = jt.ternary(wins, place, q).min(2).transpose(1, 0)  # [R, L]
        chosen = first[:, groups]  # [R, Q] what was picked in the place's own group
        rivals = boxes.reindex([r, q, 4], ["i0", "@e0(i0,i1)", "i2"], extras=[chosen])
        dropped = (aligned_overlaps(boxes, rivals) > iou_threshold).logical_or(place == chosen)
        scores = jt.ternary(dropped, GONE, scores)
        picks.append(first)
    return jt.stack(picks, 1).int32()


def picked_mask(picks: jt.Var, groups: jt.Var) -> jt.Var:
    """[R, Q] 1 at the picked places.

    Args:
        picks: [R, rounds, L] what `pick_in_rounds` gives.
        groups: [Q] int32 group of every place.
    """
    return (picks[:, :, groups] == jt.arange(groups.shape[0])).float32().max(1)
