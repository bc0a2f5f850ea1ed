"""Promises of a config that the parts of a run cannot keep are found before it starts."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jld.config import fill_defaults
from jld.config.jdet.keys import CLASS_IOU
from jld.data import DrawnDataset, DrawnOrientedDataset, ImageDataset, ImageFolder
from jld.data.dota import DOTA1_CLASSES
from jld.data.rotated_transforms import PolyRandomRotate, RandomRotateAug, RotatedRandomCrop, RotatedResize
from jld.distill import FrozenTeacher, LabelGuidedTeacher
from jld.errors import ConfigError
from jld.models import Detector, InputStatistics, Interface, StageInterface
from jld.models.boxes import DeltaBoxes, DistanceBoxes, DistributionBoxes
from jld.runner.checks import check_lessons, check_run


class Sure(Detector):
    """A detector that is nothing but what it says of itself."""

    def __init__(self, interface):
        self.told = interface

    @property
    def interface(self):
        return self.told


def detector(num_classes, num_sides=4, angle_version=None, classes=()):
    boxes = DeltaBoxes(SimpleNamespace(num_values=num_sides, angle_version=angle_version))
    stage = StageInterface("Head", num_classes, {}, boxes, (), {})
    return Sure(Interface(classes, (8,), 1, None, {"dense": stage}))


UPRIGHT, ROTATED = detector(5), detector(4, 5)


def drawn(**options):
    return DrawnDataset(num_images=3, image_size=32, **options)


def oriented():
    return DrawnOrientedDataset(num_images=3, image_size=32)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    cv2.imwrite(str(folder / "a.png"), np.zeros((4, 5, 3), np.uint8))
    return str(folder)


def problems(datasets, found_by, sections=None, *, writes_results=False, **config):
    """The message of the check, "" where it passes; `sections` are keys of the dataset sections."""
    dataset = {split: {"type": type(each).__name__} for split, each in datasets.items()}
    for split, keys in (sections or {}).items():
        dataset[split] |= keys
    try:
        resolved = fill_defaults({"model": {}, "dataset": dataset, **config})
        check_run(resolved, datasets, found_by, writes_results=writes_results)
    except ConfigError as error:
        return str(error)
    return ""


def test_all_splits_are_normalised_alike():
    data = {"train": drawn(), "val": drawn()}
    step = {"type": "Normalize", "mean": [1, 2, 3], "std": [1, 1, 1]}
    finder = detector(5)
    finder.normalisation = InputStatistics((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), is_rgb=True)
    assert problems(data, finder, {key: {"transforms": [step]} for key in data}) == ""
    other = {"train": {"transforms": [step]}, "val": {"transforms": [{**step, "to_rgb": False}]}}
    assert problems(data, finder, other) == (
        "dataset.val: the images are BGR mean 1, 2, 3 std 1, 1, 1, and the detector takes "
        "RGB mean 1, 2, 3 std 1, 1, 1: make Normalize alike."
    )


def finder_of_masks():
    told = detector(5).interface
    return Sure(replace(told, stages=told.stages | {"mask": told.stage()}))


def test_masks_are_learned_and_scored_where_there_are_some():
    finder, masked = finder_of_masks(), drawn(with_masks=True)
    assert problems({"train": masked, "val": masked}, finder) == ""
    assert problems({"val": drawn(), "test": drawn()}, finder) == ""  # scored by its boxes
    assert "masks found in several views" in problems({"val": masked}, finder, flip_test=["H"])
    said = problems({"train": drawn()}, finder)
    assert "dataset.train: Sure learns masks, and DrawnDataset gives none: set with_masks=True" in said
    said = problems({"train": masked, "val": masked}, UPRIGHT)
    assert (
        said
        == "dataset.val: with_masks asks for scores of masks, and Sure has no masks: set with_masks=False."
    )
    wanted = {"val": {"evaluator": {"type": "CocoEvaluator", "with_masks": True}}}
    assert "and DrawnDataset has no masks" in problems({"val": drawn()}, finder, wanted)


def test_labels_with_masks_are_taught_where_there_are_masks():
    teachers = {"teacher": LabelGuidedTeacher(masks=True), "other": FrozenTeacher.__new__(FrozenTeacher)}
    for form in (True, "bitmaps"):
        check_lessons(teachers, drawn(with_masks=form))
    check_lessons({"teacher": LabelGuidedTeacher()}, oriented())
    for dataset in (drawn(), oriented()):
        with pytest.raises(ConfigError, match=r"'teacher' reads masks, and dataset\.train gives none: set"):
            check_lessons(teachers, dataset)


def test_parts_that_suit_each_other_pass(images):
    assert problems({"train": drawn(times=2), "val": drawn()}, UPRIGHT, {"train": {"shuffle": True}}) == ""
    assert problems({"val": oriented()}, ROTATED, flip_test=["H", "HV"]) == ""
    assert (
        problems({"test": ImageFolder(images)}, ROTATED)
        == problems({"test": ImageFolder(images)}, UPRIGHT)
        == ""
    )
    aerial = ImageDataset(images)
    assert problems({"test": aerial}, detector(15, 5), flip_test=["V"], merge_iou_threshold=CLASS_IOU) == ""


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_boxes_of_the_other_kind(split):
    said = problems({split: oriented()}, detector(4))
    assert f"dataset.{split}: DrawnOrientedDataset holds rotated boxes" in said and "upright ones" in said
    said = problems({split: drawn()}, detector(5, 5))
    assert f"dataset.{split}: DrawnDataset holds upright boxes" in said and "rotated ones" in said


def test_upright_detectors_are_told_what_reads_images_without_labels(images):
    assert "ImageFolder serves either kind" in problems({"test": ImageDataset(images)}, UPRIGHT)


def test_distributions_have_the_angles_of_what_they_expect():
    deltas = detector(4, 5, "oc").interface.stage().boxes
    assert DistributionBoxes(deltas, 9).angle_version == "oc"
    assert DistributionBoxes(DistanceBoxes(), 17).angle_version is None


@pytest.mark.parametrize("split", ["val", "test"])
def test_views_that_cannot_be_joined(split, images):
    assert problems({split: drawn()}, UPRIGHT, flip_test=["H"], scale_test=[0.5]) == ""
    said = problems({split: drawn()}, UPRIGHT, scale_test=[0])
    assert f"dataset.{split}: scale_test=[0]: write factors" in said
    said = problems({split: drawn()}, UPRIGHT, merge_iou_threshold=0.2)
    assert "merge_iou_threshold=0.2 joins" in said
    said = problems({split: oriented()}, ROTATED, merge_iou_threshold=CLASS_IOU)
    assert "merge_iou_threshold has no threshold for pier" in said and "merge_nms_threshold_type=0" in said


@pytest.mark.parametrize(
    ("evaluator", "said"),
    [
        (
            "CocoEvaluator",
            "CocoEvaluator compares upright boxes, and DrawnOrientedDataset holds rotated ones",
        ),
        ({"type": "VocEvaluator", "metric": "area"}, "DotaEvaluator is taken"),
        ({"type": "DotaEvaluator", "protocol": "devkit"}, "DotaEvaluator.protocol is 'devkit'"),
    ],
)
def test_evaluators_that_do_not_suit_the_boxes(evaluator, said):
    assert said in problems({"val": oriented()}, ROTATED, {"val": {"evaluator": evaluator}})


def test_angles_of_another_version_are_not_learned():
    said = problems({"train": oriented()}, detector(4, 5, "oc"))
    assert "dataset.train: angle_version is 'le135', but the detector's box_coder has 'oc'" in said
    assert problems({"train": oriented()}, detector(4, 5, "le135")) == ""
    assert problems({"val": oriented()}, detector(4, 5, "oc")) == ""  # corners are compared


def test_names_that_a_result_file_cannot_hold(tmp_path):
    cv2.imwrite(str(tmp_path / "a b.png"), np.zeros((4, 5, 3), np.uint8))
    spaced = {"test": ImageDataset(str(tmp_path))}
    said = problems(spaced, detector(15, 5), writes_results=True)
    assert said == "dataset.test: 1 image cannot be named in a result file, the name holds a space: 'a b'."
    assert problems(spaced, detector(15, 5)) == ""  # drawn, and not written


def test_upright_boxes_may_be_scored_as_polygons():
    assert problems({"val": drawn()}, UPRIGHT, {"val": {"evaluator": "DotaEvaluator"}}) == ""


def test_data_that_cannot_be_learned_from_or_scored(images):
    folder = ImageFolder(images, classes=["a"])
    assert "dataset.train: ImageFolder has no labels to learn from" in problems(
        {"train": folder}, detector(1)
    )
    assert "dataset.val: ImageFolder has no labels to score with" in problems({"val": folder}, detector(1))
    said = problems(
        {"val": ImageDataset(images)},
        detector(len(DOTA1_CLASSES), 5),
        {"val": {"evaluator": "DotaEvaluator"}},
    )
    assert "dataset.val: ImageDataset has no labels to score with" in said


@pytest.mark.parametrize("split", ["val", "test"])
def test_images_that_would_be_seen_twice_or_never(split):
    assert "DrawnDataset shows images several times" in problems({split: drawn(times=2)}, UPRIGHT)
    for key in ("shuffle", "drop_last"):
        assert f"dataset.{split}: {key}:" in problems({split: drawn()}, UPRIGHT, {split: {key: True}})


def test_what_cannot_be_brought_back_to_the_image_is_for_training():
    def turned(*transforms):
        return DrawnOrientedDataset(num_images=3, image_size=32, transforms=transforms)

    crop = RotatedRandomCrop([16, 16])
    assert problems({"train": turned(crop)}, ROTATED) == ""
    said = problems({"val": turned(RotatedResize(32, 32), crop)}, ROTATED)
    assert "dataset.val: transforms.1 is RotatedRandomCrop, after which nothing leads back" in said
    assert "PolyRandomRotate" in problems({"test": turned(PolyRandomRotate())}, ROTATED)
    assert "RandomRotateAug" in problems({"val": turned(RandomRotateAug(True))}, ROTATED)
    assert problems({"val": turned(RandomRotateAug())}, ROTATED) == ""


def test_keys_and_classes_in_the_wrong_place():
    said = problems({"train": drawn()}, UPRIGHT, {"train": {"evaluator": "VocEvaluator"}})
    assert "dataset.train: evaluator: nothing is scored in training" in said
    named = detector(5, classes=(*drawn().classes[:4], "star"))
    said = problems({"val": drawn()}, named)
    assert "the dataset has the 5 classes disc, ring" in said and "'cross' is not among them" in said


def test_everything_is_said_at_once():
    said = problems({"train": oriented(), "val": drawn(times=3)}, detector(9), scale_test=[1])
    assert (
        "num_classes is 9, but the dataset has 4" in said
        and "num_classes is 9, but the dataset has 5" in said
    )
    for text in ("holds rotated boxes", "several times", "scale_test"):
        assert text in said
