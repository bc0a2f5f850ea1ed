"""RetinaHead on toys: layers, losses against loops over anchors, empty cases, detections."""

import numpy as np
import pytest

from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models.head_scene import BOXES, HEAD, NUM_CLASSES, PADS, SIZES
from tests.stages import stage_of


def make_head(**changes):
    section = {
        "type": "RetinaHead",
        "priors": {
            "type": "AnchorGenerator",
            "strides": [8, 16],
            "octave_base_scale": 2,
            "scales_per_octave": 2,
            "ratios": [0.5, 1.0],
        },
        "assigner": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4},
        "box_coder": {"type": "DeltaBoxCoder"},
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "L1Loss"},
    }
    return build(HEAD | section | changes)


FORMS = {
    "plain": {},
    "decoded": {"reg_decoded_bbox": True, "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0}},
    "distributions": {
        "reg_max": 4,
        "box_coder": None,
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
    },
}


def random_stage(head, targets=None, num_images=3):
    """Predictions drawn at random."""
    rng = np.random.default_rng(0)
    priors = head.priors.priors(SIZES)
    predictions = {
        key: jt.array(rng.normal(0, 0.5, (num_images, len(priors), *shape)).astype(np.float32))
        for key, shape in head.prediction_shapes().items()
    }
    return stage_of(head, predictions, priors, targets)


@pytest.mark.parametrize("form", ["plain", "distributions"])
def test_layers_have_the_published_names_and_shapes(form):
    head, (family, values) = (
        make_head(**FORMS[form]),
        {"plain": ("retina", 4), "distributions": ("atss", 20)}[form],
    )
    shapes = {name: list(var.shape) for name, var in head.state_dict().items()}
    assert shapes[f"{family}_cls.weight"] == [4 * NUM_CLASSES, 4, 3, 3]
    assert shapes[f"{family}_reg.weight"] == [4 * values, 4, 3, 3]
    assert shapes["cls_convs.0.conv.bias"] == [4] and not any("gn" in name for name in shapes)
    assert len(shapes) == 8
    predictions = head([jt.zeros((2, 4, *size)) for size in SIZES])
    for key, shape in head.prediction_shapes().items():
        assert list(predictions[key].shape) == [2, 4 * 30, *shape]


def test_either_deltas_or_distributions():
    with pytest.raises(ConfigError, match="none of them"):
        make_head(box_coder=None)
    with pytest.raises(ConfigError, match="both of them"):
        make_head(reg_max=16)


def focal(logits, labels):
    """Focal loss [P, C], gamma 2 and alpha 0.25, the way the paper writes it."""
    probs = 1 / (1 + np.exp(-logits.astype(np.float64)))
    is_class = labels[:, None] == np.arange(logits.shape[1])
    p_t = np.where(is_class, probs, 1 - probs)
    return -np.where(is_class, 0.25, 0.75) * (1 - p_t) ** 2 * np.log(p_t)


def box_terms(form, head, stage):
    """What every positive adds to the sum of box losses, by image and anchor."""
    anchors, strides = stage.places.boxes.numpy()[0], stage.places.strides.numpy()[0]
    targets = stage.assignment.target_boxes.numpy()
    values = stage.predictions[head.boxes.key].numpy()
    for image, anchor in zip(*np.nonzero(stage.assignment.positive_mask.numpy()), strict=True):
        box, value, target = anchors[anchor], values[image, anchor], targets[image, anchor]
        size, center = box[2:] - box[:2], (box[2:] + box[:2]) / 2
        if form == "plain":
            wanted = np.concatenate(
                [
                    ((target[2:] + target[:2]) / 2 - center) / size,
                    np.log((target[2:] - target[:2]) / size),
                ]
            )
            yield np.abs(value - wanted).sum()
            continue
        if form == "decoded":
            half = size * np.exp(value[2:]) / 2
            middle = center + size * value[:2]
            decoded = np.concatenate([middle - half, middle + half])
        else:
            probs = np.exp(value) / np.exp(value).sum(-1, keepdims=True)
            sides = (probs * np.arange(5)).sum(-1) * strides[anchor]
            decoded = np.concatenate([center - sides[:2], center + sides[2:]])
        yield 2 * (1 - aligned_overlaps(decoded[None], target[None], "giou")[0])


@pytest.mark.parametrize("form", FORMS)
def test_losses_equal_a_loop(form):
    head = make_head(**FORMS[form])
    stage = random_stage(head, make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))
    assignment = stage.assignment
    positives = assignment.positive_mask.numpy().sum(1)
    assert positives[0] > 2 and positives[1] > 0 and positives[2] == 0
    assert (assignment.gt_index.numpy() == -2).any(), "some anchor is between the two thresholds"
    losses = head.losses(stage)
    num_pos = np.maximum(positives, 1).sum()
    logits, labels = stage.predictions["cls_logits"].numpy(), assignment.labels.numpy()
    weights = assignment.label_weights.numpy()[..., None]
    expected = sum(
        (focal(*rows) * weight).sum() for *rows, weight in zip(logits, labels, weights, strict=True)
    )
    np.testing.assert_allclose(losses["loss_cls"].item(), expected / num_pos, rtol=1e-5)
    expected = sum(box_terms(form, head, stage)) / num_pos
    np.testing.assert_allclose(losses["loss_bbox"].item(), expected, rtol=1e-5)
    gradient = jt.grad(losses["loss_bbox"], stage.predictions[head.boxes.key]).numpy()
    touched = np.abs(gradient).reshape(*gradient.shape[:2], -1).max(-1) > 0
    np.testing.assert_array_equal(touched, assignment.positive_mask.numpy() > 0)
    if form == "plain":
        np.testing.assert_allclose(np.abs(gradient[touched]), 1 / num_pos, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_without_objects_trains(form):
    head = make_head(**FORMS[form])
    stage = random_stage(head, make_targets([[], [], []], PADS))
    losses = head.losses(stage)
    assert losses["loss_bbox"].item() == 0 and losses["loss_cls"].item() > 0
    gradients = jt.grad(
        sum(losses.values()), [stage.predictions[key] for key in ("cls_logits", head.boxes.key)]
    )
    assert np.isfinite(gradients[0].numpy()).all() and np.abs(gradients[0].numpy()).max() > 0
    assert not gradients[1].numpy().any()


@pytest.mark.parametrize("form", ["plain", "distributions"])
def test_detections_are_the_decoded_anchors(form):
    head = make_head(**FORMS[form])
    places = head.priors.priors(SIZES)
    anchor = 4 * (2 * 6 + 3) + 2  # third anchor of row 2, column 3: square, two strides wide
    values = np.zeros((1, len(places), *head.boxes.shape), np.float32)
    if form == "distributions":
        values[0, anchor, :, 1] = 50  # every side one stride away
    logits = np.full((1, len(places), NUM_CLASSES), -9, np.float32)
    logits[0, anchor, 1] = 2
    predictions = {"cls_logits": jt.array(logits), head.boxes.key: jt.array(values)}
    batch = {"img_ids": [5], "img_shapes": np.float32([[32, 48]]), "scale_factors": np.full((1, 4), 2.0)}
    (found,) = head.detect(stage_of(head, predictions, places), batch)
    assert found["labels"].tolist() == [1]
    np.testing.assert_allclose(found["scores"], [1 / (1 + np.exp(-2))], rtol=1e-6)
    np.testing.assert_allclose(found["boxes"], [[8, 4, 16, 12]], rtol=1e-6)
