"""Files of detectron2 and of what is built on it (cvpods, LGD), Caffe2's ImageNet weights included.

What a name means depends on the others: the finest level of a pyramid has another number in every detector,
and FCOS and RetinaNet share the names of their layers. `prepared` settles that, `map_name` does the rest.
Input conventions: the ResNets of MSRA read BGR minus its mean, without a deviation; X-101-32x8d also divides
by one; a file of a whole detector states both (`pixel_mean`, `pixel_std`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules, has_prefix

# Fixed normalisations add it to the variance.
_EPS = 1e-5
_LAST_LEVEL = 5
_CAFFE2: Rules = (
    (r"_", "."),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
    (r"\bbn\.(s|gamma)$", "norm.weight"),
    (r"\bbn\.(bias|beta)$", "norm.bias"),
    (r"\bbn\.rm$", "norm.running_mean"),
    (r"\bbn\.riv$", "norm.running_var"),
    (r"^res\.conv1\.", "conv1."),
    (r"^conv1\.", "stem.conv1."),
    (r"\.branch1\.", ".shortcut."),
    (r"\.branch2a\.", ".conv1."),
    (r"\.branch2b\.", ".conv2."),
    (r"\.branch2c\.", ".conv3."),
)
DROPS: Rules = (
    (r"^(stem\.)?(fc\d*|linear|pred)\.", "ImageNet classifier"),
    (r"^bottom_up\.(fc|linear|head)\.", "ImageNet classifier"),
    (r"^bottom_up\.stem\.conv1\.bias$", "bias before a normalisation"),
    (r"\.momentum$", "of the optimizer, not a weight"),
    (r"^fpn\.", "the pyramid under its second name"),
    (r"\brelative_position_index$", "constant that our backbone computes"),
)
RENAMES: Rules = (
    (r"^bottom_up\.stem\.conv1\.norm\.", "backbone.bn1."),
    (r"^bottom_up\.stem\.conv1\.", "backbone.conv1."),
    (r"^(bottom_up\.res\d\.\d+)\.shortcut\.norm\.", r"\1.downsample.1."),
    (r"^(bottom_up\.res\d\.\d+)\.shortcut\.", r"\1.downsample.0."),
    (r"^(bottom_up\.res\d\.\d+)\.conv(\d)\.norm\.", r"\1.bn\2."),
    *((rf"^bottom_up\.res{stage + 1}\.", f"backbone.layer{stage}.") for stage in range(1, 5)),
    (r"^bottom_up\.", "backbone."),
    (r"^(lateral|fpn)_convs\.(\d+)\.", r"neck.\1_convs.\2.conv."),
    (r"^(retina|fcos)\.cls_tower\.", "bbox_head.cls_convs."),
    (r"^(retina|fcos)\.box_tower\.", "bbox_head.reg_convs."),
    (r"^retina\.cls_score\.", "bbox_head.retina_cls."),
    (r"^retina\.bbox_pred\.", "bbox_head.retina_reg."),
    (r"^fcos\.cls_score\.", "bbox_head.conv_cls."),
    (r"^fcos\.bbox_pred\.", "bbox_head.conv_reg."),
    (r"^fcos\.centerness\.", "bbox_head.conv_centerness."),
    (r"^fcos\.scales\.", "bbox_head.scales."),
    (r"^(proposal_generator\.)?anchor_generator\.", ""),
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn_head.rpn_conv."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn_head.rpn_cls."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn_head.rpn_reg."),
    (r"^roi_heads\.box_head\.fc1\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"^roi_heads\.box_head\.fc2\.", "roi_head.bbox_head.shared_fcs.1."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_head.bbox_head.fc_cls."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_head.bbox_head.fc_reg."),
    *(
        (rf"^roi_heads\.mask_head\.mask_fcn{i + 1}\.", f"roi_head.mask_head.convs.{i}.conv.")
        for i in range(4)
    ),
    (r"^roi_heads\.mask_head\.deconv\.", "roi_head.mask_head.upsample."),
    (r"^roi_heads\.mask_head\.predictor\.", "roi_head.mask_head.conv_logits."),
)
# Ours to theirs; `exported` treats what has a number itself.
_EXPORTS: Rules = (
    (r"^backbone\.bn1\.", "bottom_up.stem.conv1.norm."),
    (r"^backbone\.conv1\.", "bottom_up.stem.conv1."),
    *((rf"^backbone\.layer{stage}\.", f"bottom_up.res{stage + 1}.") for stage in range(1, 5)),
    (r"^(bottom_up\.res\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    (r"^(bottom_up\.res\d\.\d+)\.downsample\.0\.", r"\1.shortcut."),
    (r"^(bottom_up\.res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"\.conv2\.conv_offset\.", ".conv2_offset."),
    (r"^backbone\.", "bottom_up."),
    (r"^bottom_up\.", "backbone.bottom_up."),
    (r"^bbox_head\.(retina|conv)_cls\.", "head.cls_score."),
    (r"^bbox_head\.(retina|conv)_reg\.", "head.bbox_pred."),
    (r"^bbox_head\.conv_centerness\.", "head.centerness."),
    (r"^bbox_head\.scales\.", "head.scales."),
    (r"^rpn_head\.rpn_conv\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn_head\.rpn_cls\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn_head\.rpn_reg\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"^roi_head\.bbox_head\.shared_fcs\.0\.", "roi_heads.box_head.fc1."),
    (r"^roi_head\.bbox_head\.shared_fcs\.1\.", "roi_heads.box_head.fc2."),
    (r"^roi_head\.bbox_head\.fc_cls\.", "roi_heads.box_predictor.cls_score."),
    (r"^roi_head\.bbox_head\.fc_reg\.", "roi_heads.box_predictor.bbox_pred."),
    *(
        (rf"^roi_head\.mask_head\.convs\.{i}\.conv\.", f"roi_heads.mask_head.mask_fcn{i + 1}.")
        for i in range(4)
    ),
    (r"^roi_head\.mask_head\.upsample\.", "roi_heads.mask_head.deconv."),
    (r"^roi_head\.mask_head\.conv_logits\.", "roi_heads.mask_head.predictor."),
)


def detect(state: State) -> float:
    """How surely the names are detectron2's, 0 to 1."""
    if "conv1_w" in state and has_prefix(state, "res2_0_branch2a_"):
        return 0.95
    is_backbone = "stem.conv1.weight" in state and has_prefix(state, "res2.")
    has_pyramid = has_prefix(state, "backbone.bottom_up.", "backbone.fpn_lateral", "raw_backbone.")
    return 0.95 if is_backbone or has_pyramid else 0.0


def prepared(state: State) -> dict[str, np.ndarray]:
    """The state in names that each mean one thing, with the statistics that Caffe2 folds into its scales."""
    if "conv1_w" in state:
        state = {_renamed(name, _CAFFE2): values for name, values in state.items()}
    result = {_plain(name, state): values for name, values in state.items()}
    for name, values in list(result.items()):
        if found := re.match(r"(bottom_up\.(?:stem|res\d)\..*norm\.)weight$", name):
            result.setdefault(found[1] + "running_mean", np.zeros_like(values))
            result.setdefault(found[1] + "running_var", np.full_like(values, 1.0 - _EPS))
    return result


def _plain(name: str, state: State) -> str:
    """A file's name with what its neighbours say about it written out."""
    name = re.sub(r"^(backbone\.bottom_up|raw_backbone)\.", "bottom_up.", name)
    if re.match(r"(stem|res\d)\.", name):
        return "bottom_up." + name
    levels = [int(found[1]) for each in state if (found := re.search(r"\bfpn_lateral(\d)\.weight$", each))]
    lowest = min(levels, default=0)
    if found := re.match(r"backbone\.fpn_(lateral|output)(\d)\.(.+)", name):
        kind = "lateral" if found[1] == "lateral" else "fpn"
        return f"{kind}_convs.{int(found[2]) - lowest}.{found[3]}"
    if found := re.match(r"backbone\.top_block\.p(\d)\.(.+)", name):
        return f"fpn_convs.{int(found[1]) - lowest}.{found[2]}"
    head, layers = ("fcos", 3) if "head.centerness.weight" in state else ("retina", 2)
    if found := re.match(r"head\.(cls|bbox)_subnet\.(\d+)\.(.+)", name):
        tower, index = "cls" if found[1] == "cls" else "box", int(found[2])
        return f"{head}.{tower}_tower.{index // layers}.{('conv', 'gn')[index % layers]}.{found[3]}"
    return re.sub(r"^head\.", f"{head}.", name)


def map_name(name: str) -> Mapped:
    """Our spelling of a name that `prepared` gives, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)


def exported(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our state in detectron2's names (cvpods' for FCOS), for strict loading there."""
    count = sum(bool(re.fullmatch(r"neck\.lateral_convs\.\d+\.conv\.weight", name)) for name in state)
    lowest, result = _LAST_LEVEL + 1 - count, {}
    layers = 3 if "bbox_head.conv_centerness.weight" in state else 2
    for name, values in state.items():
        if found := re.match(r"neck\.(lateral|fpn)_convs\.(\d+)\.conv\.(.+)", name):
            level = int(found[2]) + lowest
            kind = "fpn_lateral" if found[1] == "lateral" else "fpn_output"
            kind = f"{kind}{level}" if level <= _LAST_LEVEL else f"top_block.p{level}"
            result[f"backbone.{kind}.{found[3]}"] = values
        elif found := re.match(r"bbox_head\.(cls|reg)_convs\.(\d+)\.(conv|gn)\.(.+)", name):
            tower = "cls" if found[1] == "cls" else "bbox"
            place = int(found[2]) * layers + (found[3] == "gn")
            result[f"head.{tower}_subnet.{place}.{found[4]}"] = values
        else:
            result[_renamed(name, _EXPORTS)] = values
    return result


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
