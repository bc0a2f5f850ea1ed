"""timm ResNets with a deep stem (ResNet-C/D): three convolutions that mmDetection calls `stem`.

Plain timm ResNets are spelled like torchvision's and are read by that table.
"""

from __future__ import annotations

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules

DROPS: Rules = ((r"^(fc|head|classifier)\.", "ImageNet classifier"),)
RENAMES: Rules = (
    (r"^conv1\.(\d+)\.", r"backbone.stem.\1."),
    (r"^bn1\.", "backbone.stem.7."),
    (r"^(layer\d+)\.", r"backbone.\1."),
)


def detect(state: State) -> float:
    """How surely the names are timm's deep-stem ResNet, 0 to 1."""
    return 0.9 if "conv1.0.weight" in state and "layer1.0.conv1.weight" in state else 0.0


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)
