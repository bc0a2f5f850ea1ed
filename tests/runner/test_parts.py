"""Loaders as the ranks of an `mpirun` get them."""

import pytest

from jld.data import DrawnDataset
from jld.errors import ConfigError
from jld.runner import parts


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setattr(parts, "rank", lambda: 1)
    monkeypatch.setattr(parts, "world_size", lambda: 2)


@pytest.fixture
def dataset():
    return DrawnDataset(split="train", num_images=5, image_size=64, transforms=[])


def test_a_rank_trains_on_its_part_of_every_batch_whether_shuffled_or_not(second_of_two, dataset):
    loader = parts.build_loader({"batch_size": 2}, dataset, 0, is_training=True)
    # The last batch has one image, and is filled up with the first.
    assert [indices.tolist() for indices in loader.plan.epoch(0)] == [[1], [3], [0]]
    assert loader.on_broken == "replace"  # a batch left out would leave the other rank waiting


def test_a_rank_is_scored_on_whole_batches(second_of_two, dataset):
    loader = parts.build_loader({"batch_size": 2, "shuffle": False}, dataset, 0, is_training=False)
    assert [indices.tolist() for indices in loader.plan.epoch(0)] == [[2, 3]]
    assert loader.on_broken == "skip"


def test_a_batch_that_the_ranks_cannot_share_is_refused(second_of_two, dataset):
    with pytest.raises(ConfigError, match=r"dataset\.train: batch_size 3 cannot be divided over 2 processes"):
        parts.build_loader({"batch_size": 3}, dataset, 0, is_training=True)
