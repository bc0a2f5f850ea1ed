"""The parts that mmDetection's detectors are made of, in jld's words: one function per kind of section.

Every function reads its section to the end, so that a key without counterpart is a ConfigError that names it.
"""

from __future__ import annotations

from typing import Any

from jld.config.foreign import Section
from jld.errors import ConfigError

_SIGMOID = ("use_sigmoid", "loss_weight")
LOSSES: dict[str, tuple[str, ...]] = {
    "QualityFocalLoss": ("beta", *_SIGMOID),
    "DistributionFocalLoss": ("loss_weight",),
    "FocalLoss": ("gamma", "alpha", *_SIGMOID),
    "CrossEntropyLoss": _SIGMOID,
    "IoULoss": ("linear", "eps", "loss_weight"),
    "GIoULoss": ("eps", "loss_weight"),
    "DIoULoss": ("eps", "loss_weight"),
    "CIoULoss": ("eps", "loss_weight"),
    "L1Loss": ("loss_weight",),
    "SmoothL1Loss": ("beta", "loss_weight"),
}
# {backbone: arguments of its own}
BACKBONES = {
    "ResNet": (),
    "ResNeXt": ("groups", "base_width"),
    "Res2Net": ("scales", "base_width"),
}
_LOW_QUALITY = ("match_low_quality", "gt_max_assign_all", "ignore_iof_thr")
ASSIGNERS = {
    "ATSSAssigner": ("topk", "ignore_iof_thr"),
    "MaxIoUAssigner": ("pos_iou_thr", "neg_iou_thr", "min_pos_iou", *_LOW_QUALITY),
}
_ZEROS, _ONES = (0.0,) * 4, (1.0,) * 4


def translate_backbone(section: Section, pretrained: Any) -> dict[str, Any]:
    """ResNet, ResNeXt or Res2Net; `pretrained` is where older files name its weights."""
    own = section.choose(BACKBONES)
    norm = section.section("norm_cfg", {"type": "BN"})
    norm.choose(("BN",))
    section.expect("num_stages", 4)
    for key, value in (
        ("strides", (1, 2, 2, 2)),
        ("dilations", (1,) * 4),
        ("deep_stem", False),
        ("plugins", None),
    ):
        section.expect(key, value, [])
    section.copy(("with_cp", "avg_down"))  # memory; what Res2Net always does
    translated = {
        "type": section.type,
        **section.copy(("depth", *own)),
        "out_indices": list(section.take("out_indices", (0, 1, 2, 3))),
        "frozen_stages": section.take("frozen_stages", -1),
        "norm_eval": section.take("norm_eval", True),
        "norm_trainable": norm.take("requires_grad", True),
        "pretrained": _pretrained(section, pretrained),
    }
    norm.finish()
    style = section.take("style", "pytorch")
    if section.type != "Res2Net":
        translated["style"] = style
    dcn = section.take("dcn", None)
    if dcn is not None:
        translated |= _deformation(Section(dcn, f"{section.path}.dcn", section.origin))
        translated["stage_with_dcn"] = list(section.take("stage_with_dcn", (False,) * 4))
    section.copy(("stage_with_dcn",))
    section.finish()
    return translated


def _pretrained(section: Section, pretrained: Any) -> str | None:
    init = section.take("init_cfg", None)
    if init is None:
        return pretrained
    weights = Section(init, f"{section.path}.init_cfg", section.origin)
    weights.choose(("Pretrained",))
    found = weights.take("checkpoint")
    weights.finish()
    return found


def _deformation(section: Section) -> dict[str, Any]:
    kind = section.choose(("DCN", "DCNv2"))
    section.expect("fallback_on_stride", False)
    groups = section.take("deform_groups", section.take("deformable_groups", 1))
    section.finish()
    return {"dcn": {"type": kind, "deform_groups": groups}}


def translate_loss(section: Section, use_mask: bool = False) -> dict[str, Any]:
    """A loss; `use_mask`: the one of a mask head, which is a binary cross entropy."""
    names = section.choose(LOSSES)
    section.expect("reduction", "mean")
    section.copy(("activated",))
    translated = {"type": section.type, **section.copy(names)}
    if section.type == "IoULoss" and section.take("mode", "log") == "linear":
        translated["linear"] = True
    if use_mask:
        section.expect("use_mask", True)
        translated["use_sigmoid"] = True
    section.finish()
    return translated


def translate_priors(section: Section) -> dict[str, Any]:
    """An anchor generator."""
    section.choose(("AnchorGenerator",))
    scales = section.take("scales", None)
    if scales is not None and len(scales) != 1:
        raise ConfigError(f"{section.path}.scales: {scales!r} is not covered, only one scale.")
    octave = {"octave_base_scale": scales[0]} if scales is not None else {}
    translated = {
        "type": "AnchorGenerator",
        **section.copy(("strides", "ratios", "octave_base_scale", "scales_per_octave", "center_offset")),
        **octave,
    }
    section.finish()
    return translated


def translate_coder(section: Section) -> dict[str, Any]:
    """A coder of box deltas."""
    section.choose(("DeltaXYWHBBoxCoder",))
    section.expect("add_ctr_clamp", False)
    means, stds = section.take("target_means", _ZEROS), section.take("target_stds", _ONES)
    translated = {"type": "DeltaBoxCoder", "means": list(means), "stds": list(stds)}
    translated |= section.copy(("clip_border",))
    section.finish()
    return translated


def translate_assigner(section: Section) -> dict[str, Any]:
    """An assigner with the overlaps of boxes."""
    keys = section.choose(ASSIGNERS)
    section.expect("iou_calculator", {"type": "BboxOverlaps2D"})
    section.copy(("gpu_assign_thr",))
    # It concerns ignored boxes alone, which only a threshold from 0 on asks for.
    section.copy(("ignore_wrt_candidates",))
    translated = {"type": section.type, **section.copy(keys)}
    section.finish()
    return translated


def translate_sampler(section: Section) -> tuple[dict[str, Any], bool]:
    """(the sampler, whether the objects themselves are among what it draws from)."""
    section.choose(("RandomSampler",))
    truths = section.take("add_gt_as_proposals", True)
    translated = {"type": section.type, **section.copy(("num", "pos_fraction", "neg_pos_ub"))}
    section.finish()
    return translated, truths


def nms_threshold(section: Section) -> Any:
    """The overlap of suppression within a class."""
    nms = section.section("nms")
    nms.choose(("nms",))
    threshold = nms.take("iou_threshold", nms.take("iou_thr", None))
    nms.expect("class_agnostic", False)
    nms.copy(("split_thr",))
    nms.finish()
    return threshold


def translate_selection(section: Section) -> dict[str, Any]:
    """What a head keeps of its predictions."""
    section.expect("min_bbox_size", 0)
    names = {"score_thr": "score_threshold", "nms_pre": "nms_pre", "max_per_img": "max_per_image"}
    translated = {ours: section.take(theirs) for theirs, ours in names.items() if theirs in section.values}
    translated["nms"] = {"type": "ClasswiseNMS", "iou_threshold": nms_threshold(section)}
    section.copy(("mask_thr_binary",))  # masks are cut at 0.5
    section.finish()
    return translated


def finish_training(training: Section) -> None:
    """Settings of training that ask for nothing."""
    training.expect("allowed_border", -1)
    training.expect("pos_weight", -1)
    training.copy(("debug", "sampler"))  # dense heads learn from every prior
    training.finish()
