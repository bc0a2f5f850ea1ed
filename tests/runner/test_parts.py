"""Loaders of ranks; optimizers, schedules and metric of a config; classes of datasets and weights."""

import logging
import pickle

import numpy as np
import pytest

from jld.data import COCODataset, DrawnDataset, DrawnOrientedDataset, RotatedRandomCrop
from jld.errors import ConfigError, DataError
from jld.evaluation import CocoEvaluator, CrowdHumanEvaluator, DotaEvaluator, VocEvaluator
from jld.runner import parts
from jld.toolchain import jittor as jt
from tests.tiny_data import write_coco


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
    assert "student: lr 0.01 is meant for 16 images" in said and "with 4 it becomes 0.01." in said
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
    with pytest.raises(ConfigError, match=r"best_metric is 'mMR', of which the lowest is the best"):
        parts.best_metric({"best_metric": "mMR"}, CrowdHumanEvaluator(), ["a"])


def test_an_evaluator_must_say_what_decides():
    assert parts.best_metric({"best_metric": "AP50"}, PlainEvaluator(), ["a"]) == "AP50"
    with pytest.raises(ConfigError, match=r"PlainEvaluator does not say which .* set best_metric"):
        parts.best_metric({"best_metric": None}, PlainEvaluator(), ["a"])


@pytest.fixture
def splits(tmp_path):
    """Train and val with the same categories in another order."""
    categories = [{"id": 3, "name": "cat"}, {"id": 13, "name": "dog"}]
    train = write_coco(tmp_path / "train", categories=categories)
    val = write_coco(tmp_path / "val", categories=categories[::-1])
    return {"train": COCODataset(*map(str, train)), "val": COCODataset(*map(str, val))}


def weights(tmp_path, key, *classes):
    path = tmp_path / "weights.pkl"
    state = {"meta": {"classes": list(classes)}, "model": {"conv.weight": np.zeros((2, 2), np.float32)}}
    path.write_bytes(pickle.dumps(state))
    return key, path


def names(dataset):
    return [dataset.classes[label] for label in dataset.table.labels]


def test_val_follows_train_by_name(splits, caplog):
    with caplog.at_level(logging.INFO):
        agreed = parts.agree_on_classes(splits, None, logging.getLogger("t"))
    assert agreed["val"].classes == agreed["train"].classes == ("cat", "dog")
    assert agreed["val"].category_ids == (3, 13) and agreed["train"] is splits["train"]
    assert names(agreed["val"]) == names(splits["val"]) and "dataset.val has the classes of" in caplog.text


@pytest.mark.parametrize("key", ["pretrained_weights", "resume_path"])
def test_train_follows_the_weights_it_starts_from(splits, tmp_path, caplog, key):
    with caplog.at_level(logging.INFO):
        start = weights(tmp_path, key, "dog", "cat")
        agreed = parts.agree_on_classes(splits, start, logging.getLogger("t"))
    assert {split: each.classes for split, each in agreed.items()} == dict.fromkeys(splits, ("dog", "cat"))
    assert names(agreed["train"]) == names(splits["train"]) == names(agreed["val"])
    assert f"dataset.train has the classes of {key} {start[1]} in another order" in caplog.text


def test_weights_of_other_classes_are_a_start_and_no_state(splits, tmp_path, caplog):
    log = logging.getLogger("t")
    agreed = parts.agree_on_classes(splits, weights(tmp_path, "pretrained_weights", "cat", "cow"), log)
    assert agreed["train"] is splits["train"]
    assert (
        "cat, dog" in caplog.text
        and "cat, cow" in caplog.text
        and "goes on from these weights" in caplog.text
    )
    for start in (("resume_path", "cat", "cow"), ("pretrained_weights", "cat", "dog", "cow")):
        with pytest.raises(ConfigError, match=r"dataset\.train has the 2 classes cat, dog"):
            parts.agree_on_classes(splits, weights(tmp_path, *start), log)


def test_a_dataset_without_anything_to_learn_is_refused(tmp_path, splits):
    assert parts.account_of("train", splits["train"])["trained"] == 6
    crowd = {"id": 1, "image_id": 100, "category_id": 3, "bbox": [5, 5, 20, 20], "iscrowd": 1}
    only_crowds = COCODataset(*map(str, write_coco(tmp_path / "crowds", annotations=[crowd])))
    assert parts.account_of("val", only_crowds)["ignored"]["crowds"]["count"] == 1
    with pytest.raises(DataError, match="no object to learn from"):
        parts.account_of("train", only_crowds)


def test_assigners_that_take_crowds_for_background_are_named(tmp_path, caplog):
    crowd = {"id": 1, "image_id": 100, "category_id": 3, "bbox": [5, 5, 20, 20], "iscrowd": 1}
    both = [crowd, {**crowd, "id": 2, "iscrowd": 0}]
    dataset = COCODataset(*map(str, write_coco(tmp_path, annotations=both)))
    model = {
        "rpn_head": {"assigner": {"type": "MaxIoUAssigner", "ignore_iof_thr": 0.5}},
        "roi_head": {"assigner": {"type": "MaxIoUAssigner"}},
    }
    with caplog.at_level(logging.INFO):
        parts.account_of("val", dataset, model)
        assert "background to" not in caplog.text
        parts.account_of("train", dataset, model)
    assert "is background to model.roi_head.assigner, as in mmDetection" in caplog.text


def test_assigners_that_take_what_a_crop_cuts_for_background_are_named(caplog):
    model = {"bbox_head": {"assigner": {"type": "MaxIoUAssigner"}}}
    for transforms in ([], [RotatedRandomCrop([32, 32])]):
        dataset = DrawnOrientedDataset(num_images=3, image_size=64, transforms=transforms)
        with caplog.at_level(logging.INFO):
            parts.account_of("train", dataset, model)
        assert ("is background to model.bbox_head.assigner" in caplog.text) == bool(transforms)


def test_the_length_of_a_training_in_steps():
    epochs = {"max_iter": None, "max_epoch": 3, "accumulate_steps": 2}
    assert parts.num_steps(epochs, num_batches=5) == 9
    assert parts.num_steps({**epochs, "max_iter": 7, "max_epoch": None}, num_batches=5) == 7
