"""Backbone-only ResNet files (torchvision, Caffe and Detectron conversions, deep stems as mmDetection spells
them) and torchvision's detectors.
"""

from __future__ import annotations

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules, has_prefix

DROPS: Rules = (
    (r"^fc\.", "ImageNet classifier"),
    # mmDetection's conversions of Detectron's Caffe models hold them; its ResNets leave them out as well.
    (r"^(conv1|layer\d+\.\d+\.(conv\d|downsample\.0))\.bias$", "bias before a normalisation"),
    (r"^(rpn|roi_heads|head|backbone\.fpn)\.", "torchvision's own neck or head, built unlike ours"),
)
RENAMES: Rules = (
    (r"^backbone\.body\.", "backbone."),
    (r"^(conv1|bn1|stem|layer\d+)\.", r"backbone.\1."),
)


def detect(state: State) -> float:
    """How surely the names are a bare ResNet's or those of a torchvision detector, 0 to 1."""
    if has_prefix(state, "backbone.body."):
        return 0.9
    has_stem = "conv1.weight" in state or "stem.0.weight" in state
    return 0.6 if has_stem and "layer1.0.conv1.weight" in state else 0.0


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)
