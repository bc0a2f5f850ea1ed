"""Terms of global knowledge on given maps, instances and prototypes, against the released code."""

import dataclasses
import itertools
from functools import partial

import numpy as np
import pytest

from jld.assign.assignment import make_assignment
from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.places import Places
from jld.distill import Distiller, Lesson, StepContext
from jld.distill.instances import Prototypes, cells_of, positives_of
from jld.distill.schedule import EpochDecay
from jld.distill.terms import GlobalKnowledge, InstanceRelations, RobustFeatures, RobustLabels
from jld.errors import ConfigError
from jld.models import Targets
from jld.models.boxes import DeltaBoxes
from jld.models.interface import Interface, StageInterface
from jld.models.trace import Stage, Trace
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill
from tests.models.golden_models import assert_sampled
from tests.stages import step_of

CASES = [
    "g_losses_two_default",
    "g_losses_two_one",
    "g_losses_two_small",
    "g_losses_two_empty_first",
    "g_losses_two_empty",
    "g_losses_one_default",
    "g_losses_one_empty_first",
    "g_losses_one_empty",
]
STRIDES = {"two": (4, 8, 16, 32, 64), "one": (8, 16, 32, 64, 128)}
PLAIN = {"padding": "included", "outside": "mirror"}  # as released


class Head:
    """What a stage of RoIs asks of its head here: nothing."""

    boxes = DeltaBoxes(DeltaBoxCoder())


def padded(items, shape, dtype=np.float32):
    """[N, R, ...] of a list of [r, ...], and their mask; R is the largest r, at least 2 for equal kernels."""
    slots = max(2, *map(len, items))
    values, mask = np.zeros((len(items), slots, *shape), dtype), np.zeros((len(items), slots), np.float32)
    for row, item in enumerate(items):
        values[row, : len(item)], mask[row, : len(item)] = item, 1
    return values, mask


class Scene:
    """A golden case: every instance is an RoI, and every RoI is positive."""

    def __init__(self, name, changes=None):
        self.meta, self.arrays = case(name)
        self.arrays = self.arrays | (changes or {})
        self.given = {key: fill.generate(spec) for key, spec in self.meta["generated"].items()}
        self.strides = STRIDES[name.split("_")[2]]
        self.sums = "sum" if "_one_" in name else "mean"
        counts = [len(self.arrays[f"in/pos_labels/{n}"]) for n in range(2)]
        self.logits = self.rows("cls_score", counts)
        boxes, mask = padded([self.arrays[f"in/pos_bboxes/{n}"] for n in range(2)], (4,))
        labels, _ = padded([self.arrays[f"in/pos_labels/{n}"] for n in range(2)], (), np.int32)
        self.counts, self.mask = counts, mask
        self.num_classes = len(self.arrays["in/cls_start_index"]) - 1
        empty = jt.zeros((2, 1, 4))
        shapes = np.float32([(self.size(0)[0] * self.strides[0], self.size(0)[1] * self.strides[0])] * 2)
        self.targets = Targets(
            jt.array(boxes), jt.array(labels), jt.array(mask), empty, jt.zeros((2, 1)), shapes, shapes
        )
        r = mask.shape[1]
        roi_levels = self.arrays.get("out/roi_level", np.zeros(sum(counts)))  # of two stages
        levels, _ = padded(np.split(roi_levels, [counts[0]]), (), np.int32)
        self.places = Places(
            boxes=jt.array(boxes), centers=jt.zeros((2, r, 2)), strides=jt.ones((2, r)),
            levels=jt.array(levels), level_strides=self.strides[:4], mask=jt.array(mask),
        )  # fmt: skip
        owners = np.where(mask > 0, np.arange(r), -1).astype(np.int32)
        assignment = make_assignment(
            jt.array(owners), jt.array(mask), self.targets, jt.array(mask), self.num_classes
        )
        student = Stage({"cls_logits": jt.array(self.logits)}, self.places, Head(), assignment)
        teacher = Stage({"cls_logits": jt.array(self.rows("teacher_cls_score", counts))}, self.places, Head())
        self.student, self.teacher = (
            Trace(tuple(jt.array(self.given[f"{key}/{k}"]) for k in range(5)), self.strides, {"roi": stage})
            for key, stage in (("x", student), ("teacher_x", teacher))
        )

    def size(self, level):
        return self.meta["generated"][f"x/{level}"]["shape"][2:]

    def rows(self, key, counts):
        """Logits of all instances, image by image, in slots."""
        values = self.given.get(key, np.zeros((0, 6), np.float32))
        return padded(np.split(values, [counts[0]]), values.shape[1:])[0]

    def interface(self):
        shapes = {"cls_logits": (self.logits.shape[2],)}
        stage = StageInterface("RoIHead", self.num_classes, shapes, Head.boxes, ("cls_logits",), {})
        return Interface((), self.strides, 16, None, {"roi": stage})

    def prototypes(self):
        starts = self.arrays["in/cls_start_index"]
        most = int(np.diff(starts).max())
        mask = np.zeros((5, self.num_classes, most))
        spaces = [np.zeros((5, self.num_classes, most, 16), np.float32) for _ in range(2)]
        for level in range(5):
            for side, found in zip(("student", "teacher"), spaces, strict=True):
                for label, (first, end) in enumerate(itertools.pairwise(starts)):
                    rows = self.given[f"proto_{side}/{level}"][first:end]
                    found[level, label, : len(rows)] = rows
                    mask[level, label, : len(rows)] = 1
        return Prototypes(*spaces, mask)

    def bound(self, term, prototypes=True):
        side = self.interface()
        assert term.check(side, side) == []
        term.bind(side, side)
        state = fill.state_dict(self.meta, "adapter")
        for level, conv in enumerate(term.modules().values()):
            own = {key.split(".", 3)[3]: value for key, value in state.items() if f".{level}.0." in key}
            conv.load_state_dict({key: jt.array(value) for key, value in own.items()})
        if prototypes:
            term.use(self.prototypes())
        return term

    def context(self):
        return StepContext(step_of(self.student, self.targets), self.teacher, {}, stage="roi")

    def expected(self, loss, run="full"):
        value = self.arrays[f"loss/{run}/{loss}"]
        return 0.0 if np.isnan(value).all() else float(value.sum())

    def assert_gradients(self, value, loss, run="full", rtol=1e-4):
        """Of the student's maps, where the case holds them."""
        keys = [f"grad/{run}/{loss}/x/{k}" for k in range(5)]
        maps = list(self.student.features)
        for key, gradient in zip(keys, jt.grad(value, maps), strict=True):
            if f"{key}/sample" in self.arrays:
                assert_sampled(self.meta, self.arrays, key, gradient.numpy(), rtol)


def test_a_mirrored_box_across_a_border_keeps_a_cell():
    boxes = jt.array(np.float32([(-40, -9, 12, 20), (10, 4, 300, 300), (-300, -300, -40, -9)]))
    read = partial(cells_of, boxes, 8.0, (6, 7), inclusive=True)
    assert read(outside="mirror").numpy().tolist() == [[5, 1, 5, 2], [1, 0, 6, 5], [6, 5, 6, 5]]
    assert read(outside="clip").numpy().tolist() == [[0, 0, 1, 2], [1, 0, 6, 5], [0, 0, 0, 0]]


@pytest.fixture(scope="module", params=CASES)
def scene(request):
    return Scene(request.param)


def test_agreement_on_every_level(scene):
    term = scene.bound(GlobalKnowledge(outside="mirror"))
    found = term.reader.similarities(scene.context(), term.prototypes)
    for level in range(5):
        got = found[level].agreement.numpy()
        for n, count in enumerate(scene.counts):
            if count:
                expected = scene.arrays[f"out/r/{level}/{n}"]
                np.testing.assert_allclose(got[n, :count], expected, rtol=1e-5, atol=1e-6)


def test_masks_are_painted_in_order(scene):
    term = scene.bound(RobustFeatures(**PLAIN))
    context = scene.context()
    for level in range(5):
        key = f"out/mask/{level}"
        expected = scene.arrays[key] if key in scene.arrays else np.zeros((2, *scene.size(level)))
        got = term.objects(context, level).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert ((got > 0) == (expected > 0)).all()


@pytest.mark.parametrize(("loss", "weights"), [("loss_kd_point", (1.0, 0.0)), ("loss_bg_point", (0.0, 4.0))])
def test_feature_losses(scene, loss, weights):
    for run, weighted in (("full", True), ("no_proto", False)):
        settings = PLAIN | {"over_levels": scene.sums, "weighted": weighted}
        term = scene.bound(RobustFeatures(1.0, *weights, **settings), prototypes=weighted)
        value = term(scene.context())
        np.testing.assert_allclose(value.item(), scene.expected(loss, run), rtol=1e-4, atol=1e-6)
        scene.assert_gradients(value, loss, run)


def test_soft_labels(scene):
    described_by = "roi_align" if scene.sums == "mean" else "cells"
    for run, weighted in (("full", True), ("no_proto", False)):
        term = scene.bound(RobustLabels(weighted=weighted, described_by=described_by, outside="mirror"))
        context = scene.context()
        value = term(context)
        weights = scene.arrays.get("out/soft_weight", np.zeros(0))
        if weighted and len(weights):
            agreed = term.agreement(term.reader, context, term.prototypes).numpy()[scene.mask > 0]
            np.testing.assert_allclose(agreed, weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(value.item(), scene.expected("loss_kd_soft", run), rtol=1e-4, atol=1e-6)
        key = f"grad/{run}/loss_kd_soft/cls_score"
        if key in scene.arrays and np.isfinite(scene.arrays[key]).all():
            logits = context.student.predictions["cls_logits"]
            got = jt.grad(value, logits).numpy()[scene.mask > 0]
            expected = scene.arrays[key]
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max(initial=0))


def test_global_knowledge(scene):
    term = scene.bound(GlobalKnowledge(outside="mirror"))
    value = term(scene.context()) * term.weight
    np.testing.assert_allclose(value.item(), scene.expected("loss_kd_pair"), rtol=1e-4, atol=1e-6)
    scene.assert_gradients(value, "loss_kd_pair")


def test_relations(scene):
    if np.isnan(scene.arrays["loss/rkd/loss_kd_rkd_dis"]).any():
        # A negative coordinate, or a single instance: the release gives NaN.
        value = scene.bound(InstanceRelations(), prototypes=False)(scene.context())
        assert (
            np.isfinite(value.item()) and np.isfinite(jt.grad(value, scene.student.features[0]).numpy()).all()
        )
        return
    for loss, weights in (("loss_kd_rkd_dis", (5.0, 0.0)), ("loss_kd_rkd_angle", (0.0, 10.0))):
        value = scene.bound(InstanceRelations(1.0, *weights), prototypes=False)(scene.context())
        np.testing.assert_allclose(value.item(), scene.expected(loss, "rkd"), rtol=1e-4, atol=1e-6)
        # The release makes small distances of differences of large squares, in single precision.
        scene.assert_gradients(value, loss, "rkd", rtol=1e-3)


@pytest.fixture(scope="module")
def default():
    return Scene("g_losses_two_default")


def test_a_corner_on_the_border_marks_the_last_cell():
    """The release stops with an IndexError (`g_losses_border`, whose map has half the sides of this one)."""
    _, arrays = case("g_losses_border")
    boxes = np.concatenate([2 * arrays["in/pos_bboxes"], [[-40, -9, -20, -3]]]).astype(np.float32)
    changed = {f"in/pos_bboxes/{n}": boxes for n in range(2)} | {
        f"in/pos_labels/{n}": [0, 1] for n in range(2)
    }
    scene = Scene("g_losses_two_default", changed)
    shown = scene.bound(RobustFeatures(weighted=False), prototypes=False).objects(scene.context(), 0).numpy()
    assert (shown[:, 63, 79] == 1).all() and (shown[:, 0, 0] == 1).all() and shown.sum() == 4


def test_more_positives_than_slots_are_represented_evenly(default):
    few = positives_of(default.student.stages["roi"], 5)
    np.testing.assert_array_equal(few.rows.numpy(), [[0, 2, 4, 7, 9], [0, 1, 3, 5, 7]])
    np.testing.assert_array_equal(few.boxes.numpy()[1], default.arrays["in/pos_bboxes/1"][[0, 1, 3, 5, 7]])
    assert few.mask.numpy().all()


def test_equal_spaces_agree_and_scale_does_not_matter(default):
    term = default.bound(GlobalKnowledge())
    both = default.prototypes().student
    term.use(Prototypes(both, both, default.prototypes().mask))
    twice = Trace(tuple(x * 3.0 for x in default.student.features), default.strides, default.teacher.stages)
    context = StepContext(step_of(default.student, default.targets), twice, {}, stage="roi")
    assert abs(term(context).item()) < 1e-9
    agreed = term.reader.similarities(context, term.prototypes)[0].agreement.numpy()
    np.testing.assert_allclose(agreed[default.mask > 0], 1, atol=1e-5)


def test_a_class_without_prototypes_counts_fully(default):
    given = default.prototypes()
    mask = given.mask.copy()
    mask[:, 5] = 0
    term = default.bound(GlobalKnowledge())
    term.use(Prototypes(given.student, given.teacher, mask))
    found = term.reader.similarities(default.context(), term.prototypes)[1].agreement.numpy()
    labels = default.targets.labels.numpy()
    assert (found[(labels == 5) & (default.mask > 0)] == 1).all()
    assert (found[(labels != 5) & (default.mask > 0)] < 1).all()


def test_terms_share_what_they_have_in_common(default, monkeypatch):
    terms = [default.bound(each) for each in (GlobalKnowledge(), RobustLabels(), RobustFeatures())]
    terms[1].use(terms[0].prototypes), terms[2].use(terms[0].prototypes)
    calls, whole = [], Prototypes.similarities
    monkeypatch.setattr(Prototypes, "similarities", lambda *a, **b: calls.append(0) or whole(*a, **b))
    context = default.context()
    assert all(np.isfinite(term(context).item()) for term in terms)
    assert len(calls) == 10  # two spaces, five levels


def test_a_term_without_prototypes_is_refused_before_training():
    distiller = Distiller({}, [], {})
    distiller.begin(10, 5)  # nothing to lack
    distiller.lessons = [Lesson(RobustLabels()), Lesson(RobustFeatures(weighted=False))]
    with pytest.raises(
        ConfigError, match=r"loss_robust_labels compares with prototypes, .*PrototypeHook"
    ) as e:
        distiller.begin(10, 5)
    assert "loss_robust_features" not in str(e.value)


def test_attenuation_is_equal_within_an_epoch():
    schedule = EpochDecay()
    with pytest.raises(ValueError, match="how long the training is"):
        schedule.factor(0)
    schedule.follow(total_steps=24 * 7, steps_per_epoch=7)
    released = [1 - epoch / 24 for epoch in range(24)]
    np.testing.assert_allclose([schedule.factor(step) for step in range(24 * 7)], np.repeat(released, 7))
    meta, arrays = case("g_losses_two_default")
    later = schedule.factor(7 * meta["strategy"]["later"]["epoch"])
    for loss in ("loss_kd_point", "loss_bg_point", "loss_kd_pair"):
        np.testing.assert_allclose(
            arrays[f"loss/full/{loss}"] * later, arrays[f"loss/later/{loss}"], rtol=1e-6
        )
    assert arrays["loss/full/loss_kd_soft"] == arrays["loss/later/loss_kd_soft"]


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="over_levels='max' must be one of mean, sum"):
        RobustFeatures(over_levels="max")
    with pytest.raises(ConfigError, match=r"max_instances=0 must be 1 or more"):
        GlobalKnowledge(max_instances=0)
    with pytest.raises(ConfigError, match="activation='softmx'"):
        RobustLabels(activation="softmx")
    with pytest.raises(ConfigError, match="described_by='crop'"):
        RobustLabels(described_by="crop")


def test_crops_need_the_maps_of_both(default):
    own = default.interface()
    coarse = dataclasses.replace(own, strides=own.strides[1:])
    (problem,) = RobustLabels(described_by="roi_align").check(own, coarse)
    assert "it has those of (8, 16, 32, 64): set described_by='cells'" in problem
