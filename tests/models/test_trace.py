"""Stages: scores and boxes computed once, classes in another order, values without gradient."""

import numpy as np
import pytest

from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models import test_gflv2_head
from tests.models.head_scene import BOXES, PADS, SIZES
from tests.models.test_dense_head import gfl_head, maps_of
from tests.stages import trace_of

ORDER = [2, 0, 1]
HEADS = {"gfl": gfl_head, "gflv2": test_gflv2_head.make_head}


def stage_with_maps(make_head):
    head = make_head(stacked_convs=2)
    head.hidden_depths = frozenset({1})
    return head.stage(maps_of(), make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))


def test_a_stage_without_targets_says_that_it_has_no_assignment():
    with pytest.raises(ValueError, match="predict with targets"):
        gfl_head().stage(maps_of()).assigned  # noqa: B018 (asked for what it raises)


@pytest.mark.parametrize("name", HEADS)
def test_classes_change_their_order_everywhere(name):
    stage = stage_with_maps(HEADS[name])
    stage.probabilities(), stage.confidence()  # what is known of the old order must not be kept
    other = stage.reordered(ORDER)
    # One unit in the last place: a fast sigmoid rounds by where a value lies in memory.
    expected = stage.probabilities().numpy()[:, :, ORDER]
    np.testing.assert_allclose(other.probabilities().numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(other.boxes().numpy(), stage.boxes().numpy())
    np.testing.assert_allclose(other.confidence().numpy(), stage.confidence().numpy(), rtol=1e-6)
    resumed = other.resume(other.hidden[1], 1)
    assert set(resumed) == set(stage.predictions)
    for key, var in resumed.items():
        before = stage.predictions[key].numpy()
        channels = ORDER if before.shape[-1] == 3 else [*ORDER, 3]
        expected = before[:, :, channels] if key in stage.head.class_keys else before
        np.testing.assert_array_equal(var.numpy(), expected, err_msg=key)
        np.testing.assert_array_equal(other.predictions[key].numpy(), expected, err_msg=key)


def test_two_changes_of_order_follow_each_other():
    stage = stage_with_maps(gfl_head)
    twice = stage.reordered(ORDER).reordered([1, 0, 2])
    expected = stage.predictions["cls_logits"].numpy()[:, :, ORDER][:, :, [1, 0, 2]]
    np.testing.assert_array_equal(twice.predictions["cls_logits"].numpy(), expected)
    np.testing.assert_array_equal(twice.resume(stage.hidden[1], 1)["cls_logits"].numpy(), expected)


def test_a_trace_changes_the_order_of_all_its_stages():
    stage, features = stage_with_maps(gfl_head), maps_of()
    trace = trace_of(stage, features).reordered(ORDER)
    assert trace.features == tuple(features) and trace.strides == (8, 16)
    assert trace.stage() is trace.stage("dense") is trace.stages["dense"]
    expected = stage.predictions["cls_logits"].numpy()[:, :, ORDER]
    np.testing.assert_array_equal(trace.stage().predictions["cls_logits"].numpy(), expected)


def test_nothing_flows_back_through_a_detached_trace():
    stage, features = stage_with_maps(gfl_head), maps_of()
    trace = trace_of(stage, features)
    detached = trace.detached()

    def values(trace):
        stage = trace.stage()
        maps = [x for pair in stage.hidden[1] for x in pair]
        return [*trace.features, *maps, *stage.predictions.values(), stage.probabilities(), stage.boxes()]

    for found, expected in zip(values(detached), values(trace), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    weights = [stage.head.cls_convs[0].conv.weight, stage.head.reg_convs[0].conv.weight]
    for gradient in jt.grad(sum(var.sum() for var in values(detached)), [*weights, *features]):
        assert not gradient.numpy().any()
    for gradient in jt.grad(sum(var.sum() for var in values(trace)), weights):
        assert gradient.numpy().any()
    assert detached.stage().assignment is stage.assignment


def test_scores_and_boxes_are_computed_once():
    stage = stage_with_maps(gfl_head)
    for read in (stage.probabilities, stage.boxes, stage.confidence):
        assert read() is read()
    np.testing.assert_allclose(stage.confidence().numpy(), stage.probabilities().numpy().max(-1), rtol=1e-6)
    assert stage.boxes().shape == [3, sum(h * w for h, w in SIZES), 4]
