"""mmDetection's Faster R-CNN and Mask R-CNN as jld's model section."""

from __future__ import annotations

from typing import Any

from jld.config.foreign import Section
from jld.config.mmdet.parts import (
    finish_training,
    nms_threshold,
    translate_assigner,
    translate_coder,
    translate_loss,
    translate_priors,
    translate_sampler,
    translate_selection,
)
from jld.errors import ConfigError


def translate_two_stage(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    """Proposal network and RoI heads, with masks for Mask R-CNN."""
    rpn = _rpn(
        model.section("rpn_head"),
        training.section("rpn"),
        training.section("rpn_proposal"),
        testing.section("rpn"),
    )
    roi = _roi(
        model.section("roi_head"), training.section("rcnn"), testing.section("rcnn"), model.type == "MaskRCNN"
    )
    return {"rpn_head": rpn, "roi_head": roi}


def _rpn(head: Section, training: Section, proposals: Section, testing: Section) -> dict[str, Any]:
    head.choose(("RPNHead",))
    name = "prior_generator" if "prior_generator" in head.values else "anchor_generator"
    sampler, _ = translate_sampler(training.section("sampler"))
    training.taken.add("sampler")
    translated = {
        "type": "RPNHead",
        **head.copy(("in_channels", "feat_channels")),
        "priors": translate_priors(head.section(name)),
        "assigner": translate_assigner(training.section("assigner")),
        "sampler": sampler,
        "box_coder": translate_coder(head.section("bbox_coder")),
        "loss_cls": translate_loss(head.section("loss_cls")),
        "loss_bbox": translate_loss(head.section("loss_bbox")),
    }
    head.copy(("init_cfg",))
    head.finish()
    finish_training(training)
    found: dict[str, Any] = {}
    for side, section in (("train", proposals), ("test", testing)):
        section.expect("nms_across_levels", False)
        most = section.take("max_num", section.take("nms_post", None))  # of 2.0 to 2.3
        found |= {
            f"{side}_nms_pre": section.take("nms_pre"),
            f"{side}_max_proposals": section.take("max_per_img", most),
        }
        threshold = nms_threshold(section) if "nms" in section.values else section.take("nms_thr")
        if translated.setdefault("nms_threshold", threshold) != threshold:
            raise ConfigError(f"{section.path}.nms: another threshold than in training is not covered.")
        smallest = section.take("min_bbox_size", 0)
        if translated.setdefault("min_size_px", smallest) != smallest:
            raise ConfigError(f"{section.path}.min_bbox_size: another size than in training is not covered.")
        section.copy(("nms_post",))
        section.finish()
    return {**translated, **found}


def _roi(head: Section, training: Section, testing: Section, has_masks: bool) -> dict[str, Any]:
    head.choose(("StandardRoIHead",))
    box = head.section("bbox_head")
    box.choose(("Shared2FCBBoxHead",))
    size = box.take("roi_feat_size", 7)
    sampler, truths = translate_sampler(training.section("sampler"))
    translated = {
        "type": "RoIHead",
        **_extractor(head.section("bbox_roi_extractor"), size),
        "bbox_head": {
            "type": "BoxHead",
            **box.copy(("num_classes", "in_channels", "fc_out_channels")),
            "roi_feat_size": size,
            "class_agnostic": box.take("reg_class_agnostic", False),
            "box_coder": translate_coder(box.section("bbox_coder")),
            "loss_cls": translate_loss(box.section("loss_cls")),
            "loss_bbox": translate_loss(box.section("loss_bbox")),
            **translate_selection(testing),
        },
        "assigner": translate_assigner(training.section("assigner")),
        "sampler": sampler,
        "add_gt_as_proposals": truths,
    }
    box.copy(("init_cfg",))
    box.finish()
    if has_masks:
        translated["mask_head"] = _mask(
            head.section("mask_head"), head.section("mask_roi_extractor"), translated
        )
        training.expect("mask_size", 28)
    head.finish()
    training.taken.add("sampler")
    finish_training(training)
    return translated


def _mask(head: Section, extractor: Section, roi: dict[str, Any]) -> dict[str, Any]:
    head.choose(("FCNMaskHead",))
    size = head.take("roi_feat_size", 14)
    own = _extractor(extractor, size)
    if any(roi.get(key) != value for key, value in own.items()):
        raise ConfigError(f"{extractor.path}: another extractor than that of the boxes is not covered.")
    translated = {
        "type": "MaskHead",
        **head.copy(("num_classes", "in_channels", "conv_out_channels", "num_convs", "class_agnostic")),
        "roi_feat_size": size,
        "loss_mask": translate_loss(head.section("loss_mask"), use_mask=True),
    }
    head.finish()
    return translated


def _extractor(section: Section, size: int) -> dict[str, Any]:
    section.choose(("SingleRoIExtractor",))
    layer = section.section("roi_layer")
    layer.choose(("RoIAlign",))
    layer.expect("output_size", size, (size, size))
    layer.expect("aligned", True)
    ratio = layer.take("sampling_ratio", 0)
    layer.finish()
    section.copy(("out_channels",))
    translated = {
        "strides": list(section.take("featmap_strides")),
        "sampling_ratio": ratio,
        # RoIs of this side go to the third level; mmDetection names that of the first.
        "canonical_px": 4.0 * section.take("finest_scale", 56),
    }
    section.finish()
    return translated
