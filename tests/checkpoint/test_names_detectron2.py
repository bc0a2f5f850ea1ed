"""detectron2's names, Caffe2's among them, into ours and back."""

import pickle

import numpy as np
import pytest

from jld.checkpoint import convert_file, convert_state, detect_origin, map_name, read_checkpoint
from jld.checkpoint.names import detectron2, prepared
from jld.errors import CheckpointError
from tests.checkpoint import layouts
from tests.golden_cases import case


def random_state(shapes):
    """One number per entry, different everywhere."""
    rng = np.random.default_rng(0)
    return {name: np.full(shape, rng.random(), np.float32) for name, shape in shapes.items()}


def reference_state():
    """Names and shapes of LGD's RetinaNet R-50 as the reference states them, small where shapes are free."""
    meta, _ = case("l_retina_full")
    shapes = dict(meta["params"]["student"]["shapes"])
    made = [name for name in meta["generated"] if name.startswith("w/student/")]
    shapes |= {name.removeprefix("w/student/"): meta["generated"][name]["shape"] for name in made}
    return random_state(shapes)


def plain(state):
    """The same model as detectron2 itself saves it."""
    return {
        name.removeprefix("student.").replace("raw_backbone.", "backbone.bottom_up."): values
        for name, values in state.items()
    }


def fcos(state):
    """The same backbone and pyramid with cvpods' FCOS head."""
    meta, _ = case("l_fcos_default")
    shapes = dict(meta["params"]["head"]["shapes"])
    shapes |= {name.removeprefix("w/head/"): spec["shape"] for name, spec in meta["generated"].items()}
    shapes = {name: shape for name, shape in shapes.items() if name.startswith("head.")}
    return {name: values for name, values in plain(state).items() if "head." not in name} | random_state(
        shapes
    )


@pytest.mark.parametrize(("form", "suffix"), [(plain, ".pkl"), (fcos, ".pth")])
def test_there_and_back(tmp_path, form, suffix):
    state = form(reference_state())
    constants = {"pixel_mean": np.float32([[[103.53]], [[116.28]], [[123.675]]])}
    with (tmp_path / "model.pkl").open("wb") as stream:
        pickle.dump({"model": state | constants, "__author__": "someone", "iteration": 3}, stream)
    checkpoint = read_checkpoint(tmp_path / "model.pkl")
    assert checkpoint.origin == "detectron2"
    report = convert_file(tmp_path / "model.pkl", tmp_path / "ours.safetensors")
    assert report.unexpected == [] and "103.53, 116.28" in report.dropped["pixel_mean"]
    ours = read_checkpoint(tmp_path / "ours.safetensors").state
    body = layouts.ours(layouts.resnet(50))
    assert {name: ours[name].shape for name in body} == body
    head = "conv" if form is fcos else "retina"
    assert {
        f"bbox_head.{head}_cls.weight",
        "neck.fpn_convs.4.conv.bias",
        "neck.lateral_convs.2.conv.bias",
    } < set(ours)
    convert_file(tmp_path / "ours.safetensors", tmp_path / f"back{suffix}", layout="detectron2")
    back = read_checkpoint(tmp_path / f"back{suffix}").state
    assert set(back) == set(state)
    for name, values in back.items():
        np.testing.assert_array_equal(values, state[name], err_msg=name)


def test_a_student_of_lgd_stands_under_two_names(tmp_path):
    """The pyramid is saved twice; teacher and adapter are left out."""
    state = reference_state()
    twice = {name.replace("student.backbone.", "student.fpn."): values for name, values in state.items()}
    beside = {"teacher.canoni_proj_1D.0.0.weight": np.ones(2), "adapter.distill.adapter.0.bias": np.ones(2)}
    found = twice | state | beside
    assert detect_origin(found) == "detectron2"
    mapped = {name: map_name(name, "detectron2").name for name in prepared(plain(state), "detectron2")}
    shapes = {ours: plain_values.shape for ours, plain_values in zip(
        mapped.values(), prepared(plain(state), "detectron2").values(), strict=True
    )}  # fmt: skip
    converted, report = convert_state(found, shapes)
    assert report.is_complete and len(converted) == len(state)
    assert {"teacher.canoni_proj_1D.0.0.weight", "adapter.distill.adapter.0.bias"} < set(report.dropped)


def caffe2(depth=50):
    """MSRA's file: scales and shifts without statistics, a bias that nothing needs, a classifier."""
    state = {"conv1_w": np.ones((64, 3, 7, 7)), "conv1_b": np.zeros(64), "fc1000_w": np.ones((10, 2048))}
    state |= {"res_conv1_bn_s": np.full(64, 2.0), "res_conv1_bn_b": np.zeros(64), "fc1000_b": np.ones(10)}
    ours = layouts.ours(layouts.resnet(depth))
    for name, shape in ours.items():
        parts = name.split(".")
        if len(parts) < 5 or "running" in name:
            continue
        stage, block, layer = int(parts[1][5:]) + 1, parts[2], parts[3]
        branch = "branch1" if layer == "downsample" else "branch2" + "abc"[int(layer[-1]) - 1]
        is_norm = layer.startswith("bn") or parts[4] == "1"
        end = ("_bn_s" if parts[-1] == "weight" else "_bn_b") if is_norm else "_w"
        state[f"res{stage}_{block}_{branch}{end}"] = np.full(shape, 3.0)
    return {name: values.astype(np.float32) for name, values in state.items()}, ours


@pytest.mark.parametrize("wrapped", [False, True])
def test_caffe2_weights_fill_a_backbone(tmp_path, wrapped):
    state, ours = caffe2()
    state["conv1_w_momentum"] = np.zeros((64, 3, 7, 7), np.float32)
    with (tmp_path / "R-50.pkl").open("wb") as stream:
        pickle.dump({"blobs": state} if wrapped else state, stream, protocol=2)
    checkpoint = read_checkpoint(tmp_path / "R-50.pkl")
    assert checkpoint.origin == "detectron2"
    converted, report = convert_state(checkpoint.state, ours)
    assert report.is_complete and {name: values.shape for name, values in converted.items()} == ours
    # The scale is applied as it is: the variance and eps together are 1.
    norm = {part: converted[f"backbone.bn1.{part}"] for part in ("weight", "running_mean", "running_var")}
    np.testing.assert_allclose(norm["weight"] / np.sqrt(norm["running_var"] + 1e-5), 2.0, rtol=1e-7)
    assert not norm["running_mean"].any()
    assert "ImageNet classifier" in report.dropped.values()
    assert any("optimizer" in reason for reason in report.dropped.values())  # nothing goes without a word


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("proposal_generator.rpn_head.anchor_deltas.bias", "rpn_head.rpn_reg.bias"),
        ("roi_heads.box_head.fc2.weight", "roi_head.bbox_head.shared_fcs.1.weight"),
        ("roi_heads.box_predictor.cls_score.weight", "roi_head.bbox_head.fc_cls.weight"),
        ("roi_heads.mask_head.mask_fcn4.weight", "roi_head.mask_head.convs.3.conv.weight"),
        ("roi_heads.mask_head.predictor.bias", "roi_head.mask_head.conv_logits.bias"),
        ("backbone.bottom_up.res4.2.conv2_offset.bias", "backbone.layer3.2.conv2.conv_offset.bias"),
        ("backbone.bottom_up.layers.0.blocks.0.norm1.bias", "backbone.layers.0.blocks.0.norm1.bias"),
    ],
)
def test_two_stage_and_other_names(name, expected):
    (one,) = prepared({name: np.ones(1)}, "detectron2")
    assert map_name(one, "detectron2").name == expected
    assert list(detectron2.exported({expected: np.ones(1)})) == [name]


def test_other_suffixes_are_refused(tmp_path):
    with (tmp_path / "model.pkl").open("wb") as stream:
        pickle.dump({"model": plain(reference_state())}, stream)
    with pytest.raises(CheckpointError, match=r"\.pkl is for detectron2's names"):
        convert_file(tmp_path / "model.pkl", tmp_path / "out.pkl")
