"""mmDetection's detectors as jld's model section: dense heads here, two stages beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.config.foreign import Section
from jld.config.jdet.model import translate_neck
from jld.config.mmdet.parts import (
    finish_training,
    translate_assigner,
    translate_backbone,
    translate_coder,
    translate_loss,
    translate_priors,
    translate_selection,
)
from jld.config.mmdet.two_stage import translate_two_stage

GFLV2 = "GFocalHead"  # of the repositories of GFLv2 and LD
_SIZES = ("num_classes", "in_channels", "feat_channels", "stacked_convs")
_GROUP_NORM = {"type": "GN", "num_groups": 32, "requires_grad": True}


def translate_model(model: Section) -> dict[str, Any]:
    """The `model` section in jld's words.

    Raises:
        ConfigError: a part, key or value without counterpart.
    """
    backbone = translate_backbone(model.section("backbone"), model.take("pretrained", None))
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
    common = {"type": head.type, **head.copy(_SIZES), **translate_selection(testing)}
    return head, common | {key: translate_loss(head.section(key)) for key in losses}


def _anchored(head: Section, training: Section) -> dict[str, Any]:
    name = "prior_generator" if "prior_generator" in head.values else "anchor_generator"
    translated = {
        "priors": translate_priors(head.section(name)),
        "assigner": translate_assigner(training.section("assigner")),
    }
    finish_training(training)
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
    translated |= {"box_coder": translate_coder(head.section("bbox_coder")), **_anchored(head, training)}
    head.finish()
    return {"bbox_head": translated}


def _retina(model: Section, training: Section, testing: Section) -> dict[str, Any]:
    head, translated = _head(model, testing, None, ("loss_cls", "loss_bbox"))
    coder = head.section("bbox_coder", {"type": "DeltaXYWHBBoxCoder"})
    translated |= {
        "box_coder": translate_coder(coder),
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


Translator = Callable[[Section, Section, Section], dict[str, Any]]
DETECTORS: dict[str, Translator] = {
    "GFL": _gfl,
    "ATSS": _atss,
    "FCOS": _fcos,
    "RetinaNet": _retina,
    "FasterRCNN": translate_two_stage,
    "MaskRCNN": translate_two_stage,
}
