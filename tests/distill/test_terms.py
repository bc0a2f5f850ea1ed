"""Distillation terms and their reductions against plain NumPy, with a hand-made trace for a detector."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.distill import StepContext
from jld.distill.reduction import REDUCTIONS, level_membership, reduce_over_region
from jld.distill.terms import ClassificationKD, LocalizationKD
from jld.errors import ConfigError
from jld.models.heads.dense_head import DenseHead
from jld.models.trace import Stage
from jld.toolchain import jittor as jt
from tests.stages import step_of, trace_of

N, C, B = 2, 3, 5
PRIORS = AnchorGenerator(strides=[8, 16]).priors([(4, 3), (2, 2)])  # 12 + 4 priors
P = len(PRIORS)
PAD = np.array([[32, 24], [32, 24]], np.float32)


def fixed_region(weights):
    return lambda context: jt.array(weights)


class Head(DenseHead):
    """A dense head without layers."""

    num_classes = C


def stage(seed, requires_grad=True):
    rng = np.random.default_rng(seed)
    predictions = {
        "cls_logits": jt.array(rng.normal(size=(N, P, C)).astype(np.float32)),
        "box_logits": jt.array(rng.normal(size=(N, P, 4, B)).astype(np.float32)),
    }
    if not requires_grad:
        predictions = {key: value.stop_grad() for key, value in predictions.items()}
    return Stage(predictions, PRIORS, Head())


def context(student, teacher, region):
    region = region if callable(region) else fixed_region(region)
    step = step_of(trace_of(student), SimpleNamespace(pad_shapes=PAD))
    return StepContext(step, trace_of(teacher), {"main": region})


def test_what_a_step_does_not_have_is_named():
    step = step_of(trace_of(stage(0)), SimpleNamespace(pad_shapes=PAD))
    alone = StepContext(step, None, {"gi": lambda context: context.teacher.confidence()})
    with pytest.raises(ValueError, match="no teacher"):
        alone.region("gi")
    with pytest.raises(ValueError, match="no assignment"):
        alone.assignment  # noqa: B018 (asked for what it raises)


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    weights = rng.random((N, P)).astype(np.float32)
    weights[rng.random((N, P)) < 0.5] = 0
    weights[:, 12:] = 0  # the second level is empty
    return weights


def numpy_kl(student, teacher, temperature):
    def log_softmax(z):
        z = z / temperature - (z / temperature).max(-1, keepdims=True)
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    q, r = log_softmax(teacher.astype(np.float64)), log_softmax(student.astype(np.float64))
    return temperature**2 * (np.exp(q) * (q - r)).mean(-1)


def numpy_reduce(values, mask, reduction):
    if reduction == "sum":
        return values.sum()
    if reduction == "per_image":
        return values.sum() / N
    if reduction == "mean":
        return values.sum() / max(mask.sum(), 1)
    levels = [slice(0, 12), slice(12, 16)]
    return sum(values[:, level].sum() / max(mask[:, level].sum(), 1) for level in levels)


@pytest.mark.parametrize("reduction", sorted(REDUCTIONS))
def test_reductions_match_numpy(weights, reduction):
    mask = (weights > 0).astype(np.float32)
    got = reduce_over_region(jt.array(weights), jt.array(mask), PRIORS, reduction)
    np.testing.assert_allclose(got.numpy(), numpy_reduce(weights, mask, reduction), rtol=1e-5)


def test_level_membership_counts_every_prior_once():
    membership = level_membership(PRIORS).numpy()
    np.testing.assert_array_equal(membership.sum(0), [12, 4])
    np.testing.assert_array_equal(membership.sum(1), np.ones(P))


@pytest.mark.parametrize("weighting", ["uniform", "iou", "max_score"])
def test_localization_kd_matches_the_formula(weights, weighting):
    student, teacher = stage(1), stage(2, requires_grad=False)
    term = LocalizationKD(temperature=10, weighting=weighting, reduction="sum")
    cls_logits = student.predictions["cls_logits"].numpy()
    factor = {
        "uniform": weights > 0,
        "iou": weights,
        "max_score": (weights > 0) / (1 + np.exp(-cls_logits.max(-1))),
    }[weighting]
    kl = numpy_kl(student.predictions["box_logits"].numpy(), teacher.predictions["box_logits"].numpy(), 10)
    got = term(context(student, teacher, weights))
    np.testing.assert_allclose(got.numpy(), (factor * kl.mean(-1)).sum(), rtol=1e-4)


def test_joint_sides_are_one_distribution(weights):
    student, teacher = stage(1), stage(2, requires_grad=False)
    term = LocalizationKD(weighting="uniform", sides="joint")
    rows = [t.predictions["box_logits"].numpy().reshape(N, P, 4 * B) for t in (student, teacher)]
    np.testing.assert_allclose(
        term(context(student, teacher, weights)).numpy(),
        ((weights > 0) * numpy_kl(*rows, 10)).sum(),
        rtol=1e-4,
    )


def test_classification_kd_is_a_mean_per_level(weights):
    student, teacher = stage(3), stage(4, requires_grad=False)
    kl = numpy_kl(student.predictions["cls_logits"].numpy(), teacher.predictions["cls_logits"].numpy(), 2)
    mask = (weights > 0).astype(np.float64)
    got = ClassificationKD()(context(student, teacher, weights))
    np.testing.assert_allclose(got.numpy(), numpy_reduce(kl * mask, mask, "per_level_mean"), rtol=1e-4)


@pytest.mark.parametrize("term", [LocalizationKD(), ClassificationKD()])
def test_equal_teacher_gives_zero_loss_and_zero_gradient(weights, term):
    student = stage(5)
    loss = term(context(student, stage(5, requires_grad=False), weights))
    logits = student.predictions[term.requires[0]]
    np.testing.assert_allclose(loss.numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(jt.grad(loss, logits).numpy(), 0, atol=1e-7)


def test_gradient_reaches_the_student_inside_the_region_and_never_the_teacher(weights):
    student, teacher = stage(6), stage(7)  # the teacher could take a gradient here; it must not
    loss = LocalizationKD()(context(student, teacher, weights))
    to_student, to_teacher, to_scores = jt.grad(
        loss,
        [
            student.predictions["box_logits"],
            teacher.predictions["box_logits"],
            student.predictions["cls_logits"],
        ],
    )
    inside = weights > 0
    magnitude = np.abs(to_student.numpy()).sum((-1, -2))
    assert (magnitude[inside] > 0).all()
    assert (magnitude[~inside] == 0).all()
    assert not to_teacher.numpy().any()
    assert not to_scores.numpy().any()  # the score that weights a row is a constant


def test_empty_region_gives_zero(weights):
    loss = ClassificationKD()(context(stage(1), stage(2, requires_grad=False), np.zeros_like(weights)))
    assert loss.item() == 0


def test_a_region_and_a_divergence_are_computed_once(weights):
    calls = []

    def region(_):
        calls.append(1)
        return jt.array(weights)

    step = context(stage(1), stage(2), region)
    first = LocalizationKD(weighting="uniform").divergence(step)
    second = LocalizationKD(weighting="iou", reduction="mean").divergence(step)
    assert step.region("main") is step.region("main")
    assert len(calls) == 1
    np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_names_say_term_and_region():
    assert LocalizationKD().name == "loss_ld"
    assert LocalizationKD("vlr").name == "loss_ld_vlr"
    assert ClassificationKD("vlr").name == "loss_kd_vlr"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weighting": "max_scores"}, "did you mean 'max_score'"),
        ({"reduction": "per_images"}, "did you mean 'per_image'"),
        ({"temperature": 0.5}, "below 1"),
        ({"sides": "all"}, "'mean', 'sum' or 'joint'"),
        ({"name": "ld"}, "must contain 'loss'"),
    ],
)
def test_bad_arguments_say_what_would_do(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LocalizationKD(**arguments)
