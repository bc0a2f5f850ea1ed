"""Models and batches of golden cases: mmDetection's configs in our words, weights from the fill rule.

Keys that are not known here raise, so that a case that is not understood fails instead of passing by
accident.
"""

from __future__ import annotations

import numpy as np

from jld.models import Targets, assign_state
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, cases, fill, param_cases

IGNORED = {"min_bbox_size"}  # unused by the reference as well


def take(section: dict, **expected):
    """Removes keys that must have the given value; returns what is left."""
    rest = dict(section)
    for key, value in expected.items():
        assert rest.pop(key, value) == value, (key, section)
    return rest


def backbone_config(section: dict) -> dict:
    rest = take(section, num_stages=4, norm_cfg={"type": "BN", "requires_grad": True})
    if rest.get("dcn") is not None:
        rest["dcn"] = take(rest["dcn"], type="DCN", fallback_on_stride=False)
    return rest


def whole_model_cases(*needed: str) -> list[str]:
    """Names of all cases that run a GFL from images, whatever its backbone, and have these arrays."""
    names = []
    for name in cases("h_*"):
        meta, arrays = case(name)
        if meta.get("model", {}).get("type") == "GFL" and all(key in arrays for key in needed):
            names.append(name)
    return names or param_cases("h_gfl_full*")


def head_config(section: dict, train_cfg: dict, test_cfg: dict) -> dict:
    rest = dict(section)
    rest.pop("train_cfg", None), rest.pop("test_cfg", None)
    rest["priors"] = rest.pop("anchor_generator")
    rest["assigner"] = take(train_cfg, allowed_border=-1, pos_weight=-1, debug=False).pop("assigner")
    test = {key: value for key, value in test_cfg.items() if key not in IGNORED}
    rest["score_threshold"] = test.pop("score_thr")
    rest["max_per_image"] = test.pop("max_per_img")
    return {**rest, **test}  # nms_pre and nms keep their names


def build_model(meta: dict, **head_changes):
    """The detector of a case with `model`, filled with its weights, in training mode."""
    model = take(meta["model"], pretrained=None)
    config = {
        "type": model.pop("type"),
        "backbone": backbone_config(model.pop("backbone")),
        "neck": model.pop("neck"),
        "bbox_head": head_config(model.pop("bbox_head"), meta["train_cfg"], meta["test_cfg"]) | head_changes,
    }
    assert not model, model
    detector = build(config)
    state = fill.state_dict(meta, "model")
    assign_state(detector, state, what="golden weights")
    detector.train()
    return detector


def batch_of(arrays: dict, num_images: int, box_width: int = 4) -> dict:
    """The collated batch of a case; scale factors of 1 keep detections in the network's pixels."""

    def padded(key: str, width: tuple[int, ...], dtype) -> tuple[np.ndarray, np.ndarray]:
        items = [arrays.get(f"in/{key}/{i}", np.zeros((0, *width))) for i in range(num_images)]
        slots = max(8, *(len(item) for item in items))
        values, mask = np.zeros((num_images, slots, *width), dtype), np.zeros((num_images, slots), np.float32)
        for row, item in enumerate(items):
            values[row, : len(item)], mask[row, : len(item)] = item, 1
        return values, mask

    boxes, box_mask = padded("gt_bboxes", (box_width,), np.float32)
    ignore, ignore_mask = padded("gt_bboxes_ignore", (box_width,), np.float32)
    stacked = {
        key: np.stack([arrays[f"in/{key}/{i}"] for i in range(num_images)])
        for key in ("img_shape", "pad_shape")
    }
    return {
        "boxes": boxes,
        "box_mask": box_mask,
        "labels": padded("gt_labels", (), np.int32)[0],
        "boxes_ignore": ignore,
        "ignore_mask": ignore_mask,
        "img_shapes": stacked["img_shape"][:, :2].astype(np.float32),
        "pad_shapes": stacked["pad_shape"][:, :2].astype(np.float32),
        "scale_factors": np.ones((num_images, 4), np.float32),
        "img_ids": list(range(num_images)),
    }


def targets_of(arrays: dict, num_images: int) -> Targets:
    return Targets.from_batch(batch_of(arrays, num_images))


def generated(meta: dict, name: str) -> jt.Var:
    return jt.array(fill.generate(meta["generated"][name]))


def assert_sampled(meta: dict, arrays: dict, key: str, values: np.ndarray, rtol: float) -> None:
    """Compares entries and norm of a large tensor; `rtol` is relative to the largest entry."""
    spec = meta["sampled"][key]
    assert list(values.shape) == spec["shape"], (key, values.shape)
    expected = arrays[f"{key}/sample"]
    got = values.ravel()[fill.sample_index(values.size, spec["k"])]
    np.testing.assert_allclose(got, expected, rtol=0, atol=rtol * np.abs(expected).max(), err_msg=key)
    norm = np.linalg.norm(values.astype(np.float64))
    np.testing.assert_allclose(norm, arrays[f"{key}/norm"], rtol=rtol, err_msg=key)
