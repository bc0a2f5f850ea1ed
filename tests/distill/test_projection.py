"""Teacher distributions on the bins of a student that cuts edges otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill.projection import projection
from jld.losses.kl import kl_divergence
from jld.models.boxes import DeltaBoxes, DistanceBoxes, DistributionBoxes
from jld.toolchain import jittor as jt

ROTATED = ((-2.0, 2.0),) * 4 + ((-5.0, 2.0),)


def stage(bins, *, center_offset=0.0, ranges=None):
    """What `projection` asks of a stage: distances in strides, or deltas of rotated boxes with `ranges`."""
    of = DistanceBoxes("strides") if ranges is None else DeltaBoxes(DeltaXYWHAOBBoxCoder("oc"))
    return SimpleNamespace(boxes=DistributionBoxes(of, bins, ranges), center_offset=center_offset)


def test_equal_bins_need_no_projection():
    assert projection(stage(17), stage(17)) is None
    nearly = tuple((first + 1e-8, last + 1e-8) for first, last in ROTATED)
    assert projection(stage(9, ranges=ROTATED), stage(9, ranges=nearly)) is None
    moved = stage(9, ranges=ROTATED, center_offset=0.5)
    assert projection(stage(9, ranges=ROTATED), moved) is None, (
        "deltas are relative to anchors, not to points"
    )


@pytest.mark.parametrize(("own", "given"), [(17, 9), (9, 17), (5, 17)])
def test_probability_is_kept_and_so_is_the_expectation_inside_the_range(own, given):
    matrices = projection(stage(own), stage(given))
    assert matrices.shape == (4, given, own) and (matrices >= 0).all()
    np.testing.assert_allclose(matrices.sum(2), 1, atol=1e-6)
    expected = np.minimum(np.arange(given), own - 1)  # what lies beyond goes to the outermost bin
    np.testing.assert_allclose(matrices @ np.arange(own), np.tile(expected, (4, 1)), atol=1e-6)


def test_points_at_another_place_of_the_cell_shift_the_sides():
    """The student's point lies half a stride right of and below the teacher's."""
    matrices = projection(stage(17, center_offset=0.5), stage(17))
    means = matrices[:, 6] @ np.arange(17)
    np.testing.assert_allclose(means, [6.5, 6.5, 5.5, 5.5], atol=1e-6)


def test_ranges_of_their_own():
    own, given = stage(5, ranges=ROTATED), stage(9, ranges=ROTATED)
    np.testing.assert_array_equal(own.boxes.supports[4], np.linspace(-5, 2, 5, dtype=np.float32))
    matrices = projection(own, given)
    means = np.einsum("sij,sj->si", matrices, own.boxes.supports)
    np.testing.assert_allclose(means, given.boxes.supports, atol=1e-6)


def test_divergence_is_that_of_the_projected_probabilities():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 2, (2, 3, 4, 17)), rng.normal(0, 2, (2, 3, 4, 9))
    matrices, temperature = projection(stage(17), stage(9)), 4.0

    def softened(logits):
        values = np.exp(logits / temperature)
        return values / values.sum(-1, keepdims=True)

    q = np.einsum("npst,stb->npsb", softened(teacher), matrices)
    p = softened(student)
    inside = q > 0
    expected = np.where(inside, q * (np.log(np.where(inside, q, 1)) - np.log(p)), 0).mean(-1) * temperature**2
    own = jt.array(student.astype(np.float32))
    value = kl_divergence(own, jt.array(teacher.astype(np.float32)), temperature, jt.array(matrices))
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-4, atol=1e-5)
    gradient = jt.grad(value.sum(), own).numpy()
    np.testing.assert_allclose(gradient, (p - q) * temperature / 17, rtol=1e-3, atol=1e-5)
