"""Terms on the stages of a Faster R-CNN: proposals, RoIs, and the student's maps under the teacher's head."""

import dataclasses

import numpy as np
import pytest

from jld.boxes.overlaps import pairwise_overlaps
from jld.distill import StepContext, build_distiller
from jld.toolchain import jittor as jt
from tests.models.test_two_stage import detector, distill, scene, section, step  # noqa: F401 (fixtures)

# Sparse teachers agree with everything: larger last layers make some classes and boxes sure.
LARGER = {"rpn_head.rpn_cls": 30.0, "roi_head.bbox_head.fc_cls": 30.0, "roi_head.bbox_head.fc_reg": 300.0}
GID = {"type": "GID", "feature_weight": 0.0, "relation_weight": 0.0, "cls_weight": 2.0, "box_weight": 3.0}
SMALL = {"count": 4, "crop_size": 3, "min_side_px": 4.0}


@pytest.fixture(scope="module")
def taught(detector, step):  # noqa: F811
    """(distiller, {loss: scalar}, the teacher's trace) of all terms in one step."""
    terms = (
        GID | SMALL | {"responses": ["rpn", "roi"]},
        {"type": "GID", "name": "loss_gid_crops", "cls_weight": 0.0, "box_weight": 0.0, "adapter": 1} | SMALL,
        {"type": "PFI"},
        {"type": "RankMimicking"},
        {"type": "CrossRoIKD"},
    )
    distiller = build_distiller(distill(section(), *terms), detector)
    teacher = dict(distiller.teacher.detector.named_parameters())
    for name, factor in LARGER.items():
        weight = teacher[f"{name}.weight"]
        weight.assign(weight * factor)
    return distiller, distiller(step), distiller.teacher(step)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def softmax(x):
    shares = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def array_of(stage, key):
    return stage.predictions[key].numpy()


def answering(boxes, instances, valid):
    """[P] 1 for boxes that overlap an instance by half, and the best of each instance."""
    overlaps = pairwise_overlaps(instances, boxes) * valid
    best = (overlaps == overlaps.max(1, keepdims=True)) & (overlaps > 0)
    return ((overlaps >= 0.5) | best).any(0)


def test_gid_compares_what_proposals_and_rois_say_of_the_instances(taught, step):  # noqa: F811
    distiller, losses, teacher = taught
    context = StepContext(step, teacher, distiller.regions)
    found = distiller.terms[0].instances(context)
    boxes, mask = found.boxes.numpy(), found.mask.numpy() > 0
    assert mask.sum() > 4
    expected = 0.0
    for name in ("rpn", "roi"):
        own, given = (trace.stages[name] for trace in (step.trace, teacher))
        valid = own.places.valid_mask(step.targets.pad_shapes).numpy()
        places = np.broadcast_to(own.places.boxes.numpy(), (*valid.shape, 4))
        rows = np.stack([answering(places[n], boxes[n][mask[n]], valid[n]) for n in range(2)])
        assert 0 < rows.sum() < rows.size
        logits = [array_of(stage, "cls_logits") for stage in (own, given)]
        deltas = [array_of(stage, "box_deltas") for stage in (own, given)]
        if name == "rpn":
            p, q = map(sigmoid, logits)
            classes = -(q * np.log(p) + (1 - q) * np.log(1 - p)).sum(2)
        else:
            classes = -(softmax(logits[1]) * np.log(softmax(logits[0]))).sum(2)
            best = logits[1][:, :, :-1].argmax(2)[:, :, None, None]
            deltas = [np.take_along_axis(each, best, 2)[:, :, 0] for each in deltas]
        expected += 2 * classes[rows].mean() + 3 * np.abs(deltas[0] - deltas[1]).sum(2)[rows].mean()
    np.testing.assert_allclose(losses["loss_gid"].item(), expected, rtol=1e-4)


def test_gid_teaches_both_heads_and_the_crops_the_pyramid(taught, detector, step):  # noqa: F811
    losses = taught[1]
    heads = detector.rpn_head, detector.roi_head.bbox_head
    read = [heads[0].rpn_cls, heads[0].rpn_reg, heads[1].fc_cls, heads[1].fc_reg]
    for gradient in jt.grad(losses["loss_gid"], [layer.weight for layer in read]):
        assert np.isfinite(gradient.numpy()).all() and gradient.numpy().any()
    gradients = jt.grad(losses["loss_gid_crops"], [step.features[0], heads[1].fc_cls.weight])
    assert gradients[0].numpy().any() and not gradients[1].numpy().any()


def test_pfi_weighs_cells_by_the_gap_of_objectness(taught, detector, step):  # noqa: F811
    _, losses, teacher = taught
    stages = [trace.stages["rpn"] for trace in (step.trace, teacher)]
    places = stages[0].places
    gaps = (array_of(stages[0], "cls_logits") - array_of(stages[1], "cls_logits"))[:, :, 0] ** 2
    expected = []
    for level, (height, width) in enumerate(places.level_sizes):
        own, given = (trace.features[level].numpy() for trace in (step.trace, teacher))
        gap = gaps[:, places.level_slices[level]].reshape(2, height, width, 3).mean(3)
        expected.append((gap * ((own - given) ** 2).mean(1)).mean())  # both images fill the batch
    np.testing.assert_allclose(losses["loss_pfi"].item() / 1.5, np.mean(expected), rtol=1e-4)
    by_score, by_map = jt.grad(losses["loss_pfi"], [detector.rpn_head.rpn_cls.weight, step.features[1]])
    assert by_score.numpy().any() and by_map.numpy().any()


def test_rank_mimicking_orders_the_anchors_of_an_object(taught, detector, step):  # noqa: F811
    _, losses, teacher = taught
    own, given = (array_of(trace.stages["rpn"], "cls_logits")[0, :, 0] for trace in (step.trace, teacher))
    owners = step.trace.stages["rpn"].assigned.gt_index.numpy()[0]
    drawn = step.trace.stages["rpn"].assigned.positive_mask.numpy()[0] > 0
    divergences = []
    for one in range(3):
        rows = (owners == one) & drawn
        p, q = softmax(given[rows]) if rows.any() else [], softmax(own[rows]) if rows.any() else []
        divergences.append(np.sum(p * np.log(np.divide(p, q))) if rows.any() else 0.0)
    assert np.sum(divergences) > 0
    # The second image has no objects; ranks are nearly equal, so single precision leaves few digits.
    np.testing.assert_allclose(losses["loss_rm"].item() / 4, np.mean(divergences) / 2, rtol=1e-3)
    (gradient,) = jt.grad(losses["loss_rm"], [detector.rpn_head.rpn_cls.weight])
    assert gradient.numpy().any()


def test_cross_roi_is_the_formula(taught, step):  # noqa: F811
    distiller, losses, teacher = taught
    given = teacher.stages["roi"]
    reused = distiller.teacher.detector.predict(step.features, rois=step.rois).stages["roi"]
    real = step.rois.mask.numpy() > 0
    soft = [softmax(array_of(stage, "cls_logits")[real] / 3) for stage in (reused, given)]
    classes = 9 * (soft[1] * np.log(soft[1] / soft[0])).sum() / real.sum()
    scores = softmax(array_of(given, "cls_logits")[real])[:, :-1]
    rows = np.arange(real.sum()), scores.argmax(1)
    gaps = np.abs(array_of(reused, "box_deltas")[real][rows] - array_of(given, "box_deltas")[real][rows])
    boxes = (gaps.sum(1) * scores.max(1)).sum() / (4 * scores.max(1).sum())
    assert boxes > 1e-4
    np.testing.assert_allclose(losses["loss_cross_roi"].item(), 0.5 * classes + boxes, rtol=1e-3)


def test_cross_roi_teaches_the_pyramid_and_no_head(taught, detector, step):  # noqa: F811
    distiller, losses, _ = taught
    own, given = (each.roi_head.bbox_head for each in (detector, distiller.teacher.detector))
    weights = own.fc_cls.weight, own.shared_fcs[0].weight, given.fc_cls.weight
    *by_heads, by_map = jt.grad(losses["loss_cross_roi"], [*weights, step.features[0]])
    assert by_map.numpy().any() and not any(gradient.numpy().any() for gradient in by_heads)


def test_rois_are_read_on_other_maps_in_the_order_of_the_classes(step):  # noqa: F811
    stage, order = step.trace.stages["roi"], [2, 0, 1]
    again = stage.on(step.features)
    changed = stage.reordered(order).on(step.features)
    for key, value in stage.predictions.items():
        np.testing.assert_allclose(again[key].numpy(), value.numpy(), atol=1e-5)
    np.testing.assert_array_equal(changed["box_deltas"].numpy(), again["box_deltas"].numpy()[:, :, order])
    with pytest.raises(ValueError, match="RoIs"):
        dataclasses.replace(step.trace.stages["rpn"]).on(step.features)
