"""Two-stage golden cases: mmDetection's sections in our words, padded proposals, and rows of sampled RoIs.

Sections and keys that are not known here raise, so that a case that is not understood fails.
"""

from __future__ import annotations

import re

import numpy as np

from jld.models import Targets, assign_state
from jld.models.heads.rpn_head import ProposalLimits, Proposals
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import fill
from tests.models.golden_models import assert_sampled, backbone_config, batch_of, take

NUM_IMAGES = 2


def coder(section: dict) -> dict:
    rest = take(section, type="DeltaXYWHBBoxCoder")
    return {
        "type": "DeltaBoxCoder",
        "means": rest.pop("target_means"),
        "stds": rest.pop("target_stds"),
        **rest,
    }


def sampler(section: dict) -> tuple[dict, bool]:
    """(sampler, whether objects are added to the proposals)."""
    rest = dict(section)
    adds = rest.pop("add_gt_as_proposals")
    return rest, adds


def limits(section: dict) -> ProposalLimits:
    rest = dict(section)
    nms = take(rest.pop("nms"), type="nms")
    found = ProposalLimits(
        max(rest.pop("nms_pre"), 0),
        rest.pop("max_per_img"),
        nms.pop("iou_threshold"),
        rest.pop("min_bbox_size"),
    )
    assert not rest and not nms
    return found


def rpn_config(section: dict, train_cfg: dict, test_cfg: dict) -> dict:
    rest = {key: value for key, value in section.items() if key not in ("train_cfg", "test_cfg")}
    anchors = dict(rest.pop("anchor_generator"))
    (scale,) = anchors.pop("scales")
    training = take(train_cfg, pos_weight=-1, debug=False)
    own, box_coder = limits(test_cfg), coder(rest.pop("bbox_coder"))
    return rest | {
        "priors": {**anchors, "octave_base_scale": scale},
        "box_coder": box_coder,
        "sampler": sampler(training.pop("sampler"))[0],
        **training,
        "test_nms_pre": own.nms_pre,
        "test_max_proposals": own.max_count,
        "train_nms_pre": own.nms_pre,
        "train_max_proposals": own.max_count,
        "nms_threshold": own.nms_threshold,
        "min_size_px": own.min_size_px,
    }


def box_head_config(section: dict, test_cfg: dict) -> dict:
    rest = take(section, type="Shared2FCBBoxHead")
    renamed = {
        "class_agnostic": rest.pop("reg_class_agnostic"),
        "box_coder": coder(rest.pop("bbox_coder")),
    }
    return {
        "type": "BoxHead",
        **rest,
        **renamed,
        "nms": test_cfg["nms"],
        "score_threshold": test_cfg["score_thr"],
        "max_per_image": test_cfg["max_per_img"],
    }


def roi_head_config(bbox_head: dict, train_cfg: dict, test_cfg: dict, **more) -> dict:
    training = take(train_cfg, pos_weight=-1, debug=False)
    drawn, adds = sampler(training.pop("sampler"))
    training.pop("mask_size", None)
    own = box_head_config(bbox_head, test_cfg)
    return {
        "type": "RoIHead",
        "bbox_head": own,
        "sampler": drawn,
        "add_gt_as_proposals": adds,
        **training,
        **more,
    }


TEST_CFG = {"nms": {"type": "nms", "iou_threshold": 0.5}, "score_thr": 0.05, "max_per_img": 100}


def proposals_of(arrays: dict, prefix: str = "in/proposals") -> Proposals:
    """The stored proposals of every image, padded to one number."""
    rows = [arrays[f"{prefix}/{image}"] for image in range(NUM_IMAGES)]
    padded = np.zeros((NUM_IMAGES, max(map(len, rows)), 5), np.float32)
    mask = np.zeros(padded.shape[:2], np.float32)
    for image, found in enumerate(rows):
        padded[image, : len(found)], mask[image, : len(found)] = found, 1
    return Proposals(jt.array(padded[..., :4]), jt.array(padded[..., 4]), jt.array(mask))


def whole_batch(meta: dict, arrays: dict) -> dict:
    """The batch of a case, with bitmaps where it has masks."""
    batch = batch_of(arrays, NUM_IMAGES)
    if "in/gt_masks/0" in arrays:
        height, width = batch["pad_shapes"].max(0).astype(int)
        batch["mask_bitmaps"] = np.zeros((*batch["box_mask"].shape, height, width), np.uint8)
        for image in range(NUM_IMAGES):
            bits = unpacked(meta, arrays, f"in/gt_masks/{image}")
            batch["mask_bitmaps"][image, : len(bits), : bits.shape[1], : bits.shape[2]] = bits
    return batch


def unpacked(meta: dict, arrays: dict, key: str) -> np.ndarray:
    """[n, h, w] zeros and ones of a packed array."""
    count, height, width = meta["packed"][key]
    return np.unpackbits(arrays[key], axis=1)[:, : height * width].reshape(count, height, width)


def targets_of(arrays: dict) -> Targets:
    return Targets.from_batch(batch_of(arrays, NUM_IMAGES))


def spread_over(mask: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of all images, one after the other, in the slots [N, S] where the mask is 1; zeros elsewhere."""
    out = np.zeros((*mask.shape, *rows.shape[1:]), rows.dtype)
    out[mask > 0] = rows
    return out


def known_keys(arrays: dict, *patterns: str) -> None:
    """Fails on a key that no pattern matches whole."""
    unknown = [key for key in arrays if not any(re.fullmatch(pattern, key) for pattern in patterns)]
    assert not unknown, unknown


def assert_parameters(meta: dict, arrays: dict, module, loss, prefix: str = "", names: str = "") -> None:
    """Gradients of the parameters against their norms and samples; `module` has the names behind `prefix`."""
    listed = meta[f"grad_names{names}"]
    parameters = {prefix + name: var for name, var in module.named_parameters()}
    gradients = dict(zip(listed, jt.grad(loss, [parameters[name] for name in listed]), strict=True))
    norms = [float(np.linalg.norm(gradients[name].numpy().astype(np.float64))) for name in listed]
    np.testing.assert_allclose(norms, arrays[f"grad_norms{names}"], rtol=2e-3, atol=1e-6)
    for name, gradient in gradients.items():
        if f"grad/{name}/sample" in arrays:
            assert_sampled(meta, arrays, f"grad/{name}", gradient.numpy(), 2e-3)


def pooling_of(section: dict, size: int) -> dict:
    """What the extractor of RoI features says, with crops of this size."""
    rest = take(section, type="SingleRoIExtractor", out_channels=256)
    layer = take(rest.pop("roi_layer"), type="RoIAlign", output_size=size)
    return {"strides": rest.pop("featmap_strides"), **layer, **rest}


def mask_head_config(section: dict) -> dict:
    rest = take(section, type="FCNMaskHead")
    loss = take(rest.pop("loss_mask"), use_mask=True)
    return {"type": "MaskHead", "loss_mask": {**loss, "use_sigmoid": True}, **rest}


def build_whole(meta: dict):
    """The Faster or Mask R-CNN of a whole case, filled with its weights, in training mode."""
    model = dict(meta["model"])
    train, test = model.pop("train_cfg"), model.pop("test_cfg")
    assert take(train, rpn_proposal=test["rpn"]).keys() == {"rpn", "rcnn"}
    roi = take(model.pop("roi_head"), type="StandardRoIHead")
    more = pooling_of(roi.pop("bbox_roi_extractor"), 7)
    if "mask_head" in roi:
        assert pooling_of(roi.pop("mask_roi_extractor"), 14) == more
        more["mask_head"] = mask_head_config(roi.pop("mask_head"))
    found = take(test["rcnn"] | meta["det_cfg"], mask_thr_binary=0.5)
    head = roi_head_config(roi.pop("bbox_head"), train["rcnn"], found, **more)
    assert not roi and model.keys() == {"type", "backbone", "neck", "rpn_head"}
    detector = build(
        {
            "type": model["type"],
            "backbone": backbone_config(model["backbone"]),
            "neck": model["neck"],
            "rpn_head": rpn_config(model["rpn_head"], train["rpn"], test["rpn"]),
            "roi_head": head,
        }
    )
    assign_state(detector, fill.state_dict(meta, "model"), what="golden weights")
    detector.train()
    return detector
