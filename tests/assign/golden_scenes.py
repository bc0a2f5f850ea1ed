"""Scenes stored in golden files: grids, boxes and padded shapes, all read from the file."""

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.golden_cases import case, fill


def _assigner_sets():
    try:
        _, arrays = case("h_assigners")
    except pytest.skip.Exception:
        return [pytest.param("", marks=pytest.mark.skip(reason="no golden case h_assigners"))]
    return sorted(key.removeprefix("in/gt_bboxes/") for key in arrays if key.startswith("in/gt_bboxes/"))


ASSIGNER_SETS = _assigner_sets()
SCALE = 8  # anchor side / stride of the single-anchor generator


def grid_of(arrays):
    """(single-anchor generator, feature sizes, (height, width) they cover) behind `out/anchors`."""
    sizes, strides, start = [], [], 0
    for count in arrays["in/num_level_anchors"].tolist():
        level = arrays["out/anchors"][start : start + count]
        start += count
        centers = (level[:, :2] + level[:, 2:]) / 2
        sizes.append((len(np.unique(centers[:, 1])), len(np.unique(centers[:, 0]))))
        strides.append(float(level[0, 2] - level[0, 0]) / SCALE)
    pad_shape = (sizes[0][0] * strides[0], sizes[0][1] * strides[0])
    return AnchorGenerator(strides, octave_base_scale=SCALE), sizes, pad_shape


def head_scene(meta, arrays):
    """(priors, targets, valid mask, number of classes) of a head case."""
    config = dict(meta["head"]["anchor_generator"])
    assert config.pop("type") == "AnchorGenerator"
    generator = AnchorGenerator(**config)
    images = sorted(
        (key for key in arrays if key.startswith("in/pad_shape/")), key=lambda k: int(k.rsplit("/", 1)[1])
    )
    pads = np.stack([arrays[key][:2] for key in images])
    height, width = pads.max(0)
    sizes = [(int(np.ceil(height / s)), int(np.ceil(width / s))) for s in config["strides"]]
    priors = generator.priors(sizes)
    np.testing.assert_allclose(priors.boxes.numpy()[0], arrays["out/tgt/anchors"], atol=1e-4)
    numbers = [key.rsplit("/", 1)[1] for key in images]
    ignore = [arrays.get(f"in/gt_bboxes_ignore/{i}", np.zeros((0, 4))) for i in numbers]
    targets = make_targets(
        [arrays[f"in/gt_bboxes/{i}"] for i in numbers],
        pads,
        [arrays[f"in/gt_labels/{i}"] for i in numbers],
        ignore,
    )
    return priors, targets, priors.valid_mask(targets.pad_shapes), meta["head"]["num_classes"]


def prediction_maps(meta, prefix):
    """`cls_logits` and `box_logits` of a head case, all levels concatenated; `prefix` "" or "teacher_"."""
    levels = len(meta["head"]["anchor_generator"]["strides"])
    bins = meta["head"]["reg_max"] + 1
    columns = {}
    for name in ("cls_score", "bbox_pred"):
        maps = [fill.generate(meta["generated"][f"{prefix}{name}/{level}"]) for level in range(levels)]
        columns[name] = np.concatenate(
            [m.transpose(0, 2, 3, 1).reshape(len(m), -1, m.shape[1]) for m in maps], 1
        )
    boxes = columns["bbox_pred"].reshape(*columns["bbox_pred"].shape[:2], 4, bins)
    return {"cls_logits": jt.array(columns["cls_score"]), "box_logits": jt.array(boxes)}
