"""Options of the rotated head on a toy, and its weights from files."""

import numpy as np
import pytest

from jld.errors import CheckpointError, ConfigError
from jld.models import Targets, assign_state
from jld.registry import build
from jld.toolchain import jittor as jt

LOSSES = {
    "l1": {},
    "gwd": {"reg_decoded_bbox": True, "loss_bbox": {"type": "GDLoss", "loss_type": "gwd"}},
    "kld": {
        "reg_decoded_bbox": True,
        "box_normalizer": "positives_per_level",
        "loss_bbox": {"type": "GDLoss_v1", "loss_type": "kld", "fun": "log1p"},
    },
    "kfiou": {"loss_bbox": {"type": "KFLoss"}},
}


def make_head(**changes):
    section = {
        "type": "RotatedRetinaHead",
        "num_classes": 3,
        "in_channels": 4,
        "feat_channels": 4,
        "stacked_convs": 1,
        "priors": {"type": "RotatedAnchorGenerator", "strides": [8, 16]},
        "assigner": {"type": "MaxIoUAssigner", "overlaps": {"type": "RotatedOverlap"}},
        "box_coder": {
            "type": "DeltaXYWHAOBBoxCoder",
            "angle_version": "le135",
            "proj_xy": True,
            "norm_factor": 1,
        },
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "L1Loss"},
        "nms": {"type": "RotatedClasswiseNMS"},
    }
    return build(section | changes)


def make_detector(**changes):
    return build(
        {
            "type": "RotatedRetinaNet",
            "backbone": {"type": "ResNet", "depth": 18, "base_channels": 4},
            "neck": {
                "type": "FPN",
                "in_channels": [4, 8, 16, 32],
                "out_channels": 4,
                "start_level": 1,
                "num_outs": 3,
                "add_extra_convs": "on_input",
            },
            "bbox_head": make_head(**changes),
        }
    )


def test_what_the_box_loss_takes_for_the_same_box_is_told():
    told = {name: make_head(**changes).interface.turned_is_same for name, changes in LOSSES.items()}
    assert told == {"l1": False, "gwd": True, "kld": True, "kfiou": True}


@pytest.mark.parametrize("reg_max", [None, 4])
@pytest.mark.parametrize("kernel_size", [3, 1])
def test_layers_and_predictions_have_the_published_shapes(reg_max, kernel_size):
    head = make_head(reg_max=reg_max, kernel_size=kernel_size)
    bins = 1 if reg_max is None else reg_max + 1
    assert list(head.retina_cls.weight.shape) == [9 * 3, 4, kernel_size, kernel_size]
    assert list(head.retina_reg.weight.shape) == [9 * 5 * bins, 4, kernel_size, kernel_size]
    assert not any("support" in name or "integral" in name for name in head.state_dict())
    box_key = "box_deltas" if reg_max is None else "box_logits"
    assert list(head.prediction_shapes()) == ["cls_logits", box_key]
    predictions = head([jt.zeros((2, 4, 3, 5)), jt.zeros((2, 4, 2, 3))])
    for key, shape in head.prediction_shapes().items():
        assert list(predictions[key].shape) == [2, 9 * (15 + 6), *shape]


def test_fresh_distributions_predict_the_middle_of_their_ranges():
    head = make_head(reg_max=8, angle_range=(-0.25, 0.75))
    deltas = head.boxes.numbers(jt.zeros((1, 1, 5, 9))).numpy()
    np.testing.assert_allclose(deltas, [[[0, 0, 0, 0, 0.25]]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 2}, "kernel_size"),
        ({"box_normalizer": "level"}, "box_normalizer"),
        ({"reg_max": 8, "angle_range": (2, -5)}, "-5"),
        (
            {
                "box_normalizer": "positives_per_level",
                "loss_bbox": {"type": "GDLoss_v1", "loss_type": "kld", "average": "positives"},
            },
            "average",
        ),
    ],
)
def test_values_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_head(**changes)


def targets_of(boxes):
    padded, mask = np.zeros((1, 8, 5), np.float32), np.zeros((1, 8), np.float32)
    padded[0, : len(boxes)], mask[0, : len(boxes)] = boxes, 1
    return Targets.from_batch(
        {
            "boxes": padded,
            "box_mask": mask,
            "labels": np.zeros((1, 8), np.int32),
            "boxes_ignore": padded[:, :0],
            "ignore_mask": mask[:, :0],
            "pad_shapes": np.float32([[64, 64]]),
            "img_shapes": np.float32([[64, 64]]),
        }
    )


@pytest.mark.parametrize("reg_max", [None, 8])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_box_loss_trains_both_kinds_of_heads(loss, reg_max):
    jt.set_global_seed(0)
    head = make_head(reg_max=reg_max, **LOSSES[loss])
    maps = [jt.randn((1, 4, 8, 8)), jt.randn((1, 4, 4, 4))]
    losses = head.losses(head.stage(maps, targets_of([[30, 30, 40, 16, 0.3]])))
    assert losses["loss_bbox"].item() > 0
    gradient = jt.grad(losses["loss_bbox"], head.retina_reg.weight).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_weights_for_other_bin_values_are_refused():
    detector = make_detector(reg_max=8)
    state = {name: np.array(var.numpy()) for name, var in detector.state_dict().items()}
    ours = {
        "bbox_head.integral.project": np.linspace(-2, 2, 9),
        "bbox_head.integral_angle.project": np.linspace(-5, 2, 9),
    }
    assign_state(detector, state | ours, what="own weights")
    other = {"bbox_head.integral_angle.project": np.linspace(-1, 1, 9)}
    with pytest.raises(CheckpointError, match="integral_angle"):
        assign_state(detector, state | ours | other, what="foreign weights")
