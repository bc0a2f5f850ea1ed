"""Loaders as the ranks of an `mpirun` get them; optimizers, schedules and the metric of a config."""

import pytest

from jld.data import DrawnDataset
from jld.errors import ConfigError
from jld.evaluation import CocoEvaluator, DotaEvaluator, VocEvaluator
from jld.runner import parts
from jld.toolchain import jittor as jt


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


def config_of(optimizer, scheduler=None, **others):
    train = {"batch_size": 4}
    defaults = {
        "auto_scale_lr": None,
        "precision": "float32",
        "accumulate_steps": 1,
        "dataset": {"train": train},
    }
    return {"optimizer": optimizer, "scheduler": scheduler, **defaults, **others}


TWO = {
    "student": {"type": "SGD", "lr": 0.01, "match": "*", "but_not": "distill.*"},
    "teacher": {
        "type": "SGD",
        "lr": 0.04,
        "momentum": 0.9,
        "match": "distill.*",
        "grad_clip": {"max_value": 1.0},
    },
}


def params():
    return {name: jt.ones(2) for name in ("backbone.w", "distill.lgd.w")}


def test_optimizers_of_a_config_have_their_own_parameters_and_rates():
    config = config_of(TWO, auto_scale_lr={"base_batch_size": 16})
    optimizer, said = parts.build_optimizer(config, params())
    assert [(name, [slot.name for slot in each.slots]) for name, each in optimizer.members.items()] == [
        ("student", ["backbone.w"]),
        ("teacher", ["distill.lgd.w"]),
    ]
    assert optimizer.rates == pytest.approx({"student": 0.0025, "teacher": 0.01})
    assert "lr 0.01 is meant for 16 images" in said and "with 4 it becomes 0.01." in said
    with pytest.raises(ConfigError, match=r"no `match` covers neck\.w"):
        parts.build_optimizer(config_of({"student": TWO["teacher"]}), {"neck.w": jt.ones(1), **params()})
    with pytest.raises(ConfigError, match=r"auto_scale_lr needs optimizer\.lr"):
        parts.build_optimizer(config_of({"type": "Adam"}, auto_scale_lr={}), params())


def test_schedules_of_a_config_belong_to_optimizers():
    steps = {"type": "StepLR", "milestones": [3]}
    assert parts.build_schedule(config_of(TWO)) is None
    assert parts.build_schedule(config_of(TWO, steps)).milestones == [3]
    assert list(parts.build_schedule(config_of(TWO, {"teacher": steps}))) == ["teacher"]
    with pytest.raises(
        ConfigError, match=r"scheduler\.teecher belongs to no optimizer: did you mean 'teacher'"
    ):
        parts.build_schedule(config_of(TWO, {"teecher": steps}))


class PlainEvaluator:
    def __call__(self, detections, ground_truth, classes):
        return {"AP": -1.0, "AP50": -1.0, "protocol": "plain"}


@pytest.mark.parametrize("evaluator", [CocoEvaluator(), VocEvaluator(), DotaEvaluator()])
def test_the_deciding_metric_is_known_before_training(evaluator):
    assert parts.best_metric({"best_metric": None}, evaluator, ["a"]) == "AP"
    assert parts.best_metric({"best_metric": "AP75"}, evaluator, ["a", "b"]) == "AP75"
    with pytest.raises(ConfigError, match=r"best_metric is 'mAP', which .* use one of AP, AP50"):
        parts.best_metric({"best_metric": "mAP"}, evaluator, ["a"])


def test_an_evaluator_must_say_what_decides():
    assert parts.best_metric({"best_metric": "AP50"}, PlainEvaluator(), ["a"]) == "AP50"
    with pytest.raises(ConfigError, match=r"PlainEvaluator does not say which .* set best_metric"):
        parts.best_metric({"best_metric": None}, PlainEvaluator(), ["a"])
