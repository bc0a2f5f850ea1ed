"""What dense heads share: predictions that go on from inside the towers, and stages that keep those maps."""

import itertools

import numpy as np
import pytest

from jld.models import SingleStageDetector
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models import (
    test_atss_head,
    test_fcos_head,
    test_gflv2_head,
    test_retina_head,
    test_rotated_head,
)
from tests.models.head_scene import BOXES, HEAD, PADS, SIZES

DEPTH = 3


def gfl_head(**changes):
    section = {
        "type": "GFLHead",
        "reg_max": 7,
        "num_norm_groups": 2,
        "priors": {"type": "AnchorGenerator", "strides": [8, 16], "octave_base_scale": 2},
        "assigner": {"type": "ATSSAssigner", "topk": 4},
        "loss_cls": {"type": "QualityFocalLoss"},
        "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
    }
    return build(HEAD | section | changes)


def plain(module, **changes):
    return lambda **more: module.make_head(**changes, **more)


HEADS = {
    "gfl": gfl_head,
    "gflv2": test_gflv2_head.make_head,
    "atss": plain(test_atss_head, **test_atss_head.FORMS["plain"]),
    "fcos": test_fcos_head.make_head,
    "retina": test_retina_head.make_head,
    "rotated": plain(test_rotated_head, reg_max=4),
}


def maps_of(seed=0):
    rng = np.random.default_rng(seed)
    return [jt.array(rng.standard_normal((3, 4, *size)).astype(np.float32)) for size in SIZES]


@pytest.mark.parametrize("name", HEADS)
def test_predictions_go_on_from_every_depth(name):
    head, features = HEADS[name](stacked_convs=DEPTH), maps_of()
    whole = {key: var.numpy() for key, var in head(features).items()}
    assert set(whole) == set(head.prediction_shapes())
    seen = []
    for depth in range(DEPTH + 1):
        hidden = head.tower(features, depth)
        seen.append(hidden[0][0].numpy())
        for key, var in head.resume(hidden, depth).items():
            np.testing.assert_array_equal(var.numpy(), whole[key], err_msg=f"{key} after {depth}")
    np.testing.assert_array_equal(seen[0], features[0].numpy())
    assert all(np.abs(a - b).max() > 0 for a, b in itertools.pairwise(seen))
    np.testing.assert_array_equal(head.tower(features, DEPTH)[1][1].numpy(), hidden[1][1].numpy())


def test_towers_of_classes_and_boxes_are_told_apart():
    """Changed maps of one tower change the predictions of that tower only."""
    head, features = gfl_head(stacked_convs=DEPTH), maps_of()
    whole, hidden = head(features), head.tower(features, 2)
    changed = head.resume([(cls + 1.0, reg) for cls, reg in hidden], 2)
    np.testing.assert_array_equal(changed["box_logits"].numpy(), whole["box_logits"].numpy())
    assert np.abs(changed["cls_logits"].numpy() - whole["cls_logits"].numpy()).max() > 0


def test_gradients_flow_through_both_parts():
    head, features = gfl_head(stacked_convs=DEPTH), maps_of()
    hidden = head.tower(features, 1)
    total = sum((var * var).sum() for var in head.resume(hidden, 1).values())
    inputs = [features[0], hidden[1][0], head.cls_convs[0].conv.weight, head.reg_convs[DEPTH - 1].conv.weight]
    for gradient in jt.grad(total, inputs):
        assert np.isfinite(gradient.numpy()).all() and np.abs(gradient.numpy()).max() > 0


class Identity(jt.Module):
    """Backbone and neck that hand their input on."""

    out_channels = 4

    def execute(self, x):
        return x


def test_a_stage_keeps_the_maps_it_is_asked_for_and_no_others():
    head, features = gfl_head(stacked_convs=DEPTH), maps_of()
    detector, other = SingleStageDetector(Identity(), Identity(), head), gfl_head()
    before = detector(features)
    assert not before.stage().hidden
    for depth in (2, 0, 2):
        detector.keep_hidden("dense", depth)
    after = detector.predict(features, make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))
    assert sorted(after.stage().hidden) == [0, 2] and other.hidden_depths == frozenset()
    for depth, kept in after.stage().hidden.items():
        for pair, expected in zip(kept, head.tower(features, depth), strict=True):
            for found, wanted in zip(pair, expected, strict=True):
                np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    for key, var in after.stage().predictions.items():
        np.testing.assert_array_equal(var.numpy(), before.stage().predictions[key].numpy())
    weight = head.cls_convs[0].conv.weight
    assert np.abs(jt.grad(after.stage().hidden[2][0][0].sum(), weight).numpy()).max() > 0


@pytest.mark.parametrize(("stage", "depth"), [("rpn", 1), ("dense", 2), ("dense", -1)])
def test_maps_that_there_are_not_cannot_be_kept(stage, depth):
    detector = SingleStageDetector(Identity(), Identity(), gfl_head())
    with pytest.raises(ValueError, match="'dense', its depth 1"):
        detector.keep_hidden(stage, depth)


def test_no_stage_reads_rois():
    detector = SingleStageDetector(Identity(), Identity(), gfl_head())
    with pytest.raises(ValueError, match="RoIs"):
        detector.predict(maps_of(), rois=detector.bbox_head.priors.priors(SIZES))


@pytest.mark.parametrize("name", HEADS)
def test_the_interface_says_what_the_head_predicts(name):
    head = HEADS[name]()
    said, predictions = head.interface, head(maps_of())
    for key, shape in said.shapes.items():
        assert tuple(predictions[key].shape[2:]) == shape
    assert said.num_classes == 3 and said.tower == (1, 4) and said.boxes is head.boxes
    assert all(said.shapes[key][-1] - said.num_classes in (0, 1) for key in said.class_keys)
    assert said.places["strides"] == (8, 16) and said.head == type(head).__name__
    assert said.center_offset == (0.5 if name == "fcos" else 0.0)
