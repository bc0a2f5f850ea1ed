"""GFLv2Head on toys: what the quality is read from, layers, losses by formula, empty cases, detections."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models.heads.gflv2_head import side_statistics
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets
from tests.models.head_scene import BOXES, HEAD, NUM_CELLS, NUM_CLASSES, PADS, SIZES
from tests.stages import stage_of


def make_head(**changes):
    section = {
        "type": "GFLv2Head",
        "reg_max": 7,
        "reg_channels": 6,
        "num_norm_groups": 2,
        "background_channel": True,
        "priors": {"type": "AnchorGenerator", "strides": [8, 16], "octave_base_scale": 2},
        "assigner": {"type": "ATSSAssigner", "topk": 4},
        "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": False},
        "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
    }
    return build(HEAD | section | changes)


def random_stage(head, targets=None):
    """Predictions without a network before them; the scores do not follow from the logits."""
    rng = np.random.default_rng(1)
    predictions = {
        key: rng.normal(0, 0.5, (3, NUM_CELLS, *shape)).astype(np.float32)
        for key, shape in head.prediction_shapes().items()
    }
    predictions["scores"] = sigmoid(predictions["scores"]).astype(np.float32)
    predictions = {key: jt.array(values) for key, values in predictions.items()}
    return stage_of(head, predictions, head.priors.priors(SIZES), targets)


def softmax(logits):
    values = np.exp(logits - logits.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def sorted_statistics(logits, topk, with_mean):
    largest = -np.sort(-softmax(logits), axis=-1)[..., :topk]
    parts = [largest, largest.mean(-1, keepdims=True)] if with_mean else [largest]
    return np.concatenate(parts, -1).reshape(*logits.shape[:2], -1)


@pytest.mark.parametrize("topk, with_mean", [(4, True), (2, False)])
def test_statistics_are_the_largest_probabilities(topk, with_mean):
    logits = np.random.default_rng(0).normal(0, 2, (2, 5, 4, 8)).astype(np.float32)
    logits[0, 0] = 0.5  # all bins alike
    var = jt.array(logits)
    found = side_statistics(var, topk, with_mean=with_mean)
    np.testing.assert_allclose(found.numpy(), sorted_statistics(logits, topk, with_mean), rtol=1e-5)
    # The slope of the largest probability p of the first side: p (1 - p) at its own bin.
    probs = softmax(logits[1, 0, 0].astype(np.float64))
    slope = jt.grad(found[1, 0, 0], var).numpy()[1, 0, 0]
    best = probs.argmax()
    expected = -probs[best] * probs
    expected[best] += probs[best]
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-7)


def test_layers_have_the_published_names_and_shapes():
    head = make_head()
    shapes = {name: list(var.shape) for name, var in head.state_dict().items()}
    assert shapes["gfl_cls.weight"] == [NUM_CLASSES + 1, 4, 3, 3] and shapes["gfl_reg.bias"] == [32]
    assert shapes["reg_conf.0.weight"] == [6, 20, 1, 1] and shapes["reg_conf.2.weight"] == [1, 6, 1, 1]
    plain = make_head(background_channel=False, add_mean=False, reg_topk=3).state_dict()
    assert list(plain["gfl_cls.weight"].shape) == [NUM_CLASSES, 4, 3, 3]
    assert list(plain["reg_conf.0.weight"].shape) == [6, 12, 1, 1]


def test_scores_are_class_probability_times_quality():
    head = make_head()
    rng = np.random.default_rng(2)
    features = [jt.array(rng.standard_normal((3, 4, *size)).astype(np.float32)) for size in SIZES]
    predictions = head(features)
    values = {key: var.numpy() for key, var in predictions.items()}
    for key, shape in head.prediction_shapes().items():
        assert values[key].shape == (3, NUM_CELLS, *shape)
    weights = {name: var.numpy() for name, var in head.state_dict().items() if "reg_conf" in name}
    hidden = sorted_statistics(values["box_logits"], 4, True) @ weights["reg_conf.0.weight"][:, :, 0, 0].T
    hidden = np.maximum(hidden + weights["reg_conf.0.bias"], 0)
    quality = sigmoid(hidden @ weights["reg_conf.2.weight"][0, :, 0, 0] + weights["reg_conf.2.bias"])
    expected = sigmoid(values["cls_logits"]) * quality[..., None]
    np.testing.assert_allclose(values["scores"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss_cls": {"type": "QualityFocalLoss"}}, "use_sigmoid=False"),
        ({"reg_topk": 9}, "between 1 and 8"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_head(**options)


def test_classification_learns_the_overlap():
    head = make_head()
    stage = random_stage(head, make_targets(BOXES, PADS, [[0, 1, 2], [1], []]))
    assignment, losses = stage.assignment, head.losses(stage)
    scores, labels = stage.predictions["scores"].numpy().astype(np.float64), assignment.labels.numpy()
    positive = assignment.gt_index.numpy() >= 0
    assert positive.any(axis=1).tolist() == [True, True, False]
    wanted = np.zeros_like(scores)
    boxes = stage.boxes().numpy()
    for image, place in zip(*np.nonzero(positive), strict=True):
        box, target = boxes[image, place], assignment.target_boxes.numpy()[image, place]
        inter = np.clip(np.minimum(box[2:], target[2:]) - np.maximum(box[:2], target[:2]), 0, None).prod()
        union = (box[2:] - box[:2]).prod() + (target[2:] - target[:2]).prod() - inter
        wanted[image, place, labels[image, place]] = inter / union
    entropy = -(wanted * np.log(scores) + (1 - wanted) * np.log(1 - scores))
    expected = (entropy * (scores - wanted) ** 2).sum() / np.maximum(positive.sum(1), 1).sum()
    np.testing.assert_allclose(losses["loss_cls"].item(), expected, rtol=1e-4)


def test_a_batch_without_objects_trains():
    head = make_head()
    stage = random_stage(head, make_targets([[], [], []], PADS))
    losses = head.losses(stage)
    assert losses["loss_bbox"].item() == losses["loss_dfl"].item() == 0 < losses["loss_cls"].item()
    keys = ["scores", "box_logits"]
    gradients = jt.grad(sum(losses.values()), [stage.predictions[key] for key in keys])
    for key, gradient in zip(keys, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all()
        assert gradient.numpy().any() == (key == "scores")


def test_detections_leave_the_extra_channel_out():
    head = make_head()
    stage = random_stage(head)
    scores = np.zeros((3, NUM_CELLS, NUM_CLASSES + 1), np.float32)
    scores[:, 4, NUM_CLASSES] = 0.9
    scores[1, 4, 2] = 0.6
    predictions = stage.predictions | {"scores": jt.array(scores)}
    batch = {
        "img_ids": [1, 2, 3],
        "img_shapes": np.float32([[32, 48]] * 3),
        "scale_factors": np.ones((3, 4), np.float32),
    }
    found = head.detect(stage_of(head, predictions, stage.places), batch)
    assert [image["labels"].tolist() for image in found] == [[], [2], []]
    np.testing.assert_allclose(found[1]["scores"], [0.6])
