"""What a detector tells others about itself, before any image is seen.

Datasets, checkpoints, teachers and terms are compared by it; nobody outside `jld.models` looks into a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jld.models.boxes import BoxRepresentation
from jld.models.normalisation import InputStatistics


@dataclass(frozen=True)
class StageInterface:
    """One stage of a detector.

    Attributes:
        head: name of the head's class, for messages.
        num_classes: C.
        shapes: {key of the predictions: trailing shape per place}.
        boxes: what the box outputs stand for.
        class_keys: the keys whose first trailing axis is the classes, behind them perhaps the background.
        places: {setting: value} of which place is which: row k of two stages with equal settings is the same
            cell, and where a cell has several priors, the same prior. Empty for RoIs, which lie in no cell.
        anchors: the shapes of the priors of a cell, see `PriorGenerator`; deltas are relative to them. Of
            RoIs: how they find their level, whose strides their distances are told in.
        center_offset: position of a grid place's centre inside its cell, in strides.
        tower: (number of convolutions, channels) of the towers before the last layers; None without any.
        turned_is_same: whether a rotated box with its sides changed over and a quarter turn is the same box
            to the box loss.
    """

    head: str
    num_classes: int
    shapes: Mapping[str, tuple[int, ...]]
    boxes: BoxRepresentation
    class_keys: tuple[str, ...]
    places: Mapping[str, object]
    anchors: tuple[str, ...] = ()
    center_offset: float = 0.0
    tower: tuple[int, int] | None = None
    turned_is_same: bool = False

    @property
    def is_grid(self) -> bool:
        """Whether the places are cells of the feature maps."""
        return bool(self.places)

    @property
    def has_background(self) -> bool:
        """Whether `cls_logits` holds the background behind the classes: its scores are one softmax."""
        return self.shapes.get("cls_logits") == (self.num_classes + 1,)


@dataclass(frozen=True)
class Interface:
    """A whole detector.

    Attributes:
        classes: names in the order of the labels; empty where nobody told them.
        strides: px per cell of the feature maps, fine to coarse.
        channels: D of the feature maps.
        normalisation: how input images are normalised; None where nobody told.
        stages: {name: StageInterface} in the order in which they run.
    """

    classes: tuple[str, ...]
    strides: tuple[int, ...]
    channels: int
    normalisation: InputStatistics | None
    stages: Mapping[str, StageInterface]

    @property
    def num_classes(self) -> int:
        """C of the last stage, whose classes are the detections'."""
        return list(self.stages.values())[-1].num_classes

    def stage(self, name: str | None = None) -> StageInterface:
        """The stage called `name`; None is the first one."""
        return self.stages[name] if name is not None else next(iter(self.stages.values()))
