"""BCKD against numbers computed elsewhere and its formula in NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill.terms import BCKD
from jld.errors import ConfigError
from jld.models.boxes import DeltaBoxes, DistanceBoxes, DistributionBoxes
from jld.models.trace import Stage
from jld.toolchain import jittor as jt
from tests.distill import check_values
from tests.distill.imitation_scene import PRIORS, Head, bound, context, interfaces

BINS = DistributionBoxes(DistanceBoxes("strides"), 17)
STRIDE = 4


def given_step(positives=((1, 0, 0, 0, 0, 1),), size=(2, 3)):
    """Logits that a line writes down, on a level of 2 x 3 cells (or its first ones) and none other."""
    places, count = AnchorGenerator((STRIDE,)).priors([size]), size[0] * size[1]
    sides = [
        Stage(
            {"cls_logits": jt.array(classes[:, :count]), "box_logits": jt.array(boxes[:, :count])},
            places,
            Head(BINS, 5),
        )
        for classes, boxes in zip(check_values.class_logits(), check_values.box_logits(), strict=True)
    ]
    positives = np.float32(positives)[:, :count]
    assignment = SimpleNamespace(
        label_weights=jt.array(check_values.LABEL_WEIGHTS[:, :count]),
        positive_mask=jt.array(positives),
        num_total_pos=jt.array(np.float32([max(positives.sum(), 1)])),
    )
    return SimpleNamespace(student=sides[0], teacher=sides[1], places=places, assignment=assignment)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def giou(first, second):
    top, low = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    inside = np.clip(low - top, 0, None).prod(-1)
    outer = np.minimum(first[..., :2], second[..., :2]), np.maximum(first[..., 2:], second[..., 2:])
    around = (outer[1] - outer[0]).prod(-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], -1) for boxes in (first, second)]
    union = np.maximum(areas[0] + areas[1] - inside, 1e-6)
    return inside / union - (around - union) / np.maximum(around, 1e-6)


def parts(student, teacher, weights):
    """NumPy sums of the class part and of the box part, before their factors."""
    own, given = (side.predictions["cls_logits"].numpy().astype(np.float64) for side in (student, teacher))
    gap = np.abs(sigmoid(own) - sigmoid(given))
    entropy = np.log1p(np.exp(own)) - own * sigmoid(given)
    strides = student.places.strides.numpy()[..., None]
    boxes = [side.boxes().numpy().astype(np.float64) / strides for side in (student, teacher)]
    return (gap * entropy).sum(2) * weights, gap.max(2) * weights * (1 - giou(*boxes))


def test_check_values():
    step = given_step()
    first = step.student.boxes().numpy()[0, 0] / STRIDE
    np.testing.assert_allclose(first, [-4.513144, -4.501498, 4.489945, 4.478487], rtol=2e-6)
    np.testing.assert_allclose(BCKD(box_weight=0)(step).item(), 9.712111, rtol=2e-6)
    np.testing.assert_allclose(BCKD(cls_weight=0)(step).item(), 4.246899, rtol=2e-6)
    np.testing.assert_allclose(BCKD()(step).item(), 9.712111 + 4.246899, rtol=2e-6)


def test_one_cell_has_the_check_value():
    step = given_step(size=(1, 1))
    np.testing.assert_allclose(BCKD(box_weight=0)(step).item(), 2.301571, rtol=2e-6)
    of_boxes = jt.grad(BCKD(cls_weight=0)(step), step.student.predictions["box_logits"]).numpy()
    assert np.isfinite(of_boxes).all() and of_boxes.any()


def test_who_gets_gradients():
    """The gap between the scores weighs the boxes without a gradient of its own; the teacher gets none."""
    step = given_step()
    logits = [side.predictions["cls_logits"] for side in (step.student, step.teacher)]
    of_student, of_teacher = (g.numpy() for g in jt.grad(BCKD()(step), logits))
    np.testing.assert_allclose(of_student[0, 0, 0], -0.415729, rtol=5e-6)
    of_box = [side.predictions["box_logits"] for side in (step.student, step.teacher)]
    to_boxes = [g.numpy() for g in jt.grad(BCKD()(step), of_box)]
    assert to_boxes[0][0, 0].any() and not to_boxes[0][0, 2].any(), "the third place is ignored"
    assert not of_teacher.any() and not to_boxes[1].any()


def test_heads_of_other_kinds_on_several_levels():
    """A student of deltas, a teacher of distributions; two levels, two priors per cell, an empty image."""
    heads = Head(), Head(DistributionBoxes(DistanceBoxes("strides"), 5))
    term = bound(BCKD(cls_weight=2.0, box_weight=3.0, beta=1.0), heads=heads)
    step = context(term, heads=heads)
    weights = step.assignment.label_weights.numpy()
    assert (weights == 0).any()
    classes, boxes = parts(step.student, step.teacher, weights)
    expected = (2 * classes.sum() + 3 * boxes.sum()) / step.assignment.num_total_pos.item()
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_a_level_without_positives_can_be_left_out():
    boxes = np.float32([(4, 5, 40, 40)])  # too small for the second level
    term = BCKD(skip_levels_without_positive=True)
    step = context(term, boxes=boxes)
    positive, weights = step.assignment.positive_mask.numpy(), step.assignment.label_weights.numpy()
    first, second = PRIORS.level_slices
    assert positive[:, first].any() and not positive[:, second].any()
    classes, edges = (x[:, first].sum() for x in parts(step.student, step.teacher, weights))
    expected = (classes + 4 * edges) / step.assignment.num_total_pos.item()
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)
    assert BCKD()(step).item() > term(step).item() * 1.05


def test_without_objects():
    step = context(BCKD(), boxes=np.zeros((0, 4), np.float32))
    classes, boxes = parts(step.student, step.teacher, step.assignment.label_weights.numpy())
    np.testing.assert_allclose(BCKD()(step).item(), (classes.sum() + 4 * boxes.sum()) / 2, rtol=1e-4)
    assert BCKD(skip_levels_without_positive=True)(step).item() == 0


def test_refusals():
    assert BCKD().check(*interfaces()) == []
    rotated = Head(DeltaBoxes(DeltaXYWHAOBBoxCoder("oc")))
    problems = BCKD().check(*interfaces(heads=(rotated, rotated)))
    assert len(problems) == 2 and all("described by 5 numbers" in text for text in problems)
    (problem,) = BCKD().check(*interfaces(heads=(Head(), Head(num_classes=4))))
    assert "BCKD compares cls_logits" in problem
    with pytest.raises(ConfigError, match="did you mean 'positives'"):
        BCKD(avg="positive")
