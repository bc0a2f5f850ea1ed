"""mmDetection's detectors as jld's model section: one function per part, shared by the heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.config.foreign import Section
from jld.config.jdet.model import translate_neck
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
GFLV2 = "GFocalHead"  # of the repositories of GFLv2 and LD
_LOW_QUALITY = ("match_low_quality", "gt_max_assign_all", "ignore_iof_thr")
ASSIGNERS = {
    "ATSSAssigner": ("topk", "ignore_iof_thr"),
    "MaxIoUAssigner": ("pos_iou_thr", "neg_iou_thr", "min_pos_iou", *_LOW_QUALITY),
}
_SIZES = ("num_classes", "in_channels", "feat_channels", "stacked_convs")
_GROUP_NORM = {"type": "GN", "num_groups": 32, "requires_grad": True}
_ZEROS, _ONES = (0.0,) * 4, (1.0,) * 4


def translate_model(model: Section) -> dict[str, Any]:
    """The `model` section in jld's words.

    Raises:
        ConfigError: a part, key or value without counterpart.
    """
    backbone = _backbone(model.section("backbone"), model.take("pretrained", None))
    neck = model.section("neck")
    neck.copy(("init_cfg", "act_cfg", "conv_cfg"))
    translated = {"type": model.type, "backbone": backbone, "neck": translate_neck(neck)}
    training, testing = (
        Section(model.take(key, None) or {}, f"model.{key}", model.origin)
        for key in ("train_cfg", "test_cfg")
    )
    translated |= DETECTORS[model.type](model, training, testing)
    model.copy(("data_preprocessor", "init_cfg"))  # the datasets read the first
    model.finish()
    return translated


def _backbone(section: Section, pretrained: Any) -> dict[str, Any]:
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


def _loss(section: Section, use_mask: bool = False) -> dict[str, Any]:
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


def _priors(section: Section) -> dict[str, Any]:
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


def _coder(section: Section) -> dict[str, Any]:
    section.choose(("DeltaXYWHBBoxCoder",))
    section.expect("add_ctr_clamp", False)
    means, stds = section.take("target_means", _ZEROS), section.take("target_stds", _ONES)
    translated = {"type": "DeltaBoxCoder", "means": list(means), "stds": list(stds)}
    translated |= section.copy(("clip_border",))
    section.finish()
    return translated


def _assigner(section: Section) -> dict[str, Any]:
    keys = section.choose(ASSIGNERS)
    section.expect("iou_calculator", {"type": "BboxOverlaps2D"})
    section.copy(("gpu_assign_thr",))
    # It concerns ignored boxes alone, which only a threshold from 0 on asks for.
    section.copy(("ignore_wrt_candidates",))
    translated = {"type": section.type, **section.copy(keys)}
    section.finish()
    return translated


def _sampler(section: Section) -> tuple[dict[str, Any], bool]:
    """(the sampler, whether the objects themselves are among what it draws from)."""
    section.choose(("RandomSampler",))
    truths = section.take("add_gt_as_proposals", True)
    translated = {"type": section.type, **section.copy(("num", "pos_fraction", "neg_pos_ub"))}
    section.finish()
    return translated, truths


def _nms(section: Section) -> Any:
    nms = section.section("nms")
    nms.choose(("nms",))
    threshold = nms.take("iou_threshold", nms.take("iou_thr", None))
    nms.expect("class_agnostic", False)
    nms.copy(("split_thr",))
    nms.finish()
    return threshold


def _selection(section: Section) -> dict[str, Any]:
    """What a head keeps of its predictions."""
    section.expect("min_bbox_size", 0)
    names = {"score_thr": "score_threshold", "nms_pre": "nms_pre", "max_per_img": "max_per_image"}
    translated = {ours: section.take(theirs) for theirs, ours in names.items() if theirs in section.values}
    translated["nms"] = {"type": "ClasswiseNMS", "iou_threshold": _nms(section)}
    section.copy(("mask_thr_binary",))  # masks are cut at 0.5
    section.finish()
    return translated


def _unused(training: Section) -> None:
    """Settings of training that ask for nothing."""
    training.expect("allowed_border", -1)
    training.expect("pos_weight", -1)
    training.copy(("debug", "sampler"))  # dense heads learn from every prior
    training.finish()


def _head(
    model: Section, testing: Section, norm: Any, losses: tuple[str, ...]
) -> tuple[Section, dict[str, Any]]:
    """(the head's section, what all dense heads have in common)."""
    head = model.section("bbox_head")
    head.choose((f"{model.type.removesuffix('Net')}Head", *([GFLV2] if model.type == "GFL" else [])))
    head.expect("norm_cfg", norm)
    for key, value in (("conv_cfg", None), ("dcn_on_last_conv", False), ("pred_kernel_size", 3)):
        head.expect(key, value)
    head.copy(("init_cfg",))
    common = {"type": head.type, **head.copy(_SIZES), **_selection(testing)}
    return head, common | {key: _loss(head.section(key)) for key in losses}


def _anchored(head: Section, training: Section) -> dict[str, Any]:
    name = "prior_generator" if "prior_generator" in head.values else "anchor_generator"
    translated = {"priors": _priors(head.section(name)), "assigner": _assigner(training.section("assigner"))}
    _unused(training)
    return translated


def _gfl(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    head, translated = _head(model, testing, _GROUP_NORM, ("loss_cls", "loss_dfl", "loss_bbox"))
    head.expect("bbox_coder", {"type": "DistancePointBBoxCoder"})
    translated |= {"reg_max": head.take("reg_max", 16), **_anchored(head, training)}
    if head.type == GFLV2:
        own = {"type": "GFLv2Head", **head.copy(("reg_topk", "reg_channels", "add_mean"))}
        translated |= {**own, "background_channel": True}
    head.finish()
    return {"bbox_head": translated} | ({"type": "GFLv2"} if head.type == GFLV2 else {})


def _atss(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    head, translated = _head(model, testing, _GROUP_NORM, ("loss_cls", "loss_bbox", "loss_centerness"))
    head.expect("reg_decoded_bbox", True)
    translated |= {"box_coder": _coder(head.section("bbox_coder")), **_anchored(head, training)}
    head.finish()
    return {"bbox_head": translated}


def _retina(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    head, translated = _head(model, testing, None, ("loss_cls", "loss_bbox"))
    coder = head.section("bbox_coder", {"type": "DeltaXYWHBBoxCoder"})
    translated |= {
        "box_coder": _coder(coder),
        **_anchored(head, training),
        **head.copy(("reg_decoded_bbox",)),
    }
    head.finish()
    return {"bbox_head": translated}


def _fcos(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    head, translated = _head(model, testing, _GROUP_NORM, ("loss_cls", "loss_bbox", "loss_centerness"))
    radius = head.take("center_sample_radius", 1.5)
    assigner: dict[str, Any] = {"type": "FCOSAssigner", **head.copy(("regress_ranges",))}
    if head.take("center_sampling", False):
        assigner["center_radius"] = radius
    translated |= {
        "priors": {"type": "AnchorGenerator", "strides": head.take("strides"), "center_offset": 0.5},
        "assigner": assigner,
        **head.copy(("norm_on_bbox", "centerness_on_reg")),
    }
    # "auto" is: where there is no normalisation.
    if head.take("conv_bias", "auto") is True:
        translated["conv_bias"] = True
    head.finish()
    return {"bbox_head": translated}


def _two_stage(model: Section, training: Section, testing: Section) -> dict[str, Any]:
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
    sampler, _ = _sampler(training.section("sampler"))
    training.taken.add("sampler")
    translated = {
        "type": "RPNHead",
        **head.copy(("in_channels", "feat_channels")),
        "priors": _priors(head.section(name)),
        "assigner": _assigner(training.section("assigner")),
        "sampler": sampler,
        "box_coder": _coder(head.section("bbox_coder")),
        "loss_cls": _loss(head.section("loss_cls")),
        "loss_bbox": _loss(head.section("loss_bbox")),
    }
    head.copy(("init_cfg",))
    head.finish()
    _unused(training)
    found: dict[str, Any] = {}
    for side, section in (("train", proposals), ("test", testing)):
        section.expect("nms_across_levels", False)
        most = section.take("max_num", section.take("nms_post", None))  # of 2.0 to 2.3
        found |= {
            f"{side}_nms_pre": section.take("nms_pre"),
            f"{side}_max_proposals": section.take("max_per_img", most),
        }
        threshold = _nms(section) if "nms" in section.values else section.take("nms_thr")
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
    sampler, truths = _sampler(training.section("sampler"))
    translated = {
        "type": "RoIHead",
        **_extractor(head.section("bbox_roi_extractor"), size),
        "bbox_head": {
            "type": "BoxHead",
            **box.copy(("num_classes", "in_channels", "fc_out_channels")),
            "roi_feat_size": size,
            "class_agnostic": box.take("reg_class_agnostic", False),
            "box_coder": _coder(box.section("bbox_coder")),
            "loss_cls": _loss(box.section("loss_cls")),
            "loss_bbox": _loss(box.section("loss_bbox")),
            **_selection(testing),
        },
        "assigner": _assigner(training.section("assigner")),
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
    _unused(training)
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
        "loss_mask": _loss(head.section("loss_mask"), use_mask=True),
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


Translator = Callable[[Section, Section, Section], dict[str, Any]]
DETECTORS: dict[str, Translator] = {
    "GFL": _gfl,
    "ATSS": _atss,
    "FCOS": _fcos,
    "RetinaNet": _retina,
    "FasterRCNN": _two_stage,
    "MaskRCNN": _two_stage,
}
