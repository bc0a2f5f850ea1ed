"""JDet's rotated detectors and its distillation head as jld's model and `distill` sections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jld.config.foreign import Section
from jld.errors import ConfigError

ANGLE_VERSION = "le135"
LAYERS = ("layer1", "layer2", "layer3", "layer4")
DISTILLED = "KnowledgeDistillationSingleStageDetector"
DETECTORS = ("RotatedRetinaNet", DISTILLED)
LD_HEAD = "RotatedRetinaLocalizationDistillationHead"
# {head: whether it predicts distributions}
HEADS = {
    "RotatedRetinaHead": False,
    "KFIoURRetinaHead": False,
    "RotatedRetinaDistributionHead": True,
    LD_HEAD: True,
}
LOSSES = {
    "FocalLoss": ("use_sigmoid", "gamma", "alpha", "loss_weight", "reduction"),
    "L1Loss": ("loss_weight", "reduction"),
    "SmoothL1Loss": ("beta", "loss_weight", "reduction"),
    "GDLoss": ("loss_type", "fun", "tau", "alpha", "loss_weight", "reduction"),
    "GDLoss_v1": ("loss_type", "fun", "tau", "loss_weight", "reduction"),
    "KFLoss": ("fun", "loss_weight", "reduction", "beta", "eps"),
}
OVERLAPS = {"BboxOverlaps2D_rotated": False, "FakeBboxOverlaps2D_rotated": True}
ZEROS = (0.0,) * 5
ONES = (1.0,) * 5


def translate_model(model: Section) -> dict[str, Any]:
    """JDet's `model` in jld's words, without the teacher.

    Raises:
        ConfigError: a part, key or value without counterpart.
    """
    if "bbox_head" in model.values:  # says more than a neck does
        model.section("bbox_head").choose(HEADS)
    return {
        "type": "RotatedRetinaNet",
        "backbone": _backbone(model.section("backbone")),
        "neck": translate_neck(model.section("neck")),
        "bbox_head": _head(model.section("bbox_head")),
    }


def _backbone(section: Section) -> dict[str, Any]:
    match = re.fullmatch(r"Resnet(18|34|50|101|152)", str(section.type))
    if match is None:
        raise ConfigError(
            f"{section.path}: JDet's backbone {section.type!r} is not covered; Resnet18, 34, 50, 101 and 152 "
            "are."
        )
    stages = section.take("return_stages", ["layer4"])
    if not set(stages) <= set(LAYERS):
        raise ConfigError(f"{section.path}.return_stages: {stages!r}; known are: {', '.join(LAYERS)}.")
    pretrained, norm_eval = section.take("pretrained", False), section.take("norm_eval", True)
    if pretrained is True:
        pretrained = f"torchvision://resnet{match[1]}"
    translated = {
        "type": "ResNet",
        "depth": int(match[1]),
        "out_indices": [LAYERS.index(stage) for stage in stages],
        "frozen_stages": section.take("frozen_stages", -1),
        "norm_eval": norm_eval,
        # In Jittor a normalisation in evaluation mode does not learn at all, and so in JDet.
        "norm_trainable": not norm_eval,
        "pretrained": pretrained or None,
    }
    section.finish()
    return translated


def translate_neck(section: Section) -> dict[str, Any]:
    """The FPN of JDet or of mmDetection 2, from which JDet has it.

    Raises:
        ConfigError: another neck, or a key or value without counterpart.
    """
    section.choose(("FPN",))
    extra = section.take("add_extra_convs", False)
    on_inputs = section.take("extra_convs_on_inputs", True)
    if extra is True:
        extra = "on_input" if on_inputs else "on_output"
    for key, value in (
        ("end_level", -1),
        ("no_norm_on_lateral", False),
        ("norm_cfg", None),
        ("upsample_div_factor", 1),
    ):
        section.expect(key, value)
    translated = {
        "type": "FPN",
        "add_extra_convs": extra,
        **section.copy(("in_channels", "out_channels", "num_outs", "start_level", "relu_before_extra_convs")),
    }
    section.finish()
    return translated


def _head(section: Section) -> dict[str, Any]:
    has_distributions = section.choose(HEADS)
    strides = section.take("anchor_strides", [8, 16, 32, 64, 128])
    section.expect("anchor_base_sizes", None, strides)
    section.expect("target_means", ZEROS)
    section.expect("target_stds", ONES)
    training = section.section("train_cfg", {})
    loss_cls = _loss(section.section("loss_cls"))
    if loss_cls.pop("use_sigmoid", True) is not True or loss_cls["type"] != "FocalLoss":
        raise ConfigError(f"{section.path}.loss_cls: only FocalLoss with use_sigmoid=True is covered.")
    translated = {
        "type": "RotatedRetinaHead",
        "num_classes": section.take("num_classes") - 1,  # JDet's count holds the background
        **section.copy(("in_channels", "feat_channels", "stacked_convs")),
        "kernel_size": 1,
        "clamp_centers": False,
        "priors": {
            "type": "RotatedAnchorGenerator",
            "strides": strides,
            "octave_base_scale": section.take("octave_base_scale", 4),
            "scales_per_octave": section.take("scales_per_octave", 3),
            "ratios": section.take("anchor_ratios", [1.0, 0.5, 2.0]),
            "center_offset": 0.5,
            "center_shift_px": -0.5,
        },
        "loss_cls": loss_cls,
        "loss_bbox": _loss(section.section("loss_bbox")),
        **_training(training),
        **_selection(section.section("test_cfg", {})),
    }
    if has_distributions:
        translated |= {
            "reg_max": section.take("reg_max", 8),
            "delta_range": [-2.0, 2.0],
            "angle_range": [-5.0, 2.0],
        }
    if section.type == LD_HEAD:
        section.copy(("loss_ld", "loss_kd", "loss_im", "imitation_method"))  # `_distill` reads them
    section.finish()
    return translated


def _loss(section: Section) -> dict[str, Any]:
    names = section.choose(LOSSES)
    section.expect("reduction", "mean")
    translated = {"type": section.type, **section.copy([name for name in names if name != "reduction"])}
    section.finish()
    return translated


def _training(section: Section) -> dict[str, Any]:
    assigner = section.section("assigner")
    assigner.choose(("MaxIoUAssigner",))
    calculator = assigner.section("iou_calculator")
    overlaps = {"type": "RotatedOverlap", "upright": calculator.choose(OVERLAPS)}
    calculator.finish()
    # JDet hands no ignored boxes to its assigner, so these have no effect there.
    assigner.copy(("ignore_iof_thr", "ignore_wrt_candidates", "assigned_labels_filled"))
    keys = ("pos_iou_thr", "neg_iou_thr", "min_pos_iou", "match_low_quality", "gt_max_assign_all")
    translated = {"type": "MaxIoUAssigner", "overlaps": overlaps, **assigner.copy(keys)}
    assigner.finish()
    coder = section.section("bbox_coder", {"type": "DeltaXYWHABBoxCoder"})
    coder.choose(("DeltaXYWHABBoxCoder",))
    coder.expect("target_means", ZEROS)
    coder.expect("target_stds", ONES)
    coder.copy(("clip_border",))  # JDet stores it and never reads it
    coder.finish()
    section.expect("allowed_border", -1)
    section.expect("pos_weight", -1)
    section.copy(("debug",))
    result = {
        "assigner": translated,
        "box_coder": {
            "type": "DeltaXYWHAOBBoxCoder",
            "angle_version": ANGLE_VERSION,
            "edge_swap": False,
            "proj_xy": True,
            "norm_factor": 1,
        },
        "reg_decoded_bbox": section.take("reg_decoded_bbox", False),
    }
    section.finish()
    return result


def _selection(section: Section) -> dict[str, Any]:
    nms = section.section("nms", {"type": "nms_rotated", "iou_thr": 0.1})
    nms.choose(("nms_rotated",))
    section.expect("min_bbox_size", 0)
    translated = {
        "nms_pre": section.take("nms_pre", 2000),
        "score_threshold": section.take("score_thr", 0.05),
        "max_per_image": section.take("max_per_img", 2000),
        "nms": {"type": "RotatedClasswiseNMS", "iou_threshold": nms.take("iou_thr", 0.1)},
    }
    nms.finish()
    section.finish()
    return translated


def translate_distill(model: Section, file: Any) -> dict[str, Any]:
    """The teacher and the loss terms inside JDet's distilling detector as a `distill` section.

    Args:
        model: the section of the detector.
        file: of the config, or None; see `translate_jdet`.
    Raises:
        ConfigError: another head, or a loss without counterpart.
    """
    head = model.values["bbox_head"]
    if head.get("type") != LD_HEAD:
        raise ConfigError(f"model.bbox_head: {DISTILLED} goes with {LD_HEAD}, got {head.get('type')!r}.")
    terms = []
    for key, term in (
        ("loss_ld", {"type": "LocalizationKD", "region": "main", "weighting": "uniform", "sides": "mean"}),
        ("loss_kd", {"type": "ClassificationKD", "region": "all"}),
        ("loss_im", {"type": "FeatureImitation", "region": "all", "weighting": "uniform"}),
    ):
        kind = "IMLoss" if key == "loss_im" else "KnowledgeDistillationKLDivLoss"
        loss = Section(head.get(key, {"type": kind, "loss_weight": 0}), f"model.bbox_head.{key}")
        loss.choose((kind,))
        loss.expect("reduction", "mean")
        weight = loss.take("loss_weight", 1.0)
        temperature = {} if key == "loss_im" else {"temperature": loss.take("T", 10)}
        loss.finish()
        if weight:
            terms.append({**term, "weight": weight, **temperature, "reduction": "per_level_mean"})
    config = _find_teacher(model.take("teacher_config"), file)
    teacher = {"type": "FrozenTeacher", "config": config, "checkpoint": model.take("teacher_ckpt", None)}
    return {"teacher": teacher, "terms": terms}


def _find_teacher(name: str, file: Any) -> str:
    """JDet reads the path from where it is started; a copy of the file may also lie near the config."""
    if Path(name).is_file() or file is None:
        return name
    places = (folder / name for folder in Path(file).resolve().parents)
    return str(next((place for place in places if place.is_file()), name))
