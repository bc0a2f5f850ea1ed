"""Backbone-only ResNet files (torchvision, Caffe and Detectron conversions, deep stems as mmDetection spells
them) and torchvision's detectors. Its Faster R-CNN and Mask R-CNN are read whole, of either spelling.

Source: torchvision 0.29, `models/detection`; the shorter names are those of its published files.
"""

from __future__ import annotations

import numpy as np

from jld.checkpoint.names.background import background_last, is_class_row
from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules, has_prefix

DROPS: Rules = (
    (r"^fc\.", "ImageNet classifier"),
    # mmDetection's conversions of Detectron's Caffe models hold them; its ResNets leave them out as well.
    (r"^(conv1|layer\d+\.\d+\.(conv\d|downsample\.0))\.bias$", "bias before a normalisation"),
    (r"^(head|backbone\.fpn)\.", "torchvision's own neck or head, built unlike ours"),
)
RENAMES: Rules = (
    (r"^backbone\.body\.", "backbone."),
    (r"^(conv1|bn1|stem|layer\d+)\.", r"backbone.\1."),
)
_WHOLE: Rules = (
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.(0\.)?(weight|bias)$", r"neck.lateral_convs.\1.conv.\3"),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.(0\.)?(weight|bias)$", r"neck.fpn_convs.\1.conv.\3"),
    (r"^rpn\.head\.conv\.(0\.0\.)?(weight|bias)$", r"rpn_head.rpn_conv.\2"),
    (r"^rpn\.head\.cls_logits\.", "rpn_head.rpn_cls."),
    (r"^rpn\.head\.bbox_pred\.", "rpn_head.rpn_reg."),
    (r"^roi_heads\.box_head\.fc6\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"^roi_heads\.box_head\.fc7\.", "roi_head.bbox_head.shared_fcs.1."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_head.bbox_head.fc_cls."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_head.bbox_head.fc_reg."),
    (r"^roi_heads\.mask_head\.(\d)\.0\.", r"roi_head.mask_head.convs.\1.conv."),
    *(
        (rf"^roi_heads\.mask_head\.mask_fcn{i + 1}\.", f"roi_head.mask_head.convs.{i}.conv.")
        for i in range(4)
    ),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", "roi_head.mask_head.upsample."),
    (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "roi_head.mask_head.conv_logits."),
)


def detect(state: State) -> float:
    """How surely the names are a bare ResNet's or those of a torchvision detector, 0 to 1."""
    if has_prefix(state, "backbone.body."):
        return 0.9
    has_stem = "conv1.weight" in state or "stem.0.weight" in state
    return 0.6 if has_stem and "layer1.0.conv1.weight" in state else 0.0


def prepared(state: State) -> dict[str, np.ndarray]:
    """The state, that of a detector of two stages in our names and with the background behind the others.

    Neither a box nor a mask is predicted of it any more.
    """
    if not has_prefix(state, "roi_heads."):
        return dict(state)
    renamed = {apply_rules(name, (), _WHOLE).name or name: values for name, values in state.items()}
    return {name: background_last(name, values) for name, values in renamed.items()}


def note_of(name: str) -> str:
    """What was done to a parameter, by our name; empty for nothing."""
    return "background, torchvision's first class, is the last" if is_class_row(name) else ""


def map_name(name: str) -> Mapped:
    """Our spelling of a name that `prepared` gives, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)
