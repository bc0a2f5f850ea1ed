"""FCOSHead on toys: layers and options, losses against loops over points, empty cases, detections."""

import math

import numpy as np
import pytest

from jld.boxes.overlaps import aligned_overlaps
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models.head_scene import BOXES, HEAD, NUM_CLASSES, PADS, SIZES
from tests.stages import stage_of


def make_head(**changes):
    section = {
        "type": "FCOSHead",
        "num_norm_groups": 2,
        "priors": {"type": "AnchorGenerator", "strides": [8, 16], "center_offset": 0.5},
        "assigner": {"type": "FCOSAssigner", "regress_ranges": [(-1, 24), (24, 1e8)]},
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "IoULoss"},
        "loss_centerness": {"type": "CrossEntropyLoss", "use_sigmoid": True},
    }
    return build(HEAD | section | changes)


FORMS = {"plain": {}, "distributions": {"reg_max": 4, "loss_bbox": {"type": "GIoULoss"}}}
BOX_KEYS = {"plain": "box_distances", "distributions": "box_logits"}


def random_stage(head, targets):
    rng = np.random.default_rng(1)
    priors = head.priors.priors(SIZES)
    predictions = {
        key: rng.normal(0, 0.5, (3, len(priors), *shape)).astype(np.float32)
        for key, shape in head.prediction_shapes().items()
    }
    if "box_distances" in predictions:
        predictions["box_distances"] = np.exp(predictions["box_distances"] + 2)
    predictions = {key: jt.array(value) for key, value in predictions.items()}
    return stage_of(head, predictions, priors, targets)


@pytest.mark.parametrize("reg_max", [None, 4])
def test_layers_have_the_published_names_and_shapes(reg_max):
    head = make_head(reg_max=reg_max)
    shapes = {name: list(var.shape) for name, var in head.state_dict().items()}
    assert shapes["conv_cls.weight"] == [NUM_CLASSES, 4, 3, 3]
    assert shapes["conv_reg.weight"] == [4 if reg_max is None else 20, 4, 3, 3]
    assert shapes["conv_centerness.weight"] == [1, 4, 3, 3] and shapes["scales.1.scale"] == [1]
    assert "cls_convs.0.gn.weight" in shapes and "cls_convs.0.conv.bias" not in shapes
    assert len(shapes) == 14
    biased = make_head(conv_bias=True).state_dict()
    assert set(biased) - set(shapes) == {"cls_convs.0.conv.bias", "reg_convs.0.conv.bias"}
    predictions = head([jt.zeros((2, 4, *size)) for size in SIZES])
    for key, shape in head.prediction_shapes().items():
        assert list(predictions[key].shape) == [2, 30, *shape]


@pytest.mark.parametrize("norm_on_bbox", [False, True])
def test_distances_are_in_px(norm_on_bbox):
    head = make_head(norm_on_bbox=norm_on_bbox)
    head.conv_reg.weight, head.conv_reg.bias = jt.zeros((4, 4, 3, 3)), jt.array([0.5, -0.5, 0.0, 1.0])
    head.scales[1].scale = jt.array(2.0)
    got = head([jt.zeros((1, 4, *size)) for size in SIZES])["box_distances"].numpy()[0]
    bias = np.array([0.5, -0.5, 0, 1])
    for rows, factor, stride in ((got[:24], 1, 8), (got[24:], 2, 16)):
        expected = np.maximum(factor * bias, 0) * stride if norm_on_bbox else np.exp(factor * bias)
        np.testing.assert_allclose(rows, np.broadcast_to(expected, rows.shape), rtol=1e-6)


@pytest.mark.parametrize("on_reg", [False, True])
def test_centerness_reads_the_tower_it_is_told(on_reg):
    head = make_head(centerness_on_reg=on_reg)
    features = [jt.ones((1, 4, *size)) for size in SIZES]
    centers = head(features)["centerness_logits"].sum()
    towers = (head.cls_convs[0].gn.bias, head.reg_convs[0].gn.bias)
    reached = [np.abs(gradient.numpy()).max() > 0 for gradient in jt.grad(centers, towers)]
    assert reached == [not on_reg, on_reg]


def loop_losses(form, stage):
    """(box loss, centerness loss) point by point, as the paper writes them."""
    assignment = stage.assignment
    points, strides = stage.places.centers.numpy()[0], stage.places.strides.numpy()[0]
    values = {key: var.numpy().astype(np.float64) for key, var in stage.predictions.items()}
    box_sum, quality_sum, entropy_sum, count = 0.0, 0.0, 0.0, 0
    for image, place in zip(*np.nonzero(assignment.gt_index.numpy() >= 0), strict=True):
        (x, y), target = points[place], assignment.target_boxes.numpy()[image, place]
        left, top, right, bottom = x - target[0], y - target[1], target[2] - x, target[3] - y
        quality = math.sqrt(min(left, right) / max(left, right) * (min(top, bottom) / max(top, bottom)))
        if form == "plain":
            sides = values["box_distances"][image, place]
        else:
            probs = np.exp(values["box_logits"][image, place])
            sides = (probs / probs.sum(-1, keepdims=True) * np.arange(5)).sum(-1) * strides[place]
        box = np.array([[x - sides[0], y - sides[1], x + sides[2], y + sides[3]]])
        wanted = target[None].astype(np.float64)
        if form == "plain":
            loss = -math.log(aligned_overlaps(box, wanted)[0])
        else:
            loss = 1 - aligned_overlaps(box, wanted, "giou")[0]
        score = 1 / (1 + math.exp(-values["centerness_logits"][image, place]))
        entropy_sum -= quality * math.log(score) + (1 - quality) * math.log(1 - score)
        box_sum, quality_sum, count = box_sum + quality * loss, quality_sum + quality, count + 1
    assert count > 5
    return box_sum / quality_sum, entropy_sum / count, count


@pytest.mark.parametrize("form", FORMS)
def test_losses_equal_a_loop(form):
    head = make_head(**FORMS[form])
    stage = random_stage(head, make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))
    assignment, losses = stage.assignment, head.losses(stage)
    box_loss, centerness_loss, count = loop_losses(form, stage)
    np.testing.assert_allclose(losses["loss_bbox"].item(), box_loss, rtol=1e-5)
    np.testing.assert_allclose(losses["loss_centerness"].item(), centerness_loss, rtol=1e-5)
    logits, labels = stage.predictions["cls_logits"].numpy(), assignment.labels.numpy()
    is_class = labels[..., None] == np.arange(NUM_CLASSES)
    p_t = 1 / (1 + np.exp(-np.where(is_class, logits, -logits).astype(np.float64)))
    focal = -np.where(is_class, 0.25, 0.75) * (1 - p_t) ** 2 * np.log(p_t)
    np.testing.assert_allclose(losses["loss_cls"].item(), focal.sum() / count, rtol=1e-5)
    keys = [key for key in stage.predictions if key != "cls_logits"]
    positive = assignment.positive_mask.numpy() > 0
    for gradient in jt.grad(sum(losses.values()), [stage.predictions[key] for key in keys]):
        touched = np.abs(gradient.numpy()).reshape(*positive.shape, -1).max(-1) > 0
        np.testing.assert_array_equal(touched, positive)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_without_objects_trains(form):
    head = make_head(**FORMS[form])
    stage = random_stage(head, make_targets([[], [], []], PADS))
    losses = head.losses(stage)
    assert losses["loss_bbox"].item() == losses["loss_centerness"].item() == 0
    assert losses["loss_cls"].item() > 0
    for key, gradient in zip(
        stage.predictions, jt.grad(sum(losses.values()), list(stage.predictions.values())), strict=True
    ):
        assert np.isfinite(gradient.numpy()).all()
        assert gradient.numpy().any() == (key == "cls_logits")


@pytest.mark.parametrize("form", FORMS)
def test_detections_are_ranked_by_score_times_centerness(form):
    head = make_head(**FORMS[form])
    priors = head.priors.priors(SIZES)
    point = 2 * 6 + 3  # row 2, column 3 of the first level: x 28, y 20
    values = np.zeros((1, len(priors), *head.prediction_shapes()[BOX_KEYS[form]]), np.float32)
    if form == "plain":
        values[0, point] = (8, 16, 8, 8)
    else:
        values[0, point, (0, 1, 2, 3), (1, 2, 1, 1)] = 50
    logits = np.full((1, len(priors), NUM_CLASSES), -9, np.float32)
    logits[0, point, 1] = -2.5  # 0.076 is above the threshold of 0.05, with its centerness it would not be
    centerness = np.full((1, len(priors)), -1, np.float32)
    predictions = {"cls_logits": logits, "centerness_logits": centerness, BOX_KEYS[form]: values}
    predictions = {key: jt.array(array) for key, array in predictions.items()}
    batch = {"img_ids": [5], "img_shapes": np.float32([[32, 48]]), "scale_factors": np.full((1, 4), 2.0)}
    (found,) = head.detect(stage_of(head, predictions, priors), batch)
    np.testing.assert_allclose(found["scores"], [1 / (1 + np.exp(2.5)) / (1 + np.exp(1))], rtol=1e-5)
    np.testing.assert_allclose(found["boxes"], [[10, 2, 18, 14]], rtol=1e-6)
