"""Assignment of FCOS: a point learns the smallest object around it whose size suits the point's level.

Owns the choice of objects; what is learned of them (distances, centerness) is the head's. Every pass over
points and objects is one fused kernel that keeps [N, P] numbers, whatever the number of objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.assign.assignment import NEGATIVE, Assignment, make_assignment
from jld.assign.interfaces import GroundTruth
from jld.boxes.distances import inset_distance
from jld.boxes.formats import split_corners
from jld.boxes.places import GridPlaces, Places, on_grid
from jld.errors import ConfigError, one_of
from jld.registry import ASSIGNERS
from jld.toolchain import jittor as jt

# Largest distance to a side that each level learns, in px; the last level takes the rest.
REGRESS_RANGES = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8))
PADDINGS = ("background", "excluded")


@ASSIGNERS.register
class FCOSAssigner:
    """FCOS: points inside an object, or near its centre, on the level that suits its size.

    A point is positive for an object when it lies strictly inside the box (and inside the square around the
    box's centre, with `center_radius`) and the largest of its four distances to the sides is within the range
    of its level, both ends included. Of several objects it takes the one of smallest area, of equally small
    ones the first.

    Args:
        regress_ranges: (smallest, largest) such distance in px of every level, fine to coarse.
        center_radius: half the side of the central square in strides of the level, 1.5 with centre sampling;
            None: the whole box.
        padding: what points beyond an image's own padded area are, `background` as in the reference, or
            `excluded` from the losses as with anchor-based heads.
    Raises:
        ConfigError: a range without width, a radius that is not positive, unknown `padding`; when called, a
            number of levels that the ranges do not cover.
    Source: arXiv:1904.01355 section 3.2; centre sampling as in mmDetection's FCOSHead.
    Differs: ignored boxes are not looked at, as in the reference.
    """

    def __init__(
        self,
        regress_ranges: Sequence[Sequence[float]] = REGRESS_RANGES,
        center_radius: float | None = None,
        padding: str = "background",
    ):
        for low, high in regress_ranges:
            if not high > low:
                raise ConfigError(f"FCOSAssigner: the range from {low} to {high} px holds no distance.")
        if center_radius is not None and center_radius <= 0:
            raise ConfigError(
                f"FCOSAssigner needs a center_radius above 0, not {center_radius}: 1.5 is usual."
            )
        one_of(padding, PADDINGS, f"FCOSAssigner: unknown padding {padding!r}")
        self.regress_ranges = tuple((float(low), float(high)) for low, high in regress_ranges)
        self.center_radius, self.padding = center_radius, padding

    def __call__(
        self, places: Places, targets: GroundTruth, valid_mask: jt.Var, num_classes: int
    ) -> Assignment:
        """Assignment of a batch; `max_iou` is zero everywhere, points have no size.

        Args:
            places: GridPlaces of which the centres count.
            targets: Targets of the batch.
            valid_mask: [N, P] what `places.valid_mask(targets.pad_shapes)` gives.
            num_classes: C, the label of background.
        """
        gt_index = self._smallest_object(on_grid(places), targets)
        if self.padding == "background":
            valid_mask = jt.ones_like(valid_mask)
        else:
            gt_index = jt.ternary(valid_mask > 0, gt_index, NEGATIVE)
        return make_assignment(gt_index, jt.zeros_like(valid_mask), targets, valid_mask, num_classes)

    def _smallest_object(self, places: GridPlaces, targets: GroundTruth) -> jt.Var:
        """[N, P] int32 box slot of the smallest object that suits each point, -1 without one."""
        boxes, slots = targets.boxes.unsqueeze(2), targets.boxes.shape[1]  # [N, G, 1, 4]
        place = ascending_rank(_areas(targets))  # [N, G], every number from 0 to G - 1 once
        # Ranks instead of areas: their minimum names the object, so one pass is enough.
        bids = jt.ternary(self._suits(places, boxes), place.unsqueeze(2), slots)  # [N, G, P]
        winner = bids.min(1)  # [N, P]
        order = (place.unsqueeze(2) == jt.arange(slots)).int32() * jt.arange(slots).unsqueeze(1)  # [N, G, G]
        slot_of = order.sum(1)  # [N, G] slot of a rank; beyond it there is no object
        return slot_of.reindex(
            list(winner.shape), ["i0", "@e0(i0,i1)"], overflow_value=NEGATIVE, extras=[winner]
        )

    def _suits(self, places: GridPlaces, boxes: jt.Var) -> jt.Var:
        """[N, G, P] whether a point may learn an object; never for the empty boxes of unused slots."""
        points = places.centers.unsqueeze(1)  # [1, 1, P, 2]
        low, high = (jt.array(edge) for edge in self._ranges_of(places))  # [P]
        reach = reach_px(points, boxes)
        accepted = (inset_distance(points, boxes) > 0).logical_and(reach >= low).logical_and(reach <= high)
        if self.center_radius is None:
            return accepted
        x1, y1, x2, y2 = split_corners(boxes)
        radius = self.center_radius * places.strides.unsqueeze(1)  # [1, 1, P]
        near_x = jt.abs(points[..., 0] - (x1 + x2) * 0.5) < radius
        near_y = jt.abs(points[..., 1] - (y1 + y2) * 0.5) < radius
        return accepted.logical_and(near_x).logical_and(near_y)

    def _ranges_of(self, places: GridPlaces) -> np.ndarray:
        """NumPy [2, P] smallest and largest distance of every point's level."""
        if len(self.regress_ranges) != len(places.level_slices):
            raise ConfigError(
                f"FCOSAssigner has {len(self.regress_ranges)} regress_ranges for {len(places.level_slices)} "
                "levels: give one per stride."
            )
        lengths = [section.stop - section.start for section in places.level_slices]
        return np.repeat(np.array(self.regress_ranges, np.float32).T, lengths, axis=1)


def ascending_rank(values: jt.Var) -> jt.Var:
    """[..., K] how many entries of the row come before this one in ascending order, ties by position."""
    mine, other = values.unsqueeze(-1), values.unsqueeze(-2)
    order = jt.arange(values.shape[-1])
    earlier = order.unsqueeze(0) < order.unsqueeze(1)
    return (other < mine).logical_or((other == mine).logical_and(earlier)).int32().sum(-1)


def reach_px(points: jt.Var, boxes: jt.Var) -> jt.Var:
    """[...] distance in px from points [..., 2] to the farthest side of boxes [..., 4]."""
    x, y = points[..., 0], points[..., 1]
    x1, y1, x2, y2 = split_corners(boxes)
    return jt.maximum(jt.maximum(x - x1, x2 - x), jt.maximum(y - y1, y2 - y))


def _areas(targets: GroundTruth) -> jt.Var:
    """[N, G] area in square px."""
    x1, y1, x2, y2 = split_corners(targets.boxes)
    # Ranks compare a number with itself: both sides have to be the same stored value.
    return ((x2 - x1) * (y2 - y1)).stop_fuse()
