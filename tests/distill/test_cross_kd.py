"""CrossKD against numbers computed elsewhere, and through real heads against its formula in NumPy."""

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jld.apis import register_parts
from jld.boxes.priors import AnchorGenerator
from jld.config import load_config, to_plain
from jld.distill.terms import CrossKD
from jld.distill.terms.cross_kd import aligned
from jld.errors import ConfigError
from jld.losses.focal import distillation_focal
from jld.losses.iou import giou_loss, iou_loss
from jld.models.boxes import DistanceBoxes, DistributionBoxes
from jld.models.trace import Stage
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.assign.rotated_scenes import rotated_targets
from tests.assign.scenes import make_targets
from tests.distill import check_values
from tests.distill import test_distiller as tiny
from tests.distill.test_bckd import giou, sigmoid
from tests.stages import interface_of, step_of, trace_of

ROOT = Path(__file__).resolve().parents[2]
WIDTH, SIZES, DEPTH = 16, ((8, 8), (4, 4), (2, 2)), 1
ATSS = dict(box_weight=1.0, centerness_weight=1.0)
RETINANET = dict(box_weight=1.0, avg="own_positives")
FCOS = dict(cls_weight=0.4, box_weight=0.75, avg="centerness")
# {name: (config of the head, options of the term, its box loss)}
CASES = {
    "GFL": ("gfl/gfl_r50_1x_coco.py", {}, "kl"),
    "ATSS": ("atss/atss_r50_1x_coco.py", ATSS, "giou"),
    "FCOS": ("fcos/fcos_r50_1x_coco.py", FCOS, "iou"),
    "RetinaNet": ("retinanet/retinanet_r50_1x_coco.py", RETINANET, "giou"),
    "rotated": ("rotated/rotated_retinanet_r18_1x_dota.py", {}, "l1"),
    "rotated, bins": ("rotated/rotated_retinanet_dist_r18_1x_dota.py", {}, "kl"),
}


def test_alignment_has_the_check_values():
    own, given = (jt.array(fill(2, 3, 4, 5)) for fill in (check_values.student, check_values.teacher))
    moved = aligned(own, given)
    values = moved.numpy()
    np.testing.assert_allclose([values[0, 0, 0, 0], values[1, 2, 3, 4]], [0.364801, 0.775089], rtol=4e-6)
    np.testing.assert_allclose((values.astype(np.float64) ** 2).sum(), 262.380973, rtol=2e-6)
    positive = jt.nn.relu(moved).sum()
    np.testing.assert_allclose(positive.item(), 99.762357, rtol=2e-6)
    gradients = [g.numpy() for g in jt.grad(positive, [own, given])]
    np.testing.assert_allclose(gradients[0][0, 0, 0, 0], 0.682874, rtol=1e-5)
    assert not gradients[1].any()


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 4, 5)], ids=["one cell", "constant maps"])
def test_alignment_without_spread_is_finite(shape):
    own, given = jt.array(np.full(shape, 0.5, np.float32)), jt.array(np.full(shape, 2.0, np.float32))
    moved = aligned(own, given)
    gradient = jt.grad((moved * moved).sum(), own).numpy()
    np.testing.assert_allclose(moved.numpy(), 2.0, rtol=1e-6)
    assert not gradient.any()


def test_class_loss_has_the_check_values():
    own, given = map(jt.array, check_values.class_logits())
    rows = distillation_focal(own, given)
    weighted = (rows * jt.array(check_values.LABEL_WEIGHTS)).sum() / 2
    np.testing.assert_allclose([weighted.item(), rows[0, 0].item()], [9.712111, 2.301571], rtol=2e-6)
    gradients = [g.numpy() for g in jt.grad(weighted, [own, given])]
    np.testing.assert_allclose(gradients[0][0, 0, 0], -0.415729, rtol=5e-6)
    assert not gradients[1].any()


class GivenHead(jt.Module):
    """A head whose layers behind the maps that are handed over give these predictions."""

    def __init__(self, reused, boxes):
        self.reused, self.boxes = reused, boxes

    def resume(self, hidden, after):
        return self.reused

    def confidence(self, predictions):
        return jt.sigmoid(predictions["cls_logits"].max(2))

    def decode(self, predictions, places):
        return predictions[self.boxes.key]


def given_step(reused, given, boxes, label_weights=check_values.LABEL_WEIGHTS, total=2.0):
    places = AnchorGenerator((8,)).priors([(2, 3)])
    (reused, given) = ({key: jt.array(value) for key, value in each.items()} for each in (reused, given))
    teacher = Stage(given, places, GivenHead(reused, boxes), hidden={DEPTH: []})
    assignment = SimpleNamespace(
        label_weights=jt.array(label_weights), num_total_pos=jt.array(np.float32([total]))
    )
    student = SimpleNamespace(hidden={DEPTH: []})
    return SimpleNamespace(student=student, teacher=teacher, assignment=assignment, places=places)


def test_the_loss_of_distributions_has_the_check_values():
    reused, given = (
        {"cls_logits": classes, "box_logits": boxes}
        for classes, boxes in zip(check_values.class_logits(), check_values.box_logits(), strict=True)
    )
    step = given_step(reused, given, DistributionBoxes(DistanceBoxes("strides"), 17))
    losses = [
        CrossKD(depth=DEPTH, box_loss="kl", cls_weight=cls, box_weight=box)(step).item()
        for cls, box in ((1.0, 0.0), (0.0, 4.0), (1.0, 4.0))
    ]
    np.testing.assert_allclose(losses, [9.712111, 5.265791, 9.712111 + 5.265791], rtol=2e-6)


def test_losses_of_decoded_boxes_have_the_check_values():
    reused = np.float32([[(0, 0, 10, 10), (5, 5, 25, 15), (0, 0, 4, 4)]])
    given = np.float32([[(2, 1, 12, 9), (5, 5, 20, 20), (6, 6, 9, 9)]])
    wanted = [[0.518391, 0.462121, -0.691358]]
    np.testing.assert_allclose(giou(reused, given), wanted, rtol=2e-6)
    scores = np.float32([[0.9, 0.5, 0.1]])
    logits = np.log(scores / (1 - scores))[..., None]
    for kind, total, value in (("giou", 2.0, 0.435762), ("iou", 1.7, 1.305797)):
        step = given_step(
            {"cls_logits": logits, "box_distances": reused},
            {"cls_logits": logits, "box_distances": given},
            DistanceBoxes(),
            np.ones((1, 3), np.float32),
            total,
        )
        term = CrossKD(depth=DEPTH, box_loss=kind, cls_weight=0.0, box_weight=1.0)
        np.testing.assert_allclose(term(step).item(), value, rtol=5e-6)


@pytest.fixture(scope="module", autouse=True)
def parts():
    register_parts()


@functools.cache
def head_section(path):
    section = to_plain(load_config(ROOT / "configs" / path).model.bbox_head)
    section.update(num_classes=5, in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=2)
    section["priors"]["strides"] = [8, 16, 32]
    if section["type"] == "FCOSHead":
        section["assigner"]["regress_ranges"] = [(-1, 64), (64, 128), (128, 1e8)]
    if section["type"] not in ("RetinaHead", "RotatedRetinaHead"):
        section["num_norm_groups"] = 8
    return section


def new_head(path, seed, **changes):
    """A head of two layers per tower with drawn weights, whose traces keep the maps between them."""
    head = build({**head_section(path), **changes})
    rng = np.random.default_rng(seed)
    for name, var in head.state_dict().items():
        if name.endswith(("weight", "bias")):
            var.assign(jt.array(tiny.fill(name, tuple(var.shape), rng)))
    head.hidden_depths = frozenset({DEPTH})
    return head


def scene_of(name, *, own=None, sizes=SIZES, images=2, objects=True, spread=1.0, frozen=True):
    """(term, context, student's and teacher's head): the second image has no objects."""
    path, options, _ = CASES[name]
    student, teacher = new_head(path, 1, **(own or {})), new_head(path, 2)
    for parameter in teacher.parameters() if frozen else ():
        parameter.stop_grad()
    is_rotated = name.startswith("rotated")
    box = (30, 28, 44, 36, -0.5) if is_rotated else (6, 8, 50, 44)
    rows = [np.float32([box] * (objects and not image)).reshape(-1, len(box)) for image in range(images)]
    pads, labels = [tuple(8 * side for side in sizes[0])] * images, [[2] * len(each) for each in rows]
    targets = (rotated_targets if is_rotated else make_targets)(rows, pads, labels=labels)
    rng = np.random.default_rng(3)
    maps = [
        [jt.array(rng.normal(0, spread, (images, WIDTH, *size)).astype(np.float32)) for size in sizes]
        for _ in range(2)
    ]
    with jt.no_grad():
        stage = teacher.stage(maps[1])
    context = SimpleNamespace(teacher=stage)
    trace = trace_of(student.stage(maps[0], targets), maps[0])
    step = step_of(trace, targets)
    context.step, context.student = step, trace.stage()
    context.assignment, context.places = context.student.assignment, context.student.places
    term = CrossKD(depth=DEPTH, adapter="1x1" if own else None, **options)
    sides = interface_of(student), interface_of(teacher)
    assert term.check(*sides) == []
    term.bind(*sides)
    return term, context, student, teacher


def numpy_aligned(own, given):
    def moments(x):
        x = x.astype(np.float64)
        return x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), ddof=1, keepdims=True)

    (mean, deviation), (wanted_mean, wanted) = moments(own), moments(given)
    return ((own - mean) / (deviation + 1e-6) * wanted + wanted_mean).astype(np.float32)


def handed_over(term, context):
    """NumPy's maps for the teacher's head, a pair per level."""
    own, given = (side.hidden[DEPTH] for side in (context.student, context.teacher))
    return [
        tuple(
            jt.array(numpy_aligned(term.towers[branch](level, mine).numpy(), theirs.numpy()))
            for branch, mine, theirs in zip(("cls", "reg"), *pairs, strict=True)
        )
        for level, pairs in enumerate(zip(own, given, strict=True))
    ]


def expected_loss(term, context, kind):
    """The formula in NumPy, from the teacher's layers behind the maps that NumPy aligned."""
    head, given = context.teacher.head, context.teacher.predictions
    reused = head.resume(handed_over(term, context), DEPTH)
    z, wanted = reused["cls_logits"].numpy().astype(np.float64), sigmoid(given["cls_logits"].numpy())
    weights = context.assignment.label_weights.numpy()
    avg = context.assignment.num_total_pos.item()
    if term.avg == "centerness":
        boxes, centers = context.assignment.target_boxes.numpy(), context.places.centers.numpy()
        sides = np.concatenate([centers - boxes[..., :2], boxes[..., 2:] - centers], -1)
        pairs = [np.sort(sides[..., axis::2], -1) for axis in (0, 1)]
        positive = context.assignment.positive_mask.numpy() > 0
        central = np.sqrt(np.prod([p[positive][:, 0] / p[positive][:, 1] for p in pairs], 0))
        avg = max(central.sum(), 1)
    classes = (np.abs(sigmoid(z) - wanted) * (np.log1p(np.exp(z)) - z * wanted)).sum(2)
    loss = term.cls_weight * (classes * weights).sum() / avg
    scores = wanted.max(2) * weights
    key = head.boxes.key
    first, second = (side[key].numpy().astype(np.float64) for side in (reused, given))
    if kind == "kl":
        logs = [x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (first, second)]
        values = (np.exp(logs[1]) * (logs[1] - logs[0])).sum(-1).mean(2)
        boxes = (scores * values).sum() / scores.sum()
    elif kind == "l1":
        boxes = (scores * np.abs(first - second).mean(2)).sum() / scores.sum()
    else:
        decoded = [head.decode(side, context.places) for side in (reused, given)]
        loss_of = {"giou": giou_loss, "iou": iou_loss}[kind]
        boxes = (scores * loss_of(*decoded).numpy()).sum() / avg
    loss += term.box_weight * boxes
    if term.centerness_weight:
        c, target = reused["centerness_logits"].numpy(), sigmoid(given["centerness_logits"].numpy())
        entropy = np.log1p(np.exp(c)) - c * target
        loss += term.centerness_weight * (entropy * context.assignment.positive_mask.numpy()).sum() / avg
    return loss


@pytest.mark.parametrize("name", CASES)
def test_through_real_heads_it_is_the_formula_and_teaches_only_the_first_layers(name):
    term, context, student, teacher = scene_of(name)
    kind = CASES[name][2]
    assert term.box_loss == kind
    before = {key: var.numpy() for key, var in teacher.state_dict().items()}
    loss = term(context)
    np.testing.assert_allclose(loss.item(), expected_loss(term, context, kind), rtol=1e-4)
    first = [tower[0].conv.weight for tower in (student.cls_convs, student.reg_convs)]
    later = [tower[1].conv.weight for tower in (student.cls_convs, student.reg_convs)]
    last = [var for key, var in student.named_parameters() if not key.startswith(("cls_convs", "reg_convs"))]
    features = list(context.step.features)
    gradients = [g.numpy() for g in jt.grad(loss, [*first, *features, *later, *last])]
    taught = len(first) + len(features)
    assert all(g.any() and np.isfinite(g).all() for g in gradients[:taught])
    assert not any(g.any() for g in gradients[taught:]), "detection losses alone teach the last layers"
    assert all(parameter.is_stop_grad() for parameter in teacher.parameters())
    for key, values in before.items():
        np.testing.assert_array_equal(teacher.state_dict()[key].numpy(), values, err_msg=key)


@pytest.mark.parametrize("name", ["GFL", "FCOS", "rotated", "rotated, bins"])
@pytest.mark.parametrize("what", ["no object", "a level of one cell", "constant maps"])
def test_nothing_to_learn_from_stays_finite(name, what):
    options = {
        "no object": dict(objects=False),
        "a level of one cell": dict(images=1, sizes=((4, 4), (2, 2), (1, 1))),
        "constant maps": dict(spread=0.0),
    }
    term, context, student, _ = scene_of(name, **options[what])
    loss = term(context)
    gradients = [g.numpy() for g in jt.grad(loss, list(student.parameters()))]
    assert np.isfinite(loss.item()) and all(np.isfinite(g).all() for g in gradients)
    if what == "constant maps":  # given the teacher's level they are the teacher's own
        np.testing.assert_allclose(loss.item(), 0, atol=1e-5)
    else:
        assert loss.item() > 1e-3


def test_towers_of_another_width_pass_an_adapter_per_level_and_tower():
    term, context, *_ = scene_of("GFL", own=dict(feat_channels=8))
    names = [f"{branch}.adapter.{level}" for branch in ("cls", "reg") for level in range(3)]
    assert list(term.modules()) == names
    loss = term(context)
    np.testing.assert_allclose(loss.item(), expected_loss(term, context, "kl"), rtol=1e-4)
    gradients = jt.grad(loss, [module.weight for module in term.modules().values()])
    assert all(g.numpy().any() for g in gradients)


def test_a_head_that_learns_is_not_taught_by_what_it_teaches():
    term, context, student, teacher = scene_of("GFL", frozen=False)
    parameters = dict(teacher.named_parameters())
    loss = term(context)
    gradients = jt.grad(loss, [*parameters.values(), student.cls_convs[0].conv.weight])
    assert [g.numpy().any() for g in gradients] == [False] * len(parameters) + [True]
    for name, var in teacher.named_parameters():
        assert var is parameters[name] and not var.is_stop_grad(), name
    own = teacher.resume(handed_over(term, context), DEPTH)["cls_logits"].sum()
    assert jt.grad(own, teacher.gfl_cls.weight).numpy().any()


def problems_of(term, own=None, given=None, path=CASES["GFL"][0]):
    """What is said of two heads of one config with these changes."""
    return term.check(*(interface_of(new_head(path, 1, **(changes or {}))) for changes in (own, given)))


def test_refusals():
    assert problems_of(CrossKD(depth=2)) == []
    (first, second) = problems_of(CrossKD(depth=3))
    assert "after 3 layers, the student's GFLHead has 2: set depth" in first and "the teacher's" in second
    (problem,) = problems_of(CrossKD(depth=1), dict(feat_channels=8))
    assert "have 8 channels, the teacher's 16: add adapter='1x1'" in problem
    assert problems_of(CrossKD(depth=1, adapter="1x1"), dict(feat_channels=8)) == []
    (problem,) = problems_of(CrossKD(depth=1, centerness_weight=1.0))
    assert "the teacher's GFLHead has no centerness" in problem
    (problem,) = problems_of(CrossKD(depth=1), dict(num_classes=3))
    assert "CrossKD compares cls_logits" in problem
    (problem,) = problems_of(CrossKD(depth=1, box_loss="l1"))
    assert "box_loss='l1' is for deltas or distances" in problem
    rotated = CASES["rotated"][0]
    (problem,) = problems_of(CrossKD(depth=1, box_loss="giou"), path=rotated)
    assert "box_loss='giou' is for upright boxes" in problem
    (problem,) = problems_of(CrossKD(depth=1, box_loss="kl"), path=rotated)
    assert "box_loss='kl' needs a teacher that predicts distributions" in problem


def test_options_are_checked():
    for wrong, said in (
        (dict(depth=0), "depth is 0"),
        (dict(box_loss="diou"), "unknown box_loss 'diou'"),
        (dict(avg="centernes"), "did you mean 'centerness'"),
        (dict(adapter="2x2"), "unknown adapter"),
    ):
        with pytest.raises(ConfigError, match=said):
            CrossKD(**wrong)


weights, batches, teacher_file = tiny.weights, tiny.batches, tiny.teacher_file


def test_a_frozen_teacher_hands_gradients_to_the_student_and_keeps_none(weights, batches, teacher_file):
    student = tiny.new_student(weights)
    terms = [dict(type="CrossKD", depth=DEPTH, weight=1.0)]
    distiller = tiny.distilled(student, teacher_file, terms)
    head, teacher = student.bbox_head, distiller.teacher.detector
    before = tiny.model_arrays(teacher)
    losses = distiller(tiny.step_of_batch(student, batches[1]))
    assert set(losses) == {"loss_cross"} and losses["loss_cross"].item() > 0
    neck = "neck.fpn_convs.0.conv.weight"
    taught = [head.cls_convs[0].conv.weight, head.reg_convs[0].conv.weight, student.state_dict()[neck]]
    own = [head.gfl_cls.weight, head.gfl_reg.weight]
    gradients = [g.numpy() for g in jt.grad(losses["loss_cross"], [*taught, *own])]
    assert all(g.any() for g in gradients[:3]) and not any(g.any() for g in gradients[3:])
    plain = tiny.trained(tiny.new_student(weights), batches, None)
    changed = tiny.trained(student, batches, distiller)
    assert np.abs(changed[neck] - plain[neck]).max() > 1e-6
    for name, values in tiny.model_arrays(teacher).items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
