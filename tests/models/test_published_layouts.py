"""The shipped configs build models whose exported names, shapes and counts are those of published files."""

from __future__ import annotations

import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest

from jld.apis import register_parts
from jld.checkpoint import read_checkpoint, to_mmdet, write_weights
from jld.config import load_config
from jld.distill import FrozenTeacher
from jld.errors import CheckpointError
from jld.models import build_detector, load_weights
from jld.models.pretrained import named_supports
from tests.checkpoint import layouts

ROOT = Path(__file__).resolve().parents[2]
# (config, layout as documented, entries with buffers, parameters without)
PUBLISHED = [
    ("gfl/gfl_r18_1x_coco", layouts.gfl(18), 170, 19_420_889),
    ("gfl/gfl_r34_1x_coco", layouts.gfl(34), 266, 29_529_049),
    ("gfl/gfl_r50_1x_coco", layouts.gfl(50), 368, 32_440_537),
    ("gfl/gfl_r101_ms_2x_coco", layouts.gfl(101), 674, 51_432_665),
    ("gfl/gfl_r101dcn_ms_2x_coco", layouts.gfl(101, dcn=(2, 3, 4)), 734, 52_718_837),
    ("gfl/gfl_x101_32x4d_ms_2x_coco", layouts.gfl(101, groups=32), 674, 51_061_209),
    ("gfl/gfl_x101_32x4d_dcn_ms_2x_coco", layouts.gfl(101, groups=32, dcn=(3, 4)), 726, 53_467_053),
    ("gfl/gfl_r18_4e_voc", layouts.gfl(18, num_classes=20), 170, 19_282_589),
    ("faster_rcnn/faster_rcnn_r18_1x_coco", layouts.faster_rcnn(18), 150, 28_684_256),
    ("faster_rcnn/faster_rcnn_r50_1x_coco", layouts.faster_rcnn(50), 348, 41_753_056),
    ("faster_rcnn/faster_rcnn_r101_2x_coco", layouts.faster_rcnn(101), 654, 60_745_184),
    ("rotated/rotated_retinanet_r18_1x_dota", layouts.rotated_retina(18, False), 156, 20_082_420),
    ("rotated/rotated_gwd_dist_r18_1x_dota", layouts.rotated_retina(18, True), 158, 20_912_220),
    ("rotated/rotated_gwd_dist_r34_2x_dota", layouts.rotated_retina(34, True), 254, 31_020_380),
    ("rotated/rotated_gwd_dist_r50_1x_dota", layouts.rotated_retina(50, True), 356, 37_470_812),
    ("rotated/jdet_rotated_retinanet_r18_1x_dota", layouts.rotated_retina(18, False), 156, 20_082_420),
    ("rotated/jdet_rotated_retinanet_dist_r18_1x_dota", layouts.rotated_retina(18, True), 158, 20_912_220),
]


@pytest.fixture(scope="module", autouse=True)
def parts():
    register_parts()


def config_file(name: str) -> str:
    return str(ROOT / "configs" / f"{name}.py")


@pytest.mark.parametrize(("name", "layout", "num_entries", "num_parameters"), PUBLISHED)
def test_exported_models_have_the_published_keys(name, layout, num_entries, num_parameters):
    model = build_detector(load_config(config_file(name)))
    # Shapes only: nothing of the model is ever computed.
    state = {key: np.broadcast_to(np.float32(0), var.shape) for key, var in model.state_dict().items()}
    exported = to_mmdet(state, named_supports(model) or None)
    assert {key: values.shape for key, values in exported.items()} == layout
    assert len(exported) == num_entries
    buffers = ("running_mean", "running_var", "num_batches_tracked", ".project")
    assert sum(values.size for key, values in exported.items() if not key.endswith(buffers)) == num_parameters


def narrow(name: str):
    """A shipped rotated config with few channels."""
    config = load_config(config_file(name))
    config.model.backbone.update(base_channels=4, pretrained=None)
    config.model.neck.update(in_channels=[4, 8, 16, 32], out_channels=4)
    config.model.bbox_head.update(in_channels=4, feat_channels=4, stacked_convs=1, num_classes=3)
    return config


def numbers(model, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: rng.random(tuple(var.shape), np.float32) for key, var in model.state_dict().items()}


@pytest.mark.parametrize(
    "name", ["rotated/rotated_retinanet_r18_1x_dota", "rotated/rotated_gwd_dist_r18_1x_dota"]
)
def test_a_pth_of_the_release_fills_a_model_and_comes_back(tmp_path, name):
    config = narrow(name)
    model = build_detector(config)
    state = numbers(model)
    file = tmp_path / "model.pth"
    write_weights(file, state, {"CLASSES": ("a", "b", "c")}, "mmdet", named_supports(model) or None)
    load_weights(model, file)
    teacher = FrozenTeacher(config, str(file)).detector
    for loaded in (model, teacher):
        for key, var in loaded.state_dict().items():
            np.testing.assert_array_equal(var.numpy(), state[key], err_msg=key)


def test_values_of_the_distributions_are_compared_with_the_config(tmp_path):
    config = narrow("rotated/rotated_gwd_dist_r18_1x_dota")
    model = build_detector(config)
    supports = named_supports(model)
    other = supports | {"bbox_head.integral_angle.project": np.linspace(-1, 1, 9, dtype=np.float32)}
    write_weights(tmp_path / "same.pth", numbers(model), layout="mmdet", supports=supports)
    write_weights(tmp_path / "other.pth", numbers(model), layout="mmdet", supports=other)
    with pytest.raises(
        CheckpointError, match=r"9 bins from -1 to 1, the model integrates over 9 bins from -5"
    ):
        FrozenTeacher(config, str(tmp_path / "other.pth"))
    convert = runpy.run_path(str(ROOT / "tools" / "convert_checkpoint.py"))["main"]
    sections = {
        section: {key: value for key, value in config.model[section].items() if isinstance(value, int | list)}
        for section in ("backbone", "neck", "bbox_head")
    }
    base = config_file("rotated/rotated_gwd_dist_r18_1x_dota")
    text = f"_base_ = {base!r}\nmodel = {sections!r}\n"
    (tmp_path / "config.py").write_text(text)
    arguments = ["--config", str(tmp_path / "config.py"), "--to", "mmdet"]
    assert convert([str(tmp_path / "same.pth"), str(tmp_path / "out.pth"), *arguments]) == 0
    exported = read_checkpoint(tmp_path / "out.pth").state
    for key, values in supports.items():
        np.testing.assert_allclose(exported[key], values, rtol=1e-6)
    assert convert([str(tmp_path / "other.pth"), str(tmp_path / "no.pth"), *arguments]) == 2


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("rotated/jdet_rotated_retinanet_dist_r18_1x_dota", 1),
        ("rotated/rotated_gwd_dist_r18_1x_dota", 3),
    ],
)
def test_a_pkl_of_jdet_fills_both_kinds_of_heads(tmp_path, name, kernel):
    model = build_detector(narrow(name))
    wanted = numbers(model)
    stored = dict(wanted)
    for key in ("bbox_head.retina_cls.weight", "bbox_head.retina_reg.weight"):
        stored[key] = wanted[key][:, :, kernel // 2 : kernel // 2 + 1, kernel // 2 : kernel // 2 + 1]
    file = tmp_path / "ckpt_12.pkl"
    content = {"meta": {"jdet_version": "0.2", "epoch": 12}, "model": stored, "optimizer": {"lr": 0.1}}
    file.write_bytes(pickle.dumps(content))
    load_weights(model, file)
    for key, var in model.state_dict().items():
        values = var.numpy()
        if key in stored and stored[key].shape != values.shape:
            assert np.count_nonzero(values) == np.count_nonzero(stored[key])
            values = values[:, :, 1:2, 1:2]
        np.testing.assert_array_equal(values, stored[key], err_msg=key)
