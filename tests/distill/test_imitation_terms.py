"""Terms on feature maps and on priors of objects, against their formulas written in NumPy."""

import numpy as np
import pytest

from jld.distill.non_local import NonLocalBlock
from jld.distill.terms import (
    BCKD,
    CWD,
    FBKD,
    FGD,
    FGFI,
    GID,
    MGD,
    PFI,
    PKD,
    DeFeat,
    FeatureImitation,
    GlobalKnowledge,
    InstanceRelations,
    RankMimicking,
    RobustFeatures,
    RobustLabels,
)
from jld.distill.terms.fbkd import channel_attention, spatial_attention
from jld.distill.terms.rank_mimicking import rank_divergence
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.distill.imitation_scene import (
    GIVEN,
    OWN,
    P,
    bound,
    context,
    interfaces,
    numpy_levels,
    parameters,
    with_prototypes,
)

INCLUDED = {"all": {"type": "All", "padding": "included"}}
SMALL_BLOCKS = {"inner_channels": (2, 3), "pooling": (2, 8)}


def cell_masks(context, region):
    """[N, H, W] per level, 1 where a prior of the cell is in the region."""
    return [level.max(3) > 0 for level in numpy_levels(context.region(region).numpy())]


def adapted_pairs(term, context):
    """The adapted student's and the teacher's maps per level, in NumPy."""
    return [
        (term.adapters(level, student).numpy(), teacher.numpy())
        for level, student, teacher in context.feature_levels()
    ]


def error(student, teacher, mask, channels):
    return (((student - teacher) ** 2).sum(1) * mask).sum() / max(1, 2 * channels * mask.sum())


@pytest.mark.parametrize(("divisor", "channels"), [("values", GIVEN), ("cells", 1)])
def test_fgfi_is_the_formula(divisor, channels):
    term = bound(FGFI(divisor=divisor, relu=divisor == "cells"))
    step = context(term)
    expected = []
    masks = cell_masks(step, "fine_grained_own_level")
    assert masks[0].any() and not masks[0].all()
    for (student, teacher), mask in zip(adapted_pairs(term, step), masks, strict=True):
        student = np.maximum(student, 0) if term.relu else student
        expected.append(error(student, teacher, mask, channels))
    np.testing.assert_allclose(term(step).numpy(), np.mean(expected), rtol=1e-4)


@pytest.mark.parametrize("regions", [None, INCLUDED], ids=["valid cells", "padding too"])
def test_defeat_is_the_formula(regions):
    term = bound(DeFeat())
    step = context(term, regions=regions)
    expected = []
    for (student, teacher), inside, everywhere in zip(
        adapted_pairs(term, step),
        cell_masks(step, "inside_own_level"),
        cell_masks(step, "all"),
        strict=True,
    ):
        outside = everywhere & ~inside
        expected.append(
            3 * error(student, teacher, inside, GIVEN) + 12 * error(student, teacher, outside, GIVEN)
        )
    np.testing.assert_allclose(term(step).numpy(), np.mean(expected), rtol=1e-4)


def test_feature_imitation_counts_a_cell_once_and_only_on_shared_strides():
    """Two priors per cell; then a teacher that lacks the second stride, whose cells must not be counted."""
    term = FeatureImitation("all", reduction="mean")
    step = context(term, given=OWN)
    masks = cell_masks(step, "all")
    errors = [
        ((student.numpy() - teacher.numpy()) ** 2).mean(1)[mask]
        for (_, student, teacher), mask in zip(step.feature_levels(), masks, strict=True)
    ]
    np.testing.assert_allclose(term(step).numpy(), np.concatenate(errors).mean(), rtol=1e-4)
    step = context(term, given=OWN, teacher_levels=1)
    np.testing.assert_allclose(term(step).numpy(), errors[0].mean(), rtol=1e-4)


def test_pfi_is_the_formula():
    term = bound(PFI(), own=OWN, given=OWN)
    assert not term.modules()
    step = context(term, given=OWN)
    logits = [trace.predictions["cls_logits"].numpy() for trace in (step.student, step.teacher)]
    gaps = [level.mean(3) for level in numpy_levels(((logits[0] - logits[1]) ** 2).mean(2))]
    expected = []
    for (_, student, teacher), gap, mask in zip(
        step.feature_levels(), gaps, cell_masks(step, "all"), strict=True
    ):
        product = gap * ((student.numpy() - teacher.numpy()) ** 2).mean(1)
        expected.append(product[mask].mean())
    np.testing.assert_allclose(term(step).numpy(), np.mean(expected), rtol=1e-4)


def test_pfi_gap_is_a_constant_weight_on_request():
    gradients = {}
    for through in (True, False):
        term = bound(PFI(gradient_through_gap=through, scores="probabilities", adapter=1))
        step = context(term)
        gradients[through] = jt.grad(term(step), step.student.predictions["cls_logits"]).numpy()
    assert gradients[True].any() and not gradients[False].any()


def test_rank_divergence_is_a_kl_per_object():
    rng = np.random.default_rng(4)
    student, teacher = rng.normal(0, 3, (2, 2, 12)).astype(np.float32)
    student[0, 0] = 90.0  # its exponential is out of float32's reach
    owners = rng.integers(-2, 3, (2, 12)).astype(np.int32)
    owners[0, 0], owners[1] = 1, -1
    got = rank_divergence(*map(jt.array, (student, teacher, owners)), num_objects=4).numpy()
    expected = np.zeros((2, 4))
    for image, one in zip(*np.nonzero(expected == 0), strict=True):
        rows = [scores[image, owners[image] == one].astype(np.float64) for scores in (student, teacher)]
        if len(rows[0]):
            log_q, log_p = (row - row.max() - np.log(np.exp(row - row.max()).sum()) for row in rows)
            expected[image, one] = (np.exp(log_p) * (log_p - log_q)).sum()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_rank_mimicking_is_a_mean_over_objects_and_images():
    term = RankMimicking()
    step = context(term)
    owners, labels = step.assignment.gt_index.numpy(), step.assignment.labels.numpy()
    scores = []
    for trace in (step.student, step.teacher):
        logits = np.concatenate([trace.predictions["cls_logits"].numpy(), np.zeros((2, P, 1))], 2)
        scores.append(np.take_along_axis(logits, labels[..., None], 2)[..., 0].astype(np.float32))
    divergence = rank_divergence(*map(jt.array, (*scores, owners)), num_objects=8).numpy()
    assert (divergence[0, :2] > 0).all()
    np.testing.assert_allclose(term(step).numpy(), divergence[0, :2].mean() / 2, rtol=1e-4)


def softmax(values, axis):
    values = np.exp(values - values.max(axis, keepdims=True))
    return values / values.sum(axis, keepdims=True)


def test_attentions():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    spatial = softmax(np.abs(x).mean(1).reshape(2, 15) / 0.1, 1).reshape(2, 3, 5) * 15
    np.testing.assert_allclose(spatial_attention(jt.array(x), 0.1).numpy(), spatial, rtol=1e-4)
    channel = softmax(np.abs(x).mean((2, 3)) / 0.5, 1) * 4
    np.testing.assert_allclose(channel_attention(jt.array(x), 0.5).numpy(), channel, rtol=1e-4)


def test_non_local_block_is_the_pairwise_formula():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    block = NonLocalBlock(4, 3, pooling=2)
    np.testing.assert_array_equal(block(jt.array(x)).numpy(), x)  # starts as the identity
    block.bn_weight, block.bn_bias = (jt.array(rng.normal(size=4).astype(np.float32)) for _ in range(2))

    def conv(layer, maps):
        weight, bias = layer.weight.numpy()[:, :, 0, 0], layer.bias.numpy()
        return np.einsum("oi,nihw->nohw", weight, maps) + bias[:, None, None]

    def pooled(maps):
        windows = maps[:, :, :4].reshape(2, 3, 2, 2, 3, 2)  # the odd last row has no window
        return windows.max((3, 5)).reshape(2, 3, 6)

    theta = conv(block.theta, x).reshape(2, 3, 30)
    phi, g = pooled(conv(block.phi, x)), pooled(conv(block.g, x))
    pairs = np.einsum("ndp,ndq->npq", theta, phi) / 6
    y = conv(block.out, np.einsum("npq,ndq->ndp", pairs, g).reshape(2, 3, 5, 6))
    mean, var = y.mean((0, 2, 3), keepdims=True), y.var((0, 2, 3), keepdims=True)
    weight, bias = (values.numpy()[:, None, None] for values in (block.bn_weight, block.bn_bias))
    expected = x + (y - mean) / np.sqrt(var + 1e-5) * weight + bias
    np.testing.assert_allclose(block(jt.array(x)).numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("given", [GIVEN, OWN], ids=["wider teacher", "equal widths"])
def test_fbkd_is_the_sum_of_its_norms(given):
    term = bound(
        FBKD(attention_weight=2.0, pooling_weight=3.0, non_local_weight=5.0, **SMALL_BLOCKS), OWN, given
    )
    step = context(term, given=given)
    expected = 0.0
    for level, student, teacher in step.feature_levels():
        parts = term.blocks[level]
        attention = (spatial_attention(student, 0.1) + spatial_attention(teacher, 0.1)).numpy()[:, None] / 2
        channel = channel_attention(teacher, 0.1).numpy()
        if given == OWN:
            channel = (channel + channel_attention(student, 0.1).numpy()) / 2
        weights = attention * channel[:, :, None, None]
        seen = parts.non_local(parts.student_block(student)).numpy()
        feature, seen_teacher = parts.feature(student).numpy(), parts.teacher_block(teacher).numpy()
        means = parts.channel(student.mean([2, 3])).numpy()
        places = parts.spatial(student.mean(1, keepdims=True)).numpy()
        teacher = teacher.numpy()
        expected += 2 * np.sqrt(((teacher - feature) ** 2 * weights).sum())
        expected += 3 * np.linalg.norm(teacher.mean((2, 3)) - means)
        expected += 3 * np.linalg.norm(teacher.mean(1, keepdims=True) - places)
        expected += 5 * np.linalg.norm(seen_teacher - seen)
    np.testing.assert_allclose(term(step).numpy(), expected, rtol=1e-4)
    term.images_per_norm = 4
    np.testing.assert_allclose(term(step).numpy(), expected * 2**0.5, rtol=1e-4)


TERMS = {
    "FeatureImitation": lambda: FeatureImitation(
        "fine_grained", adapter="1x1", student_channels=OWN, teacher_channels=GIVEN
    ),
    "FGFI": FGFI,
    "DeFeat": DeFeat,
    "PFI": lambda: PFI(adapter=3),
    "RankMimicking": RankMimicking,
    "FBKD": lambda: FBKD(**SMALL_BLOCKS),
    "GID": lambda: GID(adapter=3, count=4, crop_size=3, min_side_px=4),
    "PKD": lambda: PKD(adapter=1),
    "CWD": lambda: CWD(reads="features", adapter=1),
    "CWD on logits": CWD,
    "BCKD": BCKD,
    "FGD": lambda: FGD(adapter=1),
    "MGD": lambda: MGD(adapter=1),
    "RobustFeatures": lambda: with_prototypes(RobustFeatures(max_instances=20)),
    "RobustLabels": lambda: with_prototypes(RobustLabels()),
    "GlobalKnowledge": lambda: with_prototypes(GlobalKnowledge()),
    "InstanceRelations": InstanceRelations,
}


NOTHING_WITHOUT_OBJECTS = (
    "FGFI", "RankMimicking", "FeatureImitation", "RobustLabels", "GlobalKnowledge", "InstanceRelations"
)  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_gradients_reach_student_and_adapters_and_never_the_teacher(name):
    """A wider teacher, two priors per cell, one image without objects; then no object at all."""
    term = bound(TERMS[name]())
    for boxes in (None, []):
        step = context(term) if boxes is None else context(term, boxes=np.zeros((0, 4), np.float32))
        loss = term(step)
        students, teachers = (
            [*trace.features, *trace.stage().predictions.values()]
            for trace in (step.step.trace, step.teacher_trace)
        )
        own = parameters(term)
        gradients = [g.numpy() for g in jt.grad(loss, [*students, *own, *teachers])]
        assert np.isfinite(loss.numpy()).all() and all(np.isfinite(g).all() for g in gradients)
        assert not any(g.any() for g in gradients[len(students) + len(own) :])
        if boxes is None:
            assert loss.item() > 0 and any(g.any() for g in gradients[: len(students)])
            assert all(g.any() for g in gradients[len(students) : len(students) + len(own)])
        elif name in NOTHING_WITHOUT_OBJECTS:
            assert loss.item() == 0  # without objects there is nothing to imitate


@pytest.mark.parametrize("term", [PFI(), GID()])
def test_other_widths_need_an_adapter(term):
    (problem,) = term.check(*interfaces())
    assert f"{OWN} channels, the teacher's {GIVEN}: add adapter" in problem


def test_options_are_checked():
    with pytest.raises(ConfigError, match="did you mean 'values'"):
        FGFI(divisor="value")
    with pytest.raises(ConfigError, match="did you mean 'logits'"):
        PFI(scores="logit")
    with pytest.raises(ConfigError, match="unknown scores"):
        GID(scores="logits")
    (problem,) = FBKD().check(*interfaces())
    assert "5 and 5 levels, the student has 2" in problem
