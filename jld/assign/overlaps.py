"""What "overlap" means to an assigner: of upright boxes, of rotated boxes, of circumscribed boxes."""

from __future__ import annotations

from jld.assign.atss import overlaps_ignored
from jld.assign.interfaces import GroundTruth
from jld.boxes.places import Places
from jld.errors import one_of
from jld.ops.max_iou_match import max_iou_match
from jld.ops.rotated_match import rotated_match
from jld.registry import OVERLAPS
from jld.toolchain import jittor as jt

ASSIGNED_TIES = ("nearest", "all")


@OVERLAPS.register
class HorizontalOverlap:
    """Overlap of upright boxes and upright priors, both as corners [..., 4]."""

    def match(
        self, places: Places, targets: GroundTruth, usable: jt.Var, *, min_pos_iou: float, assign_all: bool
    ) -> tuple[jt.Var, jt.Var, jt.Var]:
        """(best IoU [N, P], its box slot [N, P], claiming box slot [N, P]) as of `max_iou_match`."""
        return max_iou_match(
            places.boxes, targets.boxes, targets.mask, usable,
            min_pos_iou=min_pos_iou, assign_all=assign_all,
        )  # fmt: skip

    def ignored(self, places: Places, targets: GroundTruth, threshold: float) -> jt.Var:
        """[N, P] 1 where more than `threshold` of the prior's area lies inside one ignored box."""
        return overlaps_ignored(places, targets, threshold)


@OVERLAPS.register
class RotatedOverlap:
    """Exact overlap of rotated boxes and rotated priors, both as [..., 5].

    Args:
        upright: match the upright box around each object instead of the object as it lies. Its overlap does
            not depend on the angle version. Only the matching changes: assigned boxes keep their angle.
        ties: of the priors that tie for a box's best overlap, those `nearest` to its centre are given to it,
            or `all`.
    Raises:
        ConfigError: unknown `ties`.
    Source: mmRotate's "OBB" (as they lie, also JDet) and "HBB" (upright, `assign_by_circumhbbox`) configs.
    Differs: exact overlaps tie wherever a small box lies inside several priors of one area, 12 on average in
        the reference's unfiltered scenes. The reference takes all that tie, but its float32 rounding leaves
        3 of them; the nearest are as many, and not chosen by chance. A box that overlaps no prior is given
        the nearest ones, with `all` every prior, as in the reference.
    """

    def __init__(self, upright: bool = False, ties: str = "nearest"):
        one_of(ties, ASSIGNED_TIES, f"RotatedOverlap: unknown ties {ties!r}")
        self.upright, self.ties = upright, ties

    def match(
        self, places: Places, targets: GroundTruth, usable: jt.Var, *, min_pos_iou: float, assign_all: bool
    ) -> tuple[jt.Var, jt.Var, jt.Var]:
        """(best IoU [N, P], its box slot [N, P], claiming box slot [N, P]) as of `rotated_match`."""
        boxes = circumscribed(targets.boxes) if self.upright else targets.boxes
        found = rotated_match(
            places.boxes, boxes, targets.mask, usable,
            min_pos_iou=min_pos_iou, ties=self.ties if assign_all else "first",
        )  # fmt: skip
        return found.best, found.first, found.claimed

    def ignored(self, places: Places, targets: GroundTruth, threshold: float) -> jt.Var:
        """[N, P] 1 where more than `threshold` of the prior's area lies inside one ignored box."""
        mask = targets.ignore_mask
        boxes = circumscribed(targets.boxes_ignore) if self.upright else targets.boxes_ignore
        usable = jt.ones((mask.shape[0], len(places)))
        share = rotated_match(places.boxes, boxes, mask, usable, of_prior=True).best
        return (share > threshold).float32()


def circumscribed(rboxes: jt.Var) -> jt.Var:
    """[..., 5] upright boxes (angle 0) around rotated boxes [..., 5]."""
    width, height, angle = (rboxes[..., i] for i in (2, 3, 4))
    cos, sin = jt.abs(jt.cos(angle)), jt.abs(jt.sin(angle))
    return jt.stack(
        [
            rboxes[..., 0],
            rboxes[..., 1],
            width * cos + height * sin,
            width * sin + height * cos,
            jt.zeros_like(angle),
        ],
        -1,
    )
