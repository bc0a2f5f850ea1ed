"""Samplers: how many places of an assignment they take, and what a config may ask for."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.assign import RandomSampler, SpreadSampler
from jld.assign.assignment import IGNORED
from jld.errors import ConfigError
from jld.toolchain import jittor as jt

INDEX = np.int32([[0, 2, 0, 1, *[-1] * 40, *[IGNORED] * 5], [3, *[IGNORED] * 8, *[-1] * 40]])


def taken(sampler):
    """(positives, negatives) of both images, and where they are."""
    weights = (INDEX != IGNORED).astype(np.float32)
    weights[1, -10:] = 0  # cells of padding
    assignment = SimpleNamespace(gt_index=jt.array(INDEX), label_weights=jt.array(weights))
    sample = sampler(assignment, jt.array(np.int32([5, 6])))
    chosen, places = sample.chosen.numpy(), sample.places.numpy()
    assert places.shape == (2, sampler.num) and not chosen[weights == 0].any()
    return [
        (int(row[index >= 0].sum()), int(row[index == -1].sum()))
        for row, index in zip(chosen, INDEX, strict=True)
    ], places


@pytest.mark.parametrize("kind", [RandomSampler, SpreadSampler])
def test_counts(kind):
    assert taken(kind(8, 0.25))[0] == [(2, 6), (1, 7)]
    assert taken(kind(64, 0.5))[0] == [(4, 40), (1, 30)]
    assert taken(kind(64, 0.5, neg_pos_ub=3))[0] == [(4, 12), (1, 3)]
    assert kind(512, 0.25).most_positives == 128


def test_the_spread_choice_takes_every_so_many():
    _, places = taken(SpreadSampler(8, 0.25))
    assert places[0].tolist() == [0, 2, *[4 + i * 40 // 6 for i in range(6)]]


@pytest.mark.parametrize("options", [{"num": 0}, {"pos_fraction": 1.5}])
def test_impossible_shares_are_refused(options):
    with pytest.raises(ConfigError, match="pos_fraction"):
        RandomSampler(**options)
