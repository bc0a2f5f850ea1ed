"""The worked examples of rotated LD: divergences, decoding of a ramp, and one level of the released head."""

import numpy as np
import pytest

from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill.context import StepContext
from jld.losses import GDLoss
from jld.losses.kl import kl_divergence
from jld.models import Targets
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.models.golden_rotated import stage_of_maps
from tests.stages import step_of, trace_of

PER_CELL, SIDE = 9, 2


def ramp(shape):
    """0, 1, 2, ... in C order."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def as_map(values):
    return jt.array(np.float32(values))


@pytest.fixture(scope="module")
def head():
    """Nine equal anchors of 32 px in each of four cells."""
    return build(
        {
            "type": "RotatedRetinaHead",
            "num_classes": 15,
            "in_channels": 8,
            "feat_channels": 8,
            "stacked_convs": 1,
            "reg_max": 8,
            "delta_range": [-2.0, 2.0],
            "angle_range": [-5.0, 2.0],
            "reg_decoded_bbox": True,
            "priors": {
                "type": "RotatedAnchorGenerator",
                "strides": [8],
                "octave_base_scale": 4,
                "scales_per_octave": 1,
                "ratios": [1.0] * PER_CELL,
            },
            "assigner": {"type": "MaxIoUAssigner", "overlaps": {"type": "RotatedOverlap", "upright": True}},
            "box_coder": {"type": "DeltaXYWHAOBBoxCoder", "angle_version": "oc"},
            "loss_cls": {"type": "FocalLoss"},
            "loss_bbox": {"type": "GDLoss", "loss_type": "gwd", "fun": "log1p", "loss_weight": 5.0},
            "nms": {"type": "RotatedClasswiseNMS", "iou_threshold": 0.1},
        }
    )


@pytest.fixture(scope="module")
def traces(head):
    """Of student and teacher, whose maps are sines of ramps."""
    cls, reg = (1, PER_CELL * 15, SIDE, SIDE), (1, PER_CELL * 5 * 9, SIDE, SIDE)
    student = {"cls_score": np.sin(0.37 * ramp(cls)), "bbox_pred": np.sin(0.13 * ramp(reg) + 0.5)}
    teacher = {"cls_score": 2 * np.sin(0.21 * ramp(cls) + 1), "bbox_pred": 2 * np.sin(0.29 * ramp(reg) + 2)}
    return [
        trace_of(stage_of_maps(head, {key: [as_map(values)] for key, values in maps.items()}))
        for maps in (student, teacher)
    ]


def rows(values):
    """[1, 36] with these values at these rows."""
    made = np.zeros((1, PER_CELL * SIDE**2), np.float32)
    for row, value in values.items():
        made[0, row] = value
    return jt.array(made)


def test_divergences_of_nine_bins():
    steps = np.arange(9.0)
    student = as_map([steps / 2, np.cos(steps)])
    teacher = as_map([steps[::-1] / 2, np.sin(steps)])
    got = kl_divergence(student, teacher, 5.0).numpy()
    np.testing.assert_allclose(got, [0.365404, 0.051829], atol=1e-6)
    np.testing.assert_allclose(got.sum() / 2, 0.208616, atol=1e-6)


def test_a_ramp_of_logits_decodes(head):
    logits = as_map(np.tile(np.arange(9) / 2, (1, 1, 5, 1)))
    deltas = head.boxes.numbers(logits).numpy()[0]
    np.testing.assert_allclose(deltas, [[1.279805] * 4 + [0.739659]], atol=1e-6)
    coder, anchor = DeltaXYWHAOBBoxCoder("oc"), np.array([[100.0, 100, 32, 64, 0]])
    expected = [140.9538, 181.9075, 115.0700, 230.1401, 0.7397]
    np.testing.assert_allclose(coder.decode(anchor, deltas), [expected], atol=1e-4)
    np.testing.assert_allclose(coder.decode(anchor, deltas, (128, 128))[0, :2], [127, 127])


def test_distillation_terms_of_one_level(traces):
    student, teacher = traces
    pads = np.full((1, 2), 16, np.float32)
    targets = Targets.from_batch(
        {
            "boxes": np.zeros((1, 8, 5), np.float32), "labels": np.zeros((1, 8), np.int32),
            "box_mask": np.zeros((1, 8), np.float32), "boxes_ignore": np.zeros((1, 8, 5), np.float32),
            "ignore_mask": np.zeros((1, 8), np.float32), "pad_shapes": pads, "img_shapes": pads,
        }
    )  # fmt: skip
    region = rows({5: 0.7, 17: 0.3, 20: 0.5})
    context = StepContext(step_of(student, targets), teacher, {"given": lambda _: region})
    settings = {"region": "given", "weighting": "iou", "reduction": "per_level_mean", "temperature": 5}
    for section, expected in (
        ({"type": "LocalizationKD", "sides": "sum", "weight": 10.0}, 3.336519),
        ({"type": "ClassificationKD", "weight": 20.0}, 0.818563),
    ):
        term = build({**section, **settings})
        np.testing.assert_allclose((term.weight * term(context)).item(), expected, rtol=2e-5)


def test_box_loss_of_one_level(head, traces):
    decoded = traces[0].stage().boxes()
    np.testing.assert_allclose(decoded.numpy()[0, 5], [24.6900, 6.8264, 13.5357, 29.9231, -0.0759], atol=1e-4)
    target = jt.array(np.float32([[[6, 3, 40, 20, 0.6]]])).broadcast(decoded.shape)
    loss = GDLoss("gwd", fun="log1p", loss_weight=5.0)(decoded, target, rows({5: 1.0}), avg_factor=2.0)
    np.testing.assert_allclose(loss.item(), 1.646463, rtol=2e-5)
