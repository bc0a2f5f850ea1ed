"""What a head's box outputs stand for: deltas of an anchor, distances from a point, distributions of either.

A head owns one representation. Losses, detection, regions and distillation ask it instead of the head's kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jld.assign.assignment import Assignment
from jld.boxes.distances import bbox2distance, distance2bbox
from jld.boxes.interfaces import BoxCoder
from jld.boxes.places import Places
from jld.errors import ConfigError
from jld.losses.reduction import Loss
from jld.ops.expectation import expected_values
from jld.toolchain import jittor as jt

# Coordinates that boxes are compared in: px of the network input; the same divided by the place's stride; px
# from the place's own centre, where short distances lose no digits beside large coordinates.
FRAMES = ("image", "strides", "point")


def in_frame(boxes: jt.Var, places: Places, frame: str) -> jt.Var:
    """Boxes [N, P, 4] in px as they look in one of `FRAMES`."""
    if frame == "strides":
        return boxes / places.strides.unsqueeze(-1)
    if frame == "point":
        return distance2bbox(jt.zeros((2,)), bbox2distance(places.centers, boxes))
    return boxes


@dataclass(frozen=True)
class DeltaBoxes:
    """Deltas of the place's own box, which a coder encodes.

    Attributes:
        coder: CODERS object; its `num_values` is the number S of deltas.
    """

    coder: BoxCoder
    key = "box_deltas"

    @property
    def num_sides(self) -> int:
        """S, the numbers that describe a box."""
        return self.coder.num_values

    @property
    def angle_version(self) -> str | None:
        """Convention of the angles, see `jld.boxes.rotated.angles`; None for upright boxes."""
        return getattr(self.coder, "angle_version", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Trailing shape of one place's prediction."""
        return (self.num_sides,)

    def describe(self) -> str:
        """In a few words, for the table printed before training."""
        angles = f", angles {self.angle_version}" if self.angle_version else ""
        return f"deltas of {type(self.coder).__name__}{angles}"

    def from_map(self, x: jt.Var, stride: int) -> jt.Var:
        """The predictions in what the last convolution of a level gives; here the same."""
        return x

    def numbers(self, prediction: jt.Var) -> jt.Var:
        """[N, P, S] the deltas in a prediction."""
        return prediction

    def decode(self, prediction: jt.Var, places: Places, frame: str = "image") -> jt.Var:
        """Boxes [N, P, S] of a prediction, in one of `FRAMES`."""
        return in_frame(self.coder.decode(places.boxes, prediction), places, frame)

    def encode(self, boxes: jt.Var, places: Places) -> jt.Var:
        """[N, P, S] the deltas of boxes in px, without gradient."""
        return self.coder.encode(places.boxes, boxes).detach()


@dataclass(frozen=True)
class DistanceBoxes:
    """Distances from the place's centre to the left, top, right and bottom side.

    Attributes:
        unit: of the predicted numbers, `px` or `strides`.
        activation: what makes distances of a map: `exp`, or `relu` times the stride.
    """

    unit: str = "px"
    activation: str = "exp"
    key = "box_distances"
    num_sides = 4
    angle_version = None
    shape = (4,)

    def describe(self) -> str:
        """In a few words, for the table printed before training."""
        return f"distances in {self.unit}"

    def from_map(self, x: jt.Var, stride: int) -> jt.Var:
        """[N, A * 4, H, W] distances in px from the last convolution's output."""
        return jt.nn.relu(x) * stride if self.activation == "relu" else jt.exp(x)

    def numbers(self, prediction: jt.Var) -> jt.Var:
        """[N, P, 4] the distances in a prediction."""
        return prediction

    def decode(self, prediction: jt.Var, places: Places, frame: str = "image") -> jt.Var:
        """Corners [N, P, 4] of a prediction, in one of `FRAMES`."""
        strides = places.strides.unsqueeze(-1)  # [1 or N, P, 1]
        if frame == "strides":
            distances = prediction if self.unit == "strides" else prediction / strides
            return distance2bbox(places.centers / strides, distances)
        distances = prediction if self.unit == "px" else prediction * strides
        return distance2bbox(places.centers if frame == "image" else jt.zeros((2,)), distances)

    def encode(self, boxes: jt.Var, places: Places) -> jt.Var:
        """[N, P, 4] the distances of corners in px, without gradient."""
        distances = bbox2distance(places.centers, boxes)
        return (distances if self.unit == "px" else distances / places.strides.unsqueeze(-1)).detach()


@dataclass(frozen=True)
class DistributionBoxes:
    """A distribution over B values for each of the S numbers of another representation, which it expects.

    Attributes:
        of: the representation of the expectations.
        num_bins: B.
        ranges: (first, last) value of each number's bins, equally spaced; None: 0, 1, ..., B - 1 for all.
    Raises:
        ConfigError: fewer than two bins, or a range without width.
    """

    of: DeltaBoxes | DistanceBoxes
    num_bins: int
    ranges: tuple[tuple[float, float], ...] | None = None
    key = "box_logits"

    def __post_init__(self):
        if self.num_bins < 2:
            raise ConfigError(
                f"a distribution over {self.num_bins} values has no expectation to learn: use 2 or more."
            )
        for first, last in self.ranges or ():
            if not last > first:
                raise ConfigError(
                    f"the bin values from {first} to {last} have no width: put the smaller one first."
                )

    @property
    def num_sides(self) -> int:
        """S, the numbers that describe a box."""
        return self.of.num_sides

    @property
    def angle_version(self) -> str | None:
        """Convention of the angles, see `jld.boxes.rotated.angles`; None for upright boxes."""
        return self.of.angle_version

    @property
    def shape(self) -> tuple[int, ...]:
        """Trailing shape of one place's prediction."""
        return (self.num_sides, self.num_bins)

    def describe(self) -> str:
        """In a few words, for the table printed before training."""
        ends = dict.fromkeys((float(row[0]), float(row[-1])) for row in self.supports)
        ranges = " and ".join(f"{first:g} to {last:g}" for first, last in ends)
        return f"{self.num_bins} bins over {ranges}, {self.of.describe()}"

    @cached_property
    def supports(self) -> np.ndarray:
        """NumPy float32 [S, B] the values of the bins."""
        ranges = self.ranges or ((0.0, self.num_bins - 1.0),) * self.num_sides
        return np.stack([np.linspace(first, last, self.num_bins, dtype=np.float32) for first, last in ranges])

    def from_map(self, x: jt.Var, stride: int) -> jt.Var:
        """The predictions in what the last convolution of a level gives; here the same."""
        return x

    def numbers(self, prediction: jt.Var) -> jt.Var:
        """[N, P, S] the expectations of logits [N, P, S, B]."""
        return expected_values(prediction, self.supports)

    def decode(self, prediction: jt.Var, places: Places, frame: str = "image") -> jt.Var:
        """Boxes [N, P, 4 or 5] of logits [N, P, S, B], in one of `FRAMES`."""
        return self.of.decode(self.numbers(prediction), places, frame)

    def encode(self, boxes: jt.Var, places: Places) -> jt.Var:
        """[N, P, S] what the expectations of boxes in px should be, without gradient."""
        return self.of.encode(boxes, places)


BoxRepresentation = DeltaBoxes | DistanceBoxes | DistributionBoxes


def distances_or_bins(reg_max: int | None, activation: str = "exp") -> BoxRepresentation:
    """Distances in px, or with `reg_max` a distribution of each over 0 to reg_max strides."""
    return DistanceBoxes(activation=activation) if reg_max is None else distance_bins(reg_max)


def distance_bins(reg_max: int) -> DistributionBoxes:
    """A distribution of each distance over 0 to reg_max strides."""
    return DistributionBoxes(DistanceBoxes(unit="strides"), reg_max + 1)


def deltas_or_bins(box_coder: BoxCoder | None, reg_max: int | None, owner: str) -> BoxRepresentation:
    """Deltas of a coder, or with `reg_max` distributions of distances; exactly one of the two is given.

    Raises:
        ConfigError: neither or both, in the name of `owner`.
    """
    if (reg_max is None) == (box_coder is None):
        raise ConfigError(
            f"{owner} needs either box_coder (plain deltas, DeltaBoxCoder) or reg_max (distributions, 16), "
            f"not {'none' if reg_max is None else 'both'} of them."
        )
    return distances_or_bins(reg_max) if box_coder is None else DeltaBoxes(box_coder)


def mean_the_same(first: BoxRepresentation, second: BoxRepresentation) -> bool:
    """Whether equal numbers stand for equal boxes in both."""
    return type(first) is type(second) and _plain(vars(first)) == _plain(vars(second))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    # Supports follow from the rest; an activation makes the numbers, it does not change what they stand for.
    parts = {name: value for name, value in values.items() if name not in ("supports", "activation")}
    return {
        name: (type(value).__name__, _plain(vars(value))) if hasattr(value, "__dict__") else value
        for name, value in parts.items()
    }


def targets_or_places(places: Places, assignment: Assignment) -> jt.Var:
    """The box every place should predict: the assigned one, and the place itself where there is none.

    A stand-in keeps overlaps and logarithms finite there; an empty box would put 0 / 0 or log 0 under a
    weight of zero, which does not take it away.

    Args:
        assignment: of these places.
    Returns:
        [N, P, 4 or 5] in px, without gradient.
    """
    positive = assignment.positive_mask.unsqueeze(-1)
    return (assignment.target_boxes * positive + places.boxes * (1.0 - positive)).detach()


def box_loss(
    loss: Loss,
    boxes: BoxRepresentation,
    prediction: jt.Var,
    places: Places,
    wanted: jt.Var,
    *,
    frame: str | None,
    weight: jt.Var,
    avg_factor: jt.Var | float,
) -> jt.Var:
    """Box loss of a stage, as boxes in a frame or (None) as the numbers that the representation predicts.

    Args:
        loss: LOSSES object; one that `uses_deltas_and_boxes` is given both where numbers are compared.
        prediction: what the head predicts under `boxes.key`.
        wanted: [N, P, 4 or 5] in px, proper boxes everywhere, see `targets_or_places`.
        frame: one of `FRAMES`, or None.
        weight: [N, P].
    """
    factors = {"weight": weight, "avg_factor": avg_factor}
    compares_both = getattr(loss, "uses_deltas_and_boxes", False)
    if compares_both and frame is not None:
        raise ConfigError(
            f"{type(loss).__name__} compares deltas and boxes, but this head compares boxes alone: set "
            "reg_decoded_bbox=False, or choose another loss_bbox."
        )
    if frame is not None:
        return loss(
            boxes.decode(prediction, places, frame), in_frame(wanted, places, frame).detach(), **factors
        )
    if compares_both:
        factors |= {"pred_decode": boxes.decode(prediction, places), "targets_decode": wanted}
    return loss(boxes.numbers(prediction), boxes.encode(wanted, places), **factors)
