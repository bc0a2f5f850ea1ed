"""Exported files: equal to their detectors under ONNX Runtime, and refused where they would not be."""

import ast
import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from jld.apis import inference_detector, init_detector
from jld.apis.export import export_detector, main, resize_rule, time_export
from jld.boxes.detections import Detections
from jld.boxes.masks import to_bitmap
from jld.config import load_config
from jld.data import collate
from jld.data.rotated_transforms import RotatedResize
from jld.data.transforms import Resize, finish_sample, new_sample
from jld.errors import ConfigError
from jld.export import ExportSettings, session_of
from jld.export.check import TOLERANCE, _threshold, check_export
from jld.models.pretrained import assign_state
from jld.toolchain import jittor as jt

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[2]
DETECT = ROOT / "projects/deploy/detect.py"


def small(name, mask_head=()):
    """The detector of a shipped config, few channels wide, with weights in which nothing is 0 or 1.

    `mask_head`: further options of it.
    """
    config = load_config(ROOT / "configs" / name)
    model = config["model"]
    if model["backbone"]["type"] == "SwinTransformer":
        model["backbone"].update(embed_dims=12, depths=(2, 2, 2, 2), pretrained=None)
        model["neck"].update(in_channels=[12 * 2**stage for stage in model["backbone"]["out_indices"]])
    else:
        model["backbone"].update(depth=18, pretrained=None, base_channels=8)
        model["neck"].update(in_channels=[8, 16, 32, 64])
    model["neck"].update(out_channels=32)
    if "bbox_head" in model:
        model["bbox_head"].update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=5)
    else:
        model["rpn_head"].update(in_channels=32, feat_channels=32, test_max_proposals=50)
        rois = model["roi_head"]
        rois["bbox_head"].update(in_channels=32, fc_out_channels=64, num_classes=5)
        if "mask_head" in rois:
            rois["mask_head"].update(in_channels=32, conv_out_channels=8, num_convs=1, num_classes=5)
            rois["mask_head"].update(mask_head)
    detector = init_detector(config, device="cpu")
    rng, state = np.random.default_rng(0), {}
    for key, var in detector.state_dict().items():
        shape = tuple(var.shape)
        if len(shape) > 1:
            state[key] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        else:
            is_factor = key.endswith(("var", "scale")) or ("weight" in key and "conv." not in key)
            state[key] = rng.uniform(0.5, 1.5, shape) if is_factor else rng.normal(size=shape) * 0.1
    if detector.normalisation.std[0] == 1:
        first = ("backbone.conv1.weight", "backbone.patch_embed.proj.weight")
        state[first["patch_embed" in "".join(state)]] /= 57
    assign_state(detector, {key: value.astype(np.float32) for key, value in state.items()}, what="test")
    return detector


@pytest.fixture(scope="module")
def gfl():
    return small("gfl/gfl_r18_1x_coco.py")


@pytest.fixture(scope="module")
def deploy():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("deploy_detect", DETECT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gfl/gfl_r101dcn_ms_2x_coco.py", {}),
        ("gflv2/gflv2_r50_1x_coco.py", {}),
        ("atss/atss_r50_1x_coco.py", {"size": (90, 130)}),
        ("fcos/fcos_r50_cvpods_ms_2x_coco.py", {"suppress": False}),
        ("retinanet/retinanet_r50_detectron2_ms_2x_coco.py", {"raw_input": False}),
        ("retinanet/retinanet_swint_detectron2_ms_3x_coco.py", {"size": (90, 130)}),
        ("rotated/rotated_retinanet_r18_1x_dota.py", {"size": (96, 128)}),
        ("rotated/jdet_rotated_retinanet_dist_r18_1x_dota.py", {}),
    ],
)
def test_every_head_gives_the_same_predictions_and_detections(name, settings, tmp_path):
    worst = export_detector(small(name), tmp_path / "x.onnx", ExportSettings(**settings))
    assert {"dense_scores", "dense_boxes", "scores", "boxes"} <= set(worst)
    assert max(worst.values()) <= TOLERANCE
    kept = [output.name for output in session_of(str(tmp_path / "x.onnx")).get_outputs()]
    is_inside = settings.get("suppress", True) and "rotated" not in name
    assert kept == ["boxes", "scores"] + ["labels"] * is_inside


@pytest.mark.parametrize("size", [None, (130, 190)])
def test_two_stages_propose_the_same_and_find_the_same(size, tmp_path):
    detector = small("faster_rcnn/faster_rcnn_r18_1x_coco.py")
    worst = export_detector(detector, tmp_path / "x.onnx", ExportSettings(size=size))
    assert set(worst) == {"rpn_scores", "rpn_boxes", "roi_scores", "roi_boxes", "scores", "boxes"}
    assert max(worst.values()) <= TOLERANCE
    with pytest.raises(ConfigError, match="suppression inside"):
        export_detector(detector, tmp_path / "x.onnx", ExportSettings(suppress=False))


def shown(detector, image):
    """jld's detections above a threshold that no rounding reaches, and the threshold."""
    seen = []
    head = detector.bbox_head
    rule = head.postprocess

    class Watching(type(rule)):
        def select(self, scores, *args, **kwargs):
            seen.append(scores)
            return super().select(scores, *args, **kwargs)

    head.postprocess = Watching(**vars(rule))
    inference_detector(detector, image)
    threshold = _threshold(seen[0])
    head.postprocess = dataclasses.replace(rule, score_threshold=threshold)
    found = inference_detector(detector, image)
    head.postprocess = rule
    return found, threshold


@pytest.mark.parametrize("kind", ["upright", "rotated"])
def test_the_example_finds_what_jld_finds(kind, deploy, tmp_path):
    name = "gfl/gfl_r18_1x_coco.py" if kind == "upright" else "rotated/rotated_gwd_dist_r18_1x_dota.py"
    detector = small(name)
    for step in detector.pipeline.transforms:
        if hasattr(step, "min_sizes"):
            step.min_sizes, step.max_sizes = (128,), (200,)
    image = np.random.default_rng(1).integers(0, 256, (150, 210, 3), np.uint8)
    wanted, threshold = shown(detector, image)
    assert len(wanted) > 10
    path = tmp_path / "student.onnx"
    export_detector(detector, path)
    boxes, scores, labels = deploy.OnnxDetector(str(path))(image, threshold)
    np.testing.assert_array_equal(labels, wanted.labels)
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-5)
    np.testing.assert_allclose(boxes, wanted.shapes, rtol=1e-4, atol=1e-2)  # px


def test_the_example_needs_three_packages():
    tree = ast.parse(DETECT.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names == {"__future__", "argparse", "json", "sys", "cv2", "numpy", "onnxruntime"}


@pytest.mark.parametrize("size", [(600, 900), (900, 600), (300, 1024), (3000, 2000)])
@pytest.mark.parametrize(
    "rule",
    [
        Resize(800, 1333),
        Resize(512, 512, keep_ratio=False),
        RotatedResize(1024, 1024),
        RotatedResize(1024, 1024, max_zoom=1.5),
    ],
)
def test_the_example_resizes_as_jld_does(rule, size, deploy):
    detector = object.__new__(deploy.OnnxDetector)
    detector.about = {"size": None, "resize": resize_rule(rule)}
    height, width = rule.new_size(*size, rule.min_sizes[0], rule.max_sizes[0])
    assert detector._size(*size) == (width, height)


def test_a_file_tells_what_its_user_must_know(gfl, tmp_path):
    path = tmp_path / "student.onnx"
    export_detector(gfl, path, ExportSettings(size=(64, 96)))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = json.loads(model.metadata_props[0].value)
    assert about["classes"][:2] == ["person", "bicycle"] and about["strides"] == [8, 16, 32, 64, 128]
    assert about["mean"] == [123.675, 116.28, 103.53] and about["is_rgb"] is True
    assert about["outputs"] == "detections" and about["size"] == [64, 96]
    assert about["resize"] == {"short_side": 800, "long_side": 1333, "keep_ratio": True, "max_zoom": None}
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"backbone.conv1.weight", "backbone.bn1.running_var", "score_threshold"} <= names
    text = time_export(gfl, path, ExportSettings(size=(64, 96)), 1)
    assert "64x96 px" in text and "\njld " in text


def test_the_reference_implementation_agrees(gfl, tmp_path):
    from onnx.reference import ReferenceEvaluator

    path = tmp_path / "student.onnx"
    export_detector(gfl, path, ExportSettings(size=(96, 128)))
    session = session_of(str(path))
    given = {"image": np.random.default_rng(2).integers(0, 256, (96, 128, 3), np.uint8)}
    every = session.run(["scores"], {**given, "score_threshold": np.array(0, np.float32)})[0]
    middle = len(every) // 2
    given["score_threshold"] = np.array(every[middle - 1 : middle + 1].mean(), np.float32)
    ours, reference = session.run(None, given), ReferenceEvaluator(str(path)).run(None, given)
    assert len(ours[1]) == middle >= 3
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_a_file_that_differs_is_not_written(gfl, tmp_path, monkeypatch):
    from jld.export import layers

    wrong = tuple(
        (owner, name, emit if owner is not layers.Scale else lambda graph, layer, x: graph.op("Identity", x))
        for owner, name, emit in layers.EMITTERS
    )
    monkeypatch.setattr(layers, "EMITTERS", wrong)
    with pytest.raises(ConfigError, match=r"differs from the detector \(dense_boxes by .*not kept"):
        export_detector(gfl, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_other_detections_are_noticed(gfl):
    class Session:
        """Gives right predictions and no detection."""

        def get_outputs(self):
            names = ("boxes", "scores", "labels", "dense_scores", "dense_boxes")
            return [type("Output", (), {"name": name}) for name in names]

        def run(self, _, given):
            image = given["image"]
            step = -np.array(image.shape[2:]) % 32
            with jt.no_grad():
                stage = gfl(jt.array(np.pad(image, ((0, 0), (0, 0), (0, step[0]), (0, step[1]))))).stages[
                    "dense"
                ]
            dense = stage.probabilities().numpy()[0], stage.boxes().numpy()[0]
            return [np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), *dense]

    with pytest.raises(ConfigError, match=r"finds other objects \(0\) than the detector"):
        check_export(gfl, ExportSettings(raw_input=False), Session())


@pytest.mark.parametrize("agnostic", [False, True])
def test_masks_are_those_of_the_detector(agnostic, deploy, tmp_path):
    detector = small("mask_rcnn/mask_rcnn_r18_1x_coco.py", {"class_agnostic": agnostic})
    for step in detector.pipeline.transforms:
        if hasattr(step, "min_sizes"):
            step.min_sizes, step.max_sizes = (128,), (200,)
    path = tmp_path / "x.onnx"
    worst = export_detector(detector, path)
    assert "masks" in worst and max(worst.values()) <= TOLERANCE
    image = np.random.default_rng(1).integers(0, 256, (150, 210, 3), np.uint8)
    found = deploy.OnnxDetector(str(path))
    boxes, scores, labels, masks = found(image, float(found(image, 0.0)[1][9:11].mean()))
    assert len(boxes) > 5 and masks.shape == (len(boxes), 150, 210) and masks.sum() > 500
    assert found(image, 2.0)[3].shape == (0, 150, 210)
    # jld's masks of the same boxes
    sample = detector.pipeline(new_sample(image, img_id=0), np.random.default_rng(0))
    batch = collate([finish_sample(sample)])
    with jt.no_grad():
        features = detector.features(jt.array(batch["images"]))
    (wanted,) = detector.roi_head.with_masks(features, [Detections(0, scores, labels, boxes=boxes)], batch)
    drawn = np.stack([to_bitmap(mask) for mask in wanted.masks]).astype(bool)
    assert (drawn != masks).sum() < 0.05 * masks.sum()


def test_windows_of_any_size_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="one size of images: export with --size"):
        export_detector(small("retinanet/retinanet_swint_detectron2_ms_3x_coco.py"), tmp_path / "x.onnx")


def test_parts_without_an_onnx_form_are_named(gfl, tmp_path, monkeypatch):
    from jld.export import layers

    known = tuple(entry for entry in layers.EMITTERS if entry[1] != "upsample_like")
    monkeypatch.setattr(layers, "EMITTERS", known)
    with pytest.raises(ConfigError, match="FPN cannot be exported to ONNX: no ONNX form of 'reindex'"):
        export_detector(gfl, tmp_path / "x.onnx")


def test_command_line(tmp_path, capsys):
    assert main(["--config", str(ROOT / "configs/gfl/gfl_r18_1x_coco.py"), "--out", "x", "--size", "8"]) == 2
    assert "write height and width in px, as 800x1333" in capsys.readouterr().err


def test_a_runs_folder_gives_its_config_and_its_best_weights(tmp_path, monkeypatch, capsys):
    (tmp_path / "checkpoints").mkdir()
    for name in ("best.pkl", "last.pkl"):
        (tmp_path / "checkpoints" / name).touch()
    base = str(ROOT / "configs/quick_start/noisy_gfl_student.py")
    (tmp_path / "config.py").write_text(
        f"_base_ = {base!r}\nmodel = dict(bbox_head=dict(feat_channels=24))\n"
    )

    def seen(config, checkpoint, device):
        width = config["model"]["bbox_head"]["feat_channels"]
        raise ConfigError(f"{width} channels, {Path(checkpoint).relative_to(tmp_path)}")

    monkeypatch.setattr("jld.apis.export.init_detector", seen)
    for flags, name in (([], "best.pkl"), (["last"], "last.pkl")):
        assert main([str(tmp_path), *flags, "--out", "x"]) == 2
        assert f"24 channels, checkpoints/{name}" in capsys.readouterr().err
