"""mmRotate files, the rotated localization distillation release included: mmDetection's names, five sides."""

from __future__ import annotations

from jld.checkpoint.names import mmdet
from jld.checkpoint.names.rules import Mapped, State, counts_batches

_ANCHORS_PER_CELL = 9
_SIDES = 5


def detect(state: State) -> float:
    """How surely the names are mmRotate's, 0 to 1: an angle distribution, or nine anchors of five deltas."""
    if "bbox_head.integral_angle.project" in state:
        return 0.9
    kernel = state.get("bbox_head.retina_reg.weight")
    has_five_sides = kernel is not None and kernel.shape[0] % (_ANCHORS_PER_CELL * _SIDES) == 0
    return 0.8 if has_five_sides and counts_batches(state) else 0.0


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return mmdet.map_name(name)
