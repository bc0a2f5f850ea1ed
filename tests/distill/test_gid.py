"""General instance distillation: selection, the three comparisons and the whole term, against loops."""

import numpy as np
import pytest

from jld.assign import MaxIoUAssigner
from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill.terms import GID
from jld.distill.terms.gid import (
    class_gain,
    feature_difference,
    general_instances,
    objectness_gain,
    relation_difference,
)
from jld.models.boxes import DeltaBoxes, DistanceBoxes
from jld.ops.roi_align import pyramid_levels, roi_align
from jld.toolchain import jittor as jt
from tests.assign.scenes import make_targets, overlaps, random_boxes
from tests.distill.imitation_scene import (
    OWN,
    PADS,
    PRIORS,
    STRIDES,
    Head,
    bound,
    context,
    interfaces,
)

SETTINGS = {"candidates": 30, "count": 5, "min_side_px": 10.0, "iou_threshold": 0.3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def loop_instances(scores, boxes, shape):
    """Released order: best candidates, clip, drop small ones, suppress, keep the best."""
    kept = []
    for place in np.argsort(-scores, kind="stable")[: SETTINGS["candidates"]]:
        box = np.clip(boxes[place], 0, [shape[1], shape[0]] * 2)
        if scores[place] < 0 or (box[2:] - box[:2]).min() <= SETTINGS["min_side_px"]:
            continue
        if not kept or overlaps(box[None], np.stack(kept)).max() <= SETTINGS["iou_threshold"]:
            kept.append(box)
    return kept[: SETTINGS["count"]]


def test_instances_are_those_of_the_plain_algorithm():
    rng = np.random.default_rng(0)
    boxes = np.stack([random_boxes(rng, 60, 64, 72) for _ in range(3)])
    scores = rng.random((3, 60)).astype(np.float32)
    scores[0, ::5] = -1
    scores[2, 2:] = -1  # two candidates at most
    shapes = np.float32([(64, 72), (40, 50), (64, 72)])
    found = general_instances(*map(jt.array, (scores, boxes, shapes)), **SETTINGS)
    for image in range(3):
        expected = loop_instances(scores[image], boxes[image], shapes[image])
        mask = found.mask.numpy()[image]
        np.testing.assert_array_equal(mask, np.arange(5) < len(expected))
        got = found.boxes.numpy()[image]
        np.testing.assert_allclose(got[mask > 0], expected, rtol=1e-6)
        assert (got[mask == 0] == (0, 0, 1, 1)).all()
    assert found.mask.numpy().sum() < 15


def test_gains():
    student, teacher = np.random.default_rng(1).normal(0, 2, (2, 2, 9, 3)).astype(np.float32)
    scores = [jt.array(sigmoid(logits)) for logits in (student, teacher)]
    gain, leads = objectness_gain(*scores)
    highest = sigmoid(teacher).max(2) - sigmoid(student).max(2)
    np.testing.assert_allclose(gain.numpy(), np.abs(highest), atol=1e-6)
    np.testing.assert_array_equal(leads.numpy(), highest > 0)
    gain, leads = class_gain(*scores)
    difference = sigmoid(teacher) - sigmoid(student)
    np.testing.assert_allclose(gain.numpy(), np.abs(difference).max(2), atol=1e-6)
    largest = np.take_along_axis(difference, np.abs(difference).argmax(2)[..., None], 2)[..., 0]
    np.testing.assert_array_equal(leads.numpy(), largest > 0)


def bilinear(image, y, x):
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    rows = [image[:, row, x0] * (1 - (x - x0)) + image[:, row, x1] * (x - x0) for row in (y0, y1)]
    return rows[0] * (1 - (y - y0)) + rows[1] * (y - y0)


def loop_roi_align(maps, boxes, levels, strides, size, ratio=2):
    n, k = levels.shape
    out = np.zeros((n, k, maps[0].shape[1], size, size))
    steps = (np.arange(size * ratio) + 0.5) / (size * ratio)
    for i, j in np.ndindex(n, k):
        level = levels[i, j]
        x1, y1, x2, y2 = boxes[i, j].astype(np.float64) / strides[level] - 0.5
        for a, b in np.ndindex(size * ratio, size * ratio):
            sample = bilinear(maps[level][i], y1 + (y2 - y1) * steps[a], x1 + (x2 - x1) * steps[b])
            out[i, j, :, a // ratio, b // ratio] += sample / ratio**2
    return out


def test_roi_align_is_the_mean_of_bilinear_samples_and_its_gradient_the_adjoint():
    rng = np.random.default_rng(2)
    maps = [rng.normal(size=(2, 4, *size)).astype(np.float32) for size in PRIORS.level_sizes]
    boxes = np.stack([random_boxes(rng, 4, 64, 72) for _ in range(2)])
    levels = np.int32([[0, 1, 0, 1], [1, 1, 0, 0]])
    pyramid = [jt.array(x) for x in maps]
    got = roi_align(pyramid, jt.array(boxes), jt.array(levels), STRIDES, size=3)
    np.testing.assert_allclose(
        got.numpy(), loop_roi_align(maps, boxes, levels, STRIDES, 3), rtol=1e-4, atol=1e-5
    )
    weights = rng.normal(size=got.shape).astype(np.float32)
    gradients = jt.grad((got * jt.array(weights)).sum(), pyramid)
    # Crops are linear in the maps, so <weights, crops(maps)> must be <gradient, maps>.
    inner = sum((g.numpy().astype(np.float64) * x).sum() for g, x in zip(gradients, maps, strict=True))
    np.testing.assert_allclose(inner, (weights.astype(np.float64) * got.numpy()).sum(), rtol=1e-4)


def test_pyramid_levels():
    sides = np.float32([0, 100, 223.9, 224, 447, 448, 2000])
    boxes = np.stack([sides, sides, 2 * sides, 2 * sides], 1)
    levels = pyramid_levels(jt.array(boxes), (8, 16, 32, 64))
    np.testing.assert_array_equal(levels.numpy(), [0, 0, 0, 1, 1, 2, 3])


def numpy_relation(student, teacher):
    count = len(student)
    distances = []
    for rows in (student.reshape(count, -1), teacher.reshape(count, -1)):
        matrix = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        off = matrix[~np.eye(count, dtype=bool)]
        distances.append(off / off.mean())
    gap = np.abs(distances[0] - distances[1])
    return np.where(gap < 1, gap**2 / 2, gap - 0.5).mean()


@pytest.mark.parametrize("count", [5, 3, 2, 0])
def test_feature_and_relation_differences(count):
    rng = np.random.default_rng(3)
    student, teacher = rng.normal(size=(2, 6, 4, 3, 3))
    mask = np.float32(np.arange(6) < count)
    arrays = [jt.array(x.astype(np.float32)) for x in (student, teacher, mask)]
    feature = ((student - teacher)[:count] ** 2).sum() / max(9 * count, 1)
    np.testing.assert_allclose(feature_difference(*arrays).numpy(), feature, rtol=1e-4)
    relation = numpy_relation(student[:count], teacher[:count]) if count > 2 else 0
    loss = relation_difference(*arrays)
    np.testing.assert_allclose(loss.numpy(), relation, rtol=1e-4)
    gradient = jt.grad(loss, arrays[0]).numpy()
    assert np.isfinite(gradient).all() and gradient.any() == (count > 2)


def test_whole_term_is_the_sum_of_its_parts():
    options = {"feature_weight": 2.0, "relation_weight": 3.0, "cls_weight": 5.0, "box_weight": 7.0}
    selection = {"count": 4, "crop_size": 3, "min_side_px": 4.0}
    term = bound(GID(**options, **selection), OWN, OWN)
    step = context(term, given=OWN)
    instances = term.instances(step)
    mask, boxes = instances.mask.numpy(), instances.boxes.numpy()
    assert mask.sum(1).all()
    sides = np.sqrt((boxes[..., 2:] - boxes[..., :2]).prod(-1))
    levels = np.int32(sides >= 224)
    student, teacher = (
        loop_roi_align([x.numpy() for x in trace.features], boxes, levels, STRIDES, 3)[mask > 0]
        for trace in (step.step.trace, step.teacher_trace)
    )
    expected = 2 * ((student - teacher) ** 2).sum() / (9 * mask.sum()) + 3 * numpy_relation(student, teacher)
    rows = [row[kept > 0] for row, kept in zip(boxes, mask, strict=True)]
    targets = make_targets(rows, PADS)
    positive = MaxIoUAssigner(0.5, 0.5)(PRIORS, targets, step.valid_mask, 3).positive_mask.numpy() > 0
    ours, theirs = (trace.predictions for trace in (step.student, step.teacher))
    p, q = (sigmoid(x["cls_logits"].numpy()) for x in (ours, theirs))
    cross_entropy = -(q * np.log(p) + (1 - q) * np.log(1 - p)).sum(2)
    expected += 5 * cross_entropy[positive].mean()
    distance = np.abs(ours["box_deltas"].numpy() - theirs["box_deltas"].numpy()).sum(2)
    expected += 7 * distance[positive].mean()
    np.testing.assert_allclose(term(step).numpy(), expected, rtol=1e-3)


def test_boxes_are_those_of_the_network_that_is_surer():
    term = bound(GID(count=4, min_side_px=4.0), OWN, OWN)
    step = context(term, given=OWN)
    own, given = (stage.boxes().numpy() for stage in (step.student, step.teacher))
    highest = {
        role: getattr(step, role).predictions["cls_logits"].numpy().max(2) for role in ("student", "teacher")
    }
    surer = (highest["teacher"] > highest["student"])[..., None]
    boxes = np.where(surer, given, own)
    shapes = np.float32(step.targets.img_shapes)[:, None]
    boxes = np.clip(boxes, 0, shapes[..., [1, 0, 1, 0]])
    found = term.instances(step)
    for image, kept in enumerate(found.mask.numpy() > 0):
        gaps = np.abs(found.boxes.numpy()[image][kept][:, None] - boxes[image][None]).max(2)
        assert (gaps.min(1) < 1e-3).all()


def test_no_instance_gives_zero():
    term = bound(GID(count=4, crop_size=3, min_side_px=1e4), OWN, OWN)
    step = context(term, given=OWN)
    loss = term(step)
    assert loss.item() == 0
    gradients = jt.grad(loss, [*step.step.features, *step.student.predictions.values()])
    assert all(np.isfinite(g.numpy()).all() for g in gradients)


def test_without_deltas_decoded_boxes_are_compared_in_strides():
    term = GID(feature_weight=0.0, relation_weight=0.0, cls_weight=0.0, count=4, crop_size=3, min_side_px=4.0)
    heads = [Head(DistanceBoxes(unit="strides")) for _ in range(2)]
    bound(term, OWN, OWN, heads)
    step = context(term, given=OWN, heads=heads)
    for stage in (step.student, step.teacher):
        stage.predictions["box_distances"] = jt.exp(stage.predictions.pop("box_deltas"))
    own, given = (stage.predictions["box_distances"] for stage in (step.student, step.teacher))
    instances = term.instances(step)
    mask = instances.mask.numpy() > 0
    targets = make_targets([row[kept] for row, kept in zip(instances.boxes.numpy(), mask, strict=True)], PADS)
    positive = MaxIoUAssigner(0.5, 0.5)(PRIORS, targets, step.valid_mask, 3).positive_mask.numpy() > 0
    loss = term(step)
    expected = np.abs(own.numpy() - given.numpy()).sum(2)[positive].mean()
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4)
    gradients = jt.grad(loss, [own, given])
    np.testing.assert_array_equal(gradients[0].numpy().any(2), positive)
    assert not gradients[1].numpy().any()


def test_deltas_of_other_coders_are_not_compared():
    """A student whose deltas are a tenth as large, and mean the same boxes."""
    other = DeltaBoxes(DeltaBoxCoder(stds=(10.0, 10.0, 10.0, 10.0)))
    term = GID(feature_weight=0.0, relation_weight=0.0, cls_weight=0.0, count=4, crop_size=3, min_side_px=4.0)
    heads = Head(other), Head()
    bound(term, OWN, OWN, heads)
    step = context(term, given=OWN, heads=heads)
    step.student.predictions["box_deltas"] = step.teacher.predictions["box_deltas"] / 10.0
    assert term(step).item() < 1e-4


def test_heads_that_cannot_serve_are_refused():
    class WithoutClasses(Head):
        def prediction_shapes(self):
            return {"box_logits": (4, 17)}

    rotated = Head(DeltaBoxes(DeltaXYWHAOBBoxCoder("oc")))
    for other, message in ((WithoutClasses(), "needs cls_logits"), (rotated, "those of the teacher")):
        (problem,) = GID().check(*interfaces(OWN, OWN, (Head(), other)))
        assert message in problem
