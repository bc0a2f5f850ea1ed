"""ATSSHead on toys: layers and options, losses against loops over priors, empty cases, detections."""

import math

import numpy as np
import pytest

from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models.head_scene import BOXES, HEAD, NUM_CELLS, NUM_CLASSES, PADS, SIZES
from tests.stages import stage_of

STDS = (0.1, 0.1, 0.2, 0.2)
FORMS = {
    "plain": {"box_coder": {"type": "DeltaBoxCoder", "stds": STDS}},
    "distributions": {"reg_max": 4},
}
BOX_KEYS = {"plain": "box_deltas", "distributions": "box_logits"}


def make_head(**changes):
    section = {
        "type": "ATSSHead",
        "num_norm_groups": 2,
        "priors": {"type": "AnchorGenerator", "strides": [8, 16], "octave_base_scale": 2},
        "assigner": {"type": "ATSSAssigner", "topk": 4},
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
        "loss_centerness": {"type": "CrossEntropyLoss", "use_sigmoid": True},
    }
    return build(HEAD | section | changes)


def random_stage(head, targets):
    rng = np.random.default_rng(1)
    predictions = {
        key: jt.array(rng.normal(0, 0.5, (3, NUM_CELLS, *shape)).astype(np.float32))
        for key, shape in head.prediction_shapes().items()
    }
    return stage_of(head, predictions, head.priors.priors(SIZES), targets)


@pytest.mark.parametrize("form", FORMS)
def test_layers_have_the_published_names_and_shapes(form):
    head = make_head(**FORMS[form])
    shapes = {name: list(var.shape) for name, var in head.state_dict().items()}
    assert shapes["atss_cls.weight"] == [NUM_CLASSES, 4, 3, 3]
    assert shapes["atss_reg.weight"] == [4 if form == "plain" else 20, 4, 3, 3]
    assert shapes["atss_centerness.weight"] == [1, 4, 3, 3] and shapes["scales.1.scale"] == [1]
    assert "cls_convs.0.gn.weight" in shapes and "cls_convs.0.conv.bias" not in shapes
    predictions = head([jt.zeros((2, 4, *size)) for size in SIZES])
    assert list(predictions) == ["cls_logits", "centerness_logits", BOX_KEYS[form]]
    for key, shape in head.prediction_shapes().items():
        assert list(predictions[key].shape) == [2, NUM_CELLS, *shape]


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "ATSSHead .* not none of them"), (FORMS["plain"] | FORMS["distributions"], "not both of them")],
)
def test_deltas_and_distributions_exclude_each_other(options, message):
    with pytest.raises(ConfigError, match=message):
        make_head(**options)


def expected_box(form, values, prior, stride):
    """The box [4] that one prior [4] predicts."""
    x, y, side = (prior[0] + prior[2]) / 2, (prior[1] + prior[3]) / 2, prior[2] - prior[0]
    if form == "plain":
        dx, dy, dw, dh = values * STDS
        x, y, width, height = x + dx * side, y + dy * side, side * math.exp(dw), side * math.exp(dh)
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    probs = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    return np.array([x, y, x, y]) + (probs * np.arange(5)).sum(-1) * stride * [-1, -1, 1, 1]


def loop_losses(form, stage):
    """(box loss, centerness loss, positives) prior by prior."""
    assignment, priors = stage.assignment, stage.places.boxes.numpy()[0].astype(np.float64)
    strides = stage.places.strides.numpy()[0]
    values = {key: var.numpy().astype(np.float64) for key, var in stage.predictions.items()}
    box_sum, quality_sum, entropy_sum = 0.0, 0.0, 0.0
    for image, place in zip(*np.nonzero(assignment.gt_index.numpy() >= 0), strict=True):
        target = assignment.target_boxes.numpy()[image, place].astype(np.float64)
        x, y = (priors[place, 0] + priors[place, 2]) / 2, (priors[place, 1] + priors[place, 3]) / 2
        left, top, right, bottom = x - target[0], y - target[1], target[2] - x, target[3] - y
        quality = math.sqrt(min(left, right) / max(left, right) * (min(top, bottom) / max(top, bottom)))
        box = expected_box(form, values[BOX_KEYS[form]][image, place], priors[place], strides[place])
        loss = 2 * (1 - aligned_overlaps(box[None], target[None], "giou")[0])
        score = 1 / (1 + math.exp(-values["centerness_logits"][image, place]))
        entropy_sum -= quality * math.log(score) + (1 - quality) * math.log(1 - score)
        box_sum, quality_sum = box_sum + quality * loss, quality_sum + quality
    counts = (assignment.gt_index.numpy() >= 0).sum(1)
    assert counts.max() > 2 and counts.min() == 0
    num_pos = np.maximum(counts, 1).sum()  # an image without positives counts as one
    return box_sum / quality_sum, entropy_sum / num_pos, num_pos


@pytest.mark.parametrize("form", FORMS)
def test_losses_equal_a_loop(form):
    head = make_head(**FORMS[form])
    stage = random_stage(head, make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))
    assignment, losses = stage.assignment, head.losses(stage)
    box_loss, centerness_loss, num_pos = loop_losses(form, stage)
    np.testing.assert_allclose(losses["loss_bbox"].item(), box_loss, rtol=1e-5)
    np.testing.assert_allclose(losses["loss_centerness"].item(), centerness_loss, rtol=1e-5)
    logits, labels = stage.predictions["cls_logits"].numpy(), assignment.labels.numpy()
    is_class = labels[..., None] == np.arange(NUM_CLASSES)
    p_t = 1 / (1 + np.exp(-np.where(is_class, logits, -logits).astype(np.float64)))
    focal = -np.where(is_class, 0.25, 0.75) * (1 - p_t) ** 2 * np.log(p_t)
    np.testing.assert_allclose(losses["loss_cls"].item(), focal.sum() / num_pos, rtol=1e-5)
    keys = ["centerness_logits", BOX_KEYS[form]]
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
    gradients = jt.grad(sum(losses.values()), list(stage.predictions.values()))
    for key, gradient in zip(stage.predictions, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all()
        assert gradient.numpy().any() == (key == "cls_logits")


@pytest.mark.parametrize("form", FORMS)
def test_detections_are_ranked_by_score_times_centerness(form):
    head = make_head(**FORMS[form])
    place = 2 * 6 + 3  # row 2, column 3 of the first level: x 24, y 16, a prior of 16 x 16 px
    values = np.zeros((1, NUM_CELLS, *head.prediction_shapes()[BOX_KEYS[form]]), np.float32)
    if form == "plain":
        values[0, place] = (0, 0, 0, math.log(1.5) / 0.2)
        expected = [16, 4, 32, 28]
    else:
        values[0, place, (0, 1, 2, 3), (1, 2, 1, 1)] = 50
        expected = [16, 0, 32, 24]
    logits = np.full((1, NUM_CELLS, NUM_CLASSES), -9, np.float32)
    logits[0, place, 1] = -2.5  # 0.076 is above the threshold of 0.05, with its centerness it would not be
    centerness = np.full((1, NUM_CELLS), -1, np.float32)
    predictions = {"cls_logits": logits, "centerness_logits": centerness, BOX_KEYS[form]: values}
    predictions = {key: jt.array(array) for key, array in predictions.items()}
    batch = {"img_ids": [5], "img_shapes": np.float32([[32, 48]]), "scale_factors": np.full((1, 4), 2.0)}
    (found,) = head.detect(stage_of(head, predictions, head.priors.priors(SIZES)), batch)
    np.testing.assert_allclose(found["scores"], [1 / (1 + np.exp(2.5)) / (1 + np.exp(1))], rtol=1e-5)
    np.testing.assert_allclose(found["boxes"], [np.array(expected) / 2], rtol=1e-5)
    assert found["labels"].tolist() == [1]
