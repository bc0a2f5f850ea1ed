"""JDet's pipelines under jld: samples, truths, seeds, and what cannot be used."""

import pickle

import numpy as np
import pytest

from jld.config.jdet import translate_jdet
from jld.data import BrokenImageError, JDetDataset, collate
from jld.data.jdet_dataset import jdet_sample
from jld.errors import ConfigError, DataError
from jld.registry import build
from tests.jdet_package import jdet, write_labels

_ = jdet


@pytest.fixture
def dataset(jdet, tmp_path):
    folder = write_labels(tmp_path / "data", ("a.png", "b.png", "broken.png", "other_size.png"))
    inside = {"type": "DOTADataset", "dataset_dir": str(folder), "transforms": [{"type": "Anything"}]}
    return build({"type": "JDetDataset", "dataset": inside})


def sample(dataset, index=0, seed=0):
    return dataset.get(index, np.random.default_rng(seed))


def test_samples_are_what_jdets_pipeline_makes(dataset):
    first, second = sample(dataset), sample(dataset, 1)
    assert first["image"].shape == (3, 80, 120) and first["image"].dtype == np.float32
    np.testing.assert_allclose(first["boxes"], [[40, 30, 32, 16, 0.5]])
    assert (first["labels"].tolist(), second["labels"].tolist()) == ([0], [1, 1])
    assert (first["img_id"], first["ori_shape"], first["img_shape"]) == ("a", (40, 60), (80, 120))
    batch = collate([first, second])
    assert batch["boxes"].shape == (2, 8, 5) and batch["scale_factors"].tolist() == [[2] * 4] * 2


def test_equal_seeds_give_equal_samples(dataset):
    assert sample(dataset)["image"][0, 0, 0] == sample(dataset)["image"][0, 0, 0]
    assert sample(dataset)["image"][0, 0, 0] != sample(dataset, seed=1)["image"][0, 0, 0]


def test_annotations_are_those_that_evaluation_needs(dataset):
    assert (len(dataset), dataset.classes) == (4, ("plane", "ship", "harbor"))
    truth = dataset.ground_truth()[0]
    np.testing.assert_allclose(truth["rboxes"][:, :2], [[20, 15], [30, 30]])
    assert truth["difficult"].tolist() == [0, 1] and truth["img_id"] == "a"
    assert dataset.image_sizes().tolist() == [[40, 60]] * 4 and len(dataset.first(1)) == 1


def test_labels_follow_another_order_of_classes(dataset):
    other = dataset.with_classes(("ship", "harbor", "plane"), [1, 2, 0])
    assert sample(other)["labels"].tolist() == [2] and sample(other, 1)["labels"].tolist() == [0, 0]
    assert other.ground_truth()[1]["labels"].tolist() == [0, 0] and sample(dataset)["labels"].tolist() == [0]


def test_images_without_objects_are_left_out_and_said(jdet, tmp_path):
    folder = write_labels(tmp_path / "data", ("a.png", "empty.png", "b.png"))
    options = {"dataset_dir": str(folder), "transforms": [{"type": "Anything"}], "filter_empty_gt": False}
    dataset = JDetDataset({"type": "DOTADataset", **options})
    # JDet itself would show a.png or b.png as the second image, whatever chance says.
    assert dataset.image_ids == ["a", "b"] and sample(dataset, 1)["img_id"] == "b"
    account = dataset.account()
    assert (account.images, account.images_used) == (3, 2)
    assert str(account.images_left_out) == "1 without objects, which JDet never shows, first: empty.png"


def test_an_image_of_a_test_has_neither_boxes_nor_labels():
    target = {"ori_img_size": (60, 40), "img_size": (60, 40), "scale_factor": 1.0, "img_file": "x/a.png"}
    found = jdet_sample(np.zeros((3, 64, 64)), target)
    assert found["boxes"].shape == (0, 4) and found["labels"].shape == (0,) and found["img_id"] == "a"
    assert (found["img_shape"], found["pad_shape"]) == ((40, 60), (64, 64))


def test_a_worker_makes_its_own_pipeline(dataset):
    other = pickle.loads(pickle.dumps(dataset))
    assert "pipeline" not in other.__dict__
    np.testing.assert_array_equal(sample(other)["image"], sample(dataset)["image"])


def test_what_cannot_be_read_or_used_is_said(dataset, jdet):
    with pytest.raises(BrokenImageError, match="cannot identify"):
        sample(dataset, 2)
    with pytest.raises(BrokenImageError, match="image size is different from annotations"):
        sample(dataset, 3)
    for section, said in (
        ({"type": "COCODataset"}, "'COCODataset' has no rotated boxes; use jld's own"),
        ({"type": "Nothing"}, "JDet refuses the section: Nothing is not registered"),
        ({"type": "DOTADataset"}, "JDet refuses the section: .*dataset_dir"),
    ):
        with pytest.raises(ConfigError, match=said):
            JDetDataset(section)
    with pytest.raises(DataError, match=r"labels\.pkl"):
        JDetDataset({**dataset.section, "dataset_dir": "nowhere"})
    plain = JDetDataset({**dataset.section, "transforms": None})
    with pytest.raises(DataError, match="gives a str: let its transforms end with Normalize"):
        sample(plain)


def test_without_jdet_the_message_says_so():
    with pytest.raises(
        ConfigError, match="JDetDataset needs JDet on the Python path: No module named 'jdet'"
    ):
        JDetDataset({"type": "DOTADataset"})


def test_a_config_of_jdet_may_name_it():
    section = {"type": "JDetDataset", "dataset": {"type": "DOTADataset", "dataset_dir": "x"}}
    model = {
        "type": "RotatedRetinaNet",
        "backbone": {"type": "Resnet18", "return_stages": ["layer2", "layer3", "layer4"]},
    }
    with pytest.raises(ConfigError, match=r"this is a config of JDet; model\.neck"):
        translate_jdet({"model": model, "dataset": {"train": section}})
