"""JDet's config files load unchanged: what they become, what is refused, and that jld accepts the result."""

from __future__ import annotations

from pathlib import Path

import pytest

from jld.config import load_config
from jld.config.jdet import is_jdet, translate_jdet
from jld.errors import ConfigError
from tests.config.jdet_texts import PLAIN, TEXT, write_jdet_config

ROOT = Path(__file__).resolve().parents[2]


def load(tmp_path, kind="plain", tail="", name=None):
    return load_config(write_jdet_config(tmp_path, kind, tail=tail, name=name))


def test_the_model_in_jlds_words(tmp_path):
    model = load(tmp_path).model
    assert model.backbone == {
        "type": "ResNet", "depth": 18, "out_indices": [0, 1, 2, 3], "frozen_stages": 1, "norm_eval": True,
        "norm_trainable": False, "pretrained": "torchvision://resnet18",
    }  # fmt: skip
    assert model.neck.add_extra_convs == "on_input" and model.neck.start_level == 1
    head = model.bbox_head
    assert (head.type, head.num_classes, head.kernel_size) == ("RotatedRetinaHead", 15, 1)
    assert not head.clamp_centers and not head.reg_decoded_bbox and "reg_max" not in head
    assert head.priors.ratios == [1.0, 0.5, 2.0] and head.priors.center_offset == 0.5
    assert head.assigner.overlaps == {"type": "RotatedOverlap", "upright": False}
    assert (head.box_coder.angle_version, head.box_coder.norm_factor) == ("le135", 1)
    assert (head.box_coder.proj_xy, head.box_coder.edge_swap) == (True, False)
    assert (head.score_threshold, head.nms_pre, head.max_per_image, head.nms.iou_threshold) == (
        0.05,
        2000,
        2000,
        0.1,
    )


def test_datasets_and_transforms_in_jlds_words(tmp_path):
    dataset = load(tmp_path).dataset
    resize, flip, flop, pad, normalize = dataset.train.transforms
    assert resize == {
        "type": "RotatedResize", "min_size": 1024, "max_size": 1024, "max_zoom": 1.5, "clip_boxes": True,
    }  # fmt: skip
    assert (flip.direction, flop.direction) == ("horizontal", "vertical") and pad.size_divisor == 32
    assert normalize.to_rgb and "to_bgr" not in normalize
    assert dataset.train.filter_empty_gt is False and dataset.train.batch_size == 2
    assert dataset.val.transforms[0] == {key: resize[key] for key in resize if key != "clip_boxes"}
    assert {split: section.type for split, section in dataset.items()} == {
        "train": "DOTADataset", "val": "DOTADataset", "test": "ImageDataset",
    }  # fmt: skip
    assert {section.angle_version for section in dataset.values()} == {"le135"}
    assert dataset.train.version == "1"


def test_the_rest_stays_and_helpers_go(tmp_path):
    config = load(tmp_path, "ld")
    assert config.scheduler.milestones == [7, 10] and config.max_epoch == 12
    assert config.optimizer.lr == 0.0025 and config.logger.type == "RunLogger"
    assert "teacher_ckpt" not in config and "some_note" not in config
    assert config.name == "ld" and config.work_dir == "work_dirs/ld"


def test_distillation_becomes_a_section(tmp_path):
    config = load(tmp_path, "ld")
    assert config.model.type == "RotatedRetinaNet" and config.model.bbox_head.reg_max == 8
    assert config.distill.terms == [
        {
            "type": "LocalizationKD", "region": "main", "weighting": "uniform", "sides": "mean", "weight": 10,
            "temperature": 10, "reduction": "per_level_mean",
        },
        {
            "type": "ClassificationKD", "region": "all", "weight": 10, "temperature": 2,
            "reduction": "per_level_mean",
        },
    ]  # fmt: skip
    assert config.distill.teacher.checkpoint == "weights/teacher.pkl"
    assert config.distill.teacher.config == "configs/teacher.py"  # as written where it is nowhere found


def test_the_teacher_is_looked_for_beside_the_config(tmp_path):
    teacher = write_jdet_config(tmp_path / "project" / "configs", "distribution", name="teacher.py")
    student = write_jdet_config(tmp_path / "project" / "configs", "ld")
    found = load_config(student).distill.teacher.config
    assert Path(found).samefile(teacher)
    assert load_config(found).model.bbox_head.reg_max == 8


def test_imitation_with_a_weight_becomes_a_term(tmp_path):
    tail = 'model["bbox_head"]["loss_im"] = dict(type="IMLoss", loss_weight=0.5)\n'
    assert load(tmp_path, "ld", tail).distill.terms[2] == {
        "type": "FeatureImitation", "region": "all", "weighting": "uniform", "weight": 0.5,
        "reduction": "per_level_mean",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "loss", "decoded"),
    [
        ("gwd", {"type": "GDLoss", "loss_type": "gwd", "loss_weight": 5.0}, True),
        (
            "kld",
            {"type": "GDLoss_v1", "loss_type": "kld", "fun": "log1p", "tau": 1.0, "loss_weight": 5.5},
            True,
        ),
        ("kfiou", {"type": "KFLoss", "loss_weight": 5.0}, False),
    ],
)
def test_losses_of_decoded_boxes(tmp_path, kind, loss, decoded):
    head = load(tmp_path, kind).model.bbox_head
    assert head.loss_bbox == loss and head.reg_decoded_bbox is decoded
    assert head.type == "RotatedRetinaHead" and head.assigner.overlaps.upright


@pytest.mark.parametrize(
    ("kind", "tail", "said"),
    [
        (
            "plain",
            'model["type"] = "S2ANet"',
            "a config of JDet; jld does not cover its 'S2ANet', only RotatedRetinaNet",
        ),
        ("plain", 'model["backbone"]["type"] = "Resnet50_v1d"', "backbone 'Resnet50_v1d' is not covered"),
        (
            "plain",
            'model["bbox_head"]["type"] = "RotatedRetinaHed"',
            "'RotatedRetinaHed' is not covered, only RotatedRetinaHead, KFIoU",
        ),
        (
            "plain",
            'model["bbox_head"]["anchor_ratio"] = [1]',
            "bbox_head.anchor_ratio: .* did you mean 'anchor_ratios'",
        ),
        (
            "plain",
            'model["bbox_head"]["target_stds"] = [2.0] * 5',
            "bbox_head.target_stds: .* is not covered",
        ),
        (
            "plain",
            'model["bbox_head"]["loss_cls"]["use_sigmoid"] = False',
            "only FocalLoss with use_sigmoid=True",
        ),
        ("plain", 'model["bbox_head"]["test_cfg"]["nms"]["type"] = "poly"', "test_cfg.nms: JDet's 'poly'"),
        (
            "plain",
            'dataset["val"]["transforms"].append(dict(type="Expand"))',
            r"val\.transforms\.3: JDet's 'Expand'",
        ),
        (
            "plain",
            'dataset["train"]["type"] = "COCODataset"',
            "dataset.train: JDet's 'COCODataset' is not covered",
        ),
        ("ld", 'model["bbox_head"]["type"] = "RotatedRetinaHead"', "goes with RotatedRetinaLocalization"),
        ("ld", 'model["techer_config"] = model.pop("teacher_config")', "model.teacher_config: .* needs this"),
        ("ld", 'model["neck"] = None', "model.neck: must be dict"),
    ],
)
def test_what_jld_does_not_have_is_named(tmp_path, kind, tail, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, kind, tail + "\n")
    assert str(caught.value).startswith(str(tmp_path / f"{kind}.py"))


def test_other_datasets_and_options_of_transforms(tmp_path):
    tail = """
dataset["train"].update(type="SSDDDataset", buffer_size=1024, balance_category=True)
dataset["train"]["transforms"] = [
    dict(type="Resize", min_size=[800, 900], max_size=1333),
    dict(type="RandomRotateAug", random_rotate_on=True),
    dict(type="Pad", size=(64, 32)), dict(type="Normalize", mean=[1, 2, 3], std=[4, 5, 6]),
]
dataset["val"].update(type="FAIRDataset")
dataset["val"].pop("transforms")
dataset["test"].pop("transforms")
"""
    dataset = load(tmp_path, "plain", tail).dataset
    assert (dataset.train.version, dataset.val.version) == ("SSDD", "FAIR")
    assert dataset.train.balance_category and "buffer_size" not in dataset.train
    resize, rotate, pad, normalize = dataset.train.transforms
    assert resize.type == "RotatedResize" and rotate.random_rotate_on
    assert pad.size == [32, 64]  # JDet counts (width, height)
    assert not normalize.to_rgb  # JDet's default is BGR
    assert dataset.val.transforms == [] and [each.type for each in dataset.test.transforms] == [
        "RotatedResize", "Pad", "Normalize",
    ]  # fmt: skip


def test_configs_of_jld_are_left_alone(tmp_path):
    path = ROOT / "configs/gfl/gfl_r18_1x_coco.py"
    config = load_config(path)
    assert not is_jdet(config) and config.model.type == "GFL"
    assert not is_jdet({}) and not is_jdet({"model": None})
    translated = load(tmp_path)
    assert not is_jdet(translated)  # so a dumped config is not translated a second time


def test_misspelt_top_level_keys_stay_for_the_check(tmp_path):
    assert load(tmp_path, tail="max_epoc = 3\n")["max_epoc"] == 3


def test_translation_needs_no_file():
    namespace: dict = {}
    exec(TEXT.format(**PLAIN), namespace)
    config = {key: value for key, value in namespace.items() if not key.startswith("_")}
    assert translate_jdet(config)["model"]["type"] == "RotatedRetinaNet"
