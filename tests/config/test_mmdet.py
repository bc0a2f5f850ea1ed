"""mmDetection's configs: equal to jld's own of the same rows, or refused in one sentence."""

import logging

import pytest

from jld.config import load_config, to_plain
from jld.errors import ConfigError
from tests.config.mmdet_texts import DETECTORS, write_2x, write_3x

# What jld's own files add, or count otherwise: names, loggers, workers.
OWN = ("name", "work_dir", "published", "logger", "dataset.train.num_workers")


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("jld").setLevel(logging.ERROR)
    yield
    logging.getLogger("jld").setLevel(logging.NOTSET)


def leaves(value, path=""):
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else None
    )
    if items is None:
        return {path: value}
    return {
        key: leaf for name, item in items for key, leaf in leaves(item, f"{path}.{name}".strip(".")).items()
    }


def missing(found, name):
    """What jld's config of the same row says otherwise or the translation lacks."""
    ours, theirs = leaves(to_plain(load_config(name))), leaves(to_plain(found))
    return {
        key: (value, theirs.get(key))
        for key, value in ours.items()
        if theirs.get(key) != value and not key.startswith(OWN)
    }


def refusal(path):
    with pytest.raises(ConfigError) as error:
        load_config(path)
    text = str(error.value)
    assert text.startswith(f"{path}: this is a config of mmDetection; ") and "\n" not in text
    return text


@pytest.mark.parametrize("kind", DETECTORS)
def test_2x_is_jlds_config_of_the_same_row(tmp_path, kind):
    config = load_config(write_2x(tmp_path, kind))
    assert missing(config, DETECTORS[kind][0]) == {}
    assert config.name == kind.lower() and "data" not in config and "workflow" not in config


def test_the_head_of_gflv2_as_its_repository_has_it(tmp_path):
    head = "type='GFocalHead', reg_topk=4, reg_channels=64, add_mean=True, loss_cls=dict(use_sigmoid=False)"
    child = tmp_path / "child.py"
    child.write_text(f"_base_ = {write_2x(tmp_path, 'GFL').name!r}\nmodel = dict(bbox_head=dict({head}))\n")
    assert missing(load_config(child), "gflv2_r50_1x_coco") == {}


def test_a_detector_of_two_stages_without_masks(tmp_path):
    config = load_config(write_2x(tmp_path, "FasterRCNN"))
    changed = {"model.roi_head.assigner.match_low_quality": True}  # of Mask R-CNN, whose settings these are
    assert set(missing(config, "faster_rcnn_r50_1x_coco")) == set(changed)
    assert "mask_head" not in config.model.roi_head and "with_masks" not in config.dataset.train


def test_3x_is_jlds_config_of_the_same_row(tmp_path):
    config = load_config(write_3x(tmp_path))
    assert missing(config, "gfl_r50_ms_2x_coco") == {}
    assert "val_cfg" not in config and "auto_scale_lr" not in config


def test_a_merged_file_is_the_same(tmp_path):
    path = write_2x(tmp_path, "GFL")
    namespace: dict = {}
    exec((tmp_path / "bases.py").read_text(), namespace)
    helpers = {key: value for key, value in namespace.items() if not key.startswith("_")}
    model = next(line for line in path.read_text().splitlines() if line.startswith("model"))
    lines = [f"{key} = {value!r}" for key, value in helpers.items() if key != "optimizer"]
    lines += [model, f"optimizer = { ({**helpers['optimizer'], 'lr': 0.01})!r}", "gpu_ids = range(0, 8)"]
    merged = tmp_path / "merged" / "gfl.py"
    merged.parent.mkdir()
    merged.write_text("\n".join(lines))
    assert load_config(merged) == load_config(path)


def test_jlds_own_keys_may_stand_beside(tmp_path):
    tail = "distill = dict(teacher='a.pth')\nema = dict(decay=0.9)\nfp16 = dict(loss_scale=512.)\nseed = 3\n"
    config = load_config(write_2x(tmp_path, "GFL", tail))
    assert (config.distill, config.ema, config.seed) == ({"teacher": "a.pth"}, {"decay": 0.9}, 3)
    assert config.precision == "float16" and "fp16" not in config


def test_other_datasets_lengths_and_loops(tmp_path):
    voc = """
data = dict(train=dict(
    _delete_=True, type='RepeatDataset', times=3,
    dataset=dict(type='VOCDataset', ann_file=['v/VOC2007/ImageSets/Main/trainval.txt',
                 'v/VOC2012/ImageSets/Main/trainval.txt'], img_prefix=['v/VOC2007/', 'v/VOC2012/'],
                 pipeline=train_pipeline, classes=('a', 'b'))))
runner = dict(_delete_=True, type='IterBasedRunner', max_iters=90000)
evaluation = dict(interval=6000)
load_from = 'start.pth'
"""
    voc = voc.replace(
        "train_pipeline",
        "[dict(type='Resize', img_scale=[(1000, 480), (1000, 600)], multiscale_mode='value')]",
    )
    config = load_config(write_2x(tmp_path, "GFL", voc))
    train = config.dataset.train
    assert (train.type, train.root, train.image_set) == ("VOCDataset", ["v/VOC2007", "v/VOC2012"], "trainval")
    assert (train.times, train.classes, train.evaluator.metric) == (3, ["a", "b"], "07")
    assert train.transforms == [
        {"type": "Resize", "min_size": [480, 600], "max_size": 1000, "multiscale_mode": "value"}
    ]
    assert (config.max_epoch, config.max_iter, config.pretrained_weights) == (None, 90000, "start.pth")
    assert "eval_interval" not in config and "checkpoint_interval" not in config  # they counted steps


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (
            "model = dict(type='YOLOX')",
            "jld does not translate its 'YOLOX'; it does so with GFL, ATSS, FCOS, ",
        ),
        (
            "model = dict(type='KnowledgeDistillationSingleStageDetector')",
            "(its rows are in configs/ld: `jld list",
        ),
        (
            "model = dict(bbox_head=dict(type='VFNetHead'))",
            "model.bbox_head: mmDetection's 'VFNetHead' is not covered",
        ),
        ("model = dict(neck=dict(type='PAFPN'))", "model.neck: mmDetection's 'PAFPN'"),
        ("model = dict(backbone=dict(plugins=[1]))", "model.backbone.plugins: [1] is not covered, only None"),
        (
            "model = dict(backbone=dict(norm_cfg=dict(type='SyncBN')))",
            "model.backbone.norm_cfg: mmDetection's 'SyncBN'",
        ),
        (
            "model = dict(test_cfg=dict(nms=dict(type='soft_nms')))",
            "model.test_cfg.nms: mmDetection's 'soft_nms'",
        ),
        (
            "model = dict(train_cfg=dict(allowed_border=0))",
            "model.train_cfg.allowed_border: 0 is not covered, only -1",
        ),
        (
            "model = dict(bbox_head=dict(reg_maxx=3))",
            "model.bbox_head.reg_maxx: mmDetection's GFLHead has no such key",
        ),
        (
            "data = dict(train=dict(type='LVISV1Dataset'))",
            "data.train: mmDetection's 'LVISV1Dataset' is not covered",
        ),
        (
            "data = dict(train=dict(pipeline=[dict(type='MixUp')]))",
            "data.train.pipeline.0: mmDetection's 'MixUp'",
        ),
        (
            "data = dict(train=dict(pipeline=[dict(type='Resize', img_scale=[(9, 4), (8, 4)])]))",
            "data.train.pipeline.0: sizes with different longer sides",
        ),
        ("lr_config = dict(policy='poly')", "lr_config.policy: 'poly' is not covered, only 'step'"),
        ("optimizer = dict(type='LAMB')", "optimizer: mmDetection's 'LAMB' is not covered"),
    ],
)
def test_what_jld_does_not_have_is_one_sentence(tmp_path, tail, said):
    base = write_2x(tmp_path, "GFL")
    child = tmp_path / "child.py"
    child.write_text(f"_base_ = {base.name!r}\n{tail}\n")
    assert said in refusal(child)


def test_a_value_that_the_bases_lack(tmp_path):
    path = write_3x(tmp_path)
    path.write_text(path.read_text().replace("_base_.backend_args", "_base_.model.nothing"))
    with pytest.raises(
        ConfigError, match=r"_base_\.model\.nothing\}\} names a key that the bases do not have"
    ):
        load_config(path)


def test_a_part_of_a_config_is_no_config(tmp_path):
    write_2x(tmp_path, "GFL")
    assert "it has no `model`: it is a part that others name in _base_" in refusal(tmp_path / "bases.py")
    hooked = write_2x(
        tmp_path, "GFL", "custom_hooks = [dict(type='NumClassCheckHook'), dict(type='EMAHook')]\n"
    )
    assert "custom_hooks: jld does not translate its 'EMAHook'" in refusal(hooked)


def test_images_of_a_step_are_said(tmp_path, caplog):
    logging.getLogger("jld").setLevel(logging.WARNING)
    path = write_2x(
        tmp_path, "GFL", "\ndata = dict(samples_per_gpu=5)\nauto_scale_lr = dict(base_batch_size=7)\n"
    )
    assert load_config(path).dataset.train.batch_size == 7
    assert (
        "counts 5 images per process; the learning rate is taken to be meant for 7 in a step" in caplog.text
    )


def test_settings_beside_the_model_as_before_version_2_9(tmp_path):
    path = write_2x(tmp_path, "GFL")
    expected = load_config(path)
    path.write_text(
        path.read_text() + "train_cfg, test_cfg = model.pop('train_cfg'), model.pop('test_cfg')\n"
    )
    assert load_config(path) == expected
