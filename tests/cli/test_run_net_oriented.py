"""The command line on patches of drawn aerial images: training, scores of whole images, zip, pictures."""

import json

import cv2
import numpy as np
import pytest

import jld
from jld.apis import analyze
from jld.cli import main
from jld.data import DrawnOrientedDataset
from jld.data.aerial_shapes import KINDS
from jld.data.dota import SplitSettings, check_submission, find_images, read_label_file, split_dataset
from jld.evaluation import DotaEvaluator
from tests.cli.tiny_config import ROOT
from tests.submissions import read_submission
from tests.tiny_data import write_dota

TEXT = """
_base_ = {base!r}
_transforms = [
    dict(type="RotatedResize", min_size=64, max_size=64),
    dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    dict(type="Pad", size_divisor=32),
]
model = dict(
    backbone=dict(base_channels=8, pretrained=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(
        num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1, score_threshold=0.0, nms_pre=20
    ),
)
_patches = dict(
    type="DOTADataset", dataset_dir={patches!r}, classes={classes!r}, angle_version="oc", batch_size=2
)
dataset = dict(
    train=dict(
        _patches, shuffle=True,
        transforms=[dict(type="RotatedRandomFlip", direction="diagonal"), *_transforms],
    ),
    val=dict(_patches, transforms=_transforms, filter_empty_gt=False),
    test=dict(
        type="ImageDataset", images_dir={images!r}, classes={classes!r}, transforms=_transforms, batch_size=2
    ),
)
optimizer = dict(type="SGD", lr=0.001, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35))
logger = dict(type="RunLogger", loggers=["TextLogger"])
max_iter = 2
log_interval = 1
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config file, work dir) after two steps."""
    folder = tmp_path_factory.mktemp("oriented")
    drawn = DrawnOrientedDataset("val", 2, (64, 100), seed=1)
    source, patches = write_dota(folder / "source" / "val", drawn), folder / "patches"
    settings = SplitSettings(64, 28, keep_empty=True)
    split_dataset(find_images([source]), patches, settings, classes=KINDS)
    text = TEXT.format(
        base=str(ROOT / "configs/_base_/models/rotated_retinanet_r18_fpn.py"),
        patches=str(patches),
        images=str(patches / "images"),
        classes=list(KINDS),
    )
    config = folder / "tiny.py"
    config.write_text(text)
    assert run(config, folder / "work") == 0
    return config, folder / "work"


def run(config, work_dir, *flags):
    return main(["--config-file", str(config), "--work_dir", str(work_dir), "--cpu", *map(str, flags)])


def test_training_scores_whole_images_and_patches(trained):
    rows = [json.loads(line) for line in (trained[1] / "log.jsonl").read_text().splitlines()]
    assert [set(row) >= {"loss_cls", "loss_bbox"} for row in rows if "total_loss" in row] == [True, True]
    scores = next(row for row in rows if "eval/AP50" in row)
    assert "eval/patch_AP50" in scores and "eval/patch_AP" in scores


def test_val_writes_scores_and_submission(trained, capsys):
    assert run(*trained, "--task", "val", "--opts", "flip_test=[H]") == 0
    written = json.loads((trained[1] / "results" / "metrics.json").read_text())
    assert {"AP", "AP50", "AP95", "patch_AP50"} <= set(written) and written["protocol"] == "DOTA (11 points)"
    assert sum(row["num_gts"] for row in written["per_class"].values()) > 0
    assert (trained[1] / "results" / "Task1.zip").is_file()


def test_errors_of_rotated_boxes_are_analysed(trained, capsys):
    for _ in range(2):  # the second time from the detections of the first
        flags = ("--num", "1", "--threshold", "0.01", "--format", "svg", "--cpu")
        assert analyze.main([str(trained[1]), *flags]) == 0
        shown = capsys.readouterr().out
        assert "COCO protocol on rotated boxes (an extension" in shown and "Dupe: found twice" in shown
    assert len(list((trained[1] / "results" / "analysis" / "images").glob("*.svg"))) == 1


@pytest.mark.parametrize("flags", [(), ("--opts", "flip_test=[V,HV]", "merge_nms_threshold_type=0")])
def test_test_writes_a_checked_zip(trained, flags):
    assert run(*trained, "--task", "test", *flags) == 0
    for task in (1, 2):
        found = read_submission(trained[1] / "results" / "test" / f"Task{task}.zip", KINDS, task=task)
        assert {record["img_id"] for record in found} == {"val_000000", "val_000001"}


def test_an_empty_result_is_a_valid_zip(trained):
    assert run(*trained, "--task", "test", "--opts", "model.bbox_head.score_threshold=1.0") == 0
    path = trained[1] / "results" / "test" / "Task1.zip"
    assert read_submission(path, KINDS) == []
    report = check_submission(path, ["val_000000", "val_000001"], KINDS)
    assert [problem.severity for problem in report.problems] == ["warning"]


@pytest.mark.parametrize("protocol", ["jdet", "rotated_ld"])
def test_released_protocols_are_named_in_the_scores(trained, protocol):
    chosen = f"dataset.val.evaluator={{type: DotaEvaluator, protocol: {protocol}}}"
    assert run(*trained, "--task", "val", "--opts", chosen) == 0
    written = json.loads((trained[1] / "results" / "metrics.json").read_text())
    assert written["protocol"] == DotaEvaluator(protocol=protocol).protocol


def test_what_suits_upright_boxes_alone_is_refused_before_training(trained, tmp_path, capsys):
    upright = "dataset.val.evaluator=CocoEvaluator"
    assert run(trained[0], tmp_path / "work", "--opts", upright, "dataset.train.angle_version=le90") == 2
    shown = capsys.readouterr().err
    assert "dataset.val: CocoEvaluator compares upright boxes" in shown and "Traceback" not in shown
    assert "dataset.train: angle_version is 'le90', but the detector's box_coder has 'oc'" in shown
    assert not list((tmp_path / "work" / "checkpoints").iterdir())


def test_pictures_of_every_patch(trained, tmp_path):
    assert run(*trained, "--task", "vis_test", "--save_dir", tmp_path / "out") == 0
    pictures = sorted((tmp_path / "out").iterdir())
    assert len(pictures) == 4 and pictures[0].name == "val_000000__1.0__0___0.jpg"
    assert {cv2.imread(str(picture)).shape for picture in pictures} == {(64, 64, 3)}


def test_thresholds_that_do_not_suit_the_classes_are_found_first(trained, capsys):
    assert run(*trained, "--task", "test", "--opts", "merge_nms_threshold_type=1") == 2
    assert "has no threshold for pier" in capsys.readouterr().err


def test_large_images_are_looked_at_through_windows(trained, tmp_path):
    config, work_dir = trained
    detector = jld.init_detector(config, work_dir / "checkpoints/last.pkl", device="cpu")
    image = DrawnOrientedDataset("val", 2, (64, 100), seed=1).read_image(0)
    found = jld.predict(detector, image, window=64, overlap=28)
    assert found.form == "rboxes" and len(found) and set(found.names) <= set(KINDS)
    assert (np.diff(found.scores) <= 0).all() and cv2.imread(str(found.save(tmp_path / "a.png"))) is not None
    (tmp_path / "a.txt").write_text(found.dota())
    annotation, problems = read_label_file(tmp_path / "a.txt", KINDS)
    assert not problems and annotation.names == tuple(found.names)
    np.testing.assert_allclose(annotation.polys, found.corners(), atol=0.01)
    assert len(found.crops()) == len(found)
