"""Messages for missing or misfitting weights; reading an ImageNet-like file into a backbone."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.checkpoint import write_safetensors
from jld.errors import CheckpointError, ConfigError
from jld.models import ResNet, assign_state, build_detector, load_weights
from jld.models.rois import RoIPooler
from tests.models.test_parameters import gfl


@pytest.fixture(scope="module")
def backbone():
    return ResNet(18, base_channels=8)


def arrays_of(backbone):
    rng = np.random.default_rng(0)
    return {name: rng.random(tuple(var.shape), np.float32) for name, var in backbone.state_dict().items()}


def test_missing_file_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("JLD_WEIGHTS", str(tmp_path))
    with pytest.raises(
        CheckpointError, match=rf"resnet18\*\.pth in {tmp_path}; it is https://.*f37072fd\.pth"
    ):
        ResNet(18, base_channels=8, pretrained="torchvision://resnet18").load_pretrained()
    with pytest.raises(CheckpointError, match=r"nowhere\.pth do not exist"):
        ResNet(18, base_channels=8, pretrained="nowhere.pth").load_pretrained()
    ResNet(18, base_channels=8).load_pretrained()


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_imagenet_file_fills_the_backbone(tmp_path, monkeypatch, backbone, prefix):
    state = arrays_of(backbone)
    extra = (
        {"fc.weight": np.zeros((10, 64), np.float32)} if not prefix else {"neck.x": np.zeros(1, np.float32)}
    )
    write_safetensors(
        tmp_path / "resnet18-abc.safetensors", {**{prefix + k: v for k, v in state.items()}, **extra}, {}
    )
    monkeypatch.setenv("JLD_WEIGHTS", str(tmp_path))
    model = ResNet(18, base_channels=8, pretrained="torchvision://resnet18")
    frozen = model.conv1.weight.is_stop_grad()
    model.load_pretrained()
    for name, var in model.state_dict().items():
        np.testing.assert_array_equal(var.numpy(), state[name])
    assert frozen and model.conv1.weight.is_stop_grad() and not model.layer2[0].bn1.weight.is_stop_grad()


def test_misfits_are_refused():
    model = gfl(18)
    state = {name: np.zeros(tuple(var.shape), np.float32) for name, var in model.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"file\.pth does not fit the model: .*neck\.fpn_convs\.0\.conv\.bias"
    ):
        assign_state(
            model, {k: v for k, v in state.items() if k != "neck.fpn_convs.0.conv.bias"}, what="file.pth"
        )
    with pytest.raises(CheckpointError, match="layer9"):
        assign_state(model, {**state, "backbone.layer9.x": np.zeros(3)}, what="file.pth")
    with pytest.raises(CheckpointError, match=r"\[9\] in the file and \[64\]"):
        assign_state(model, {**state, "backbone.bn1.weight": np.zeros(9)}, what="file.pth")


def test_load_weights_names_the_config_key(tmp_path, backbone):
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"x": np.zeros(1, np.float32)}, {})
    with pytest.raises(CheckpointError, match=r"teacher\.checkpoint"):
        load_weights(backbone, path, what="teacher.checkpoint")


def test_a_detector_of_torchvision_needs_its_crops_and_anchors(tmp_path):
    path = tmp_path / "faster.safetensors"
    write_safetensors(path, {"backbone.body.conv1.weight": np.ones((4, 3, 7, 7), np.float32)}, {})
    model = SimpleNamespace(
        roi_head=SimpleNamespace(pooler=RoIPooler(aligned=False)),
        rpn_head=SimpleNamespace(priors=AnchorGenerator((4,))),
    )
    with pytest.raises(CheckpointError, match=r"pretrained_weights .*priors\.grid='torchvision'"):
        load_weights(model, path, what="pretrained_weights")


def test_offset_convolutions_may_be_missing_in_an_imagenet_file(tmp_path):
    model = ResNet(18, base_channels=8, dcn={}, stage_with_dcn=(False, False, False, True))
    state = arrays_of(model)
    path = tmp_path / "resnet18.safetensors"
    write_safetensors(path, {name: value for name, value in state.items() if "conv_offset" not in name}, {})
    ResNet(18, base_channels=8, pretrained=str(path)).load_pretrained()
    model.pretrained = str(path)
    model.load_pretrained()
    np.testing.assert_array_equal(model.layer4[0].conv2.weight.numpy(), state["layer4.0.conv2.weight"])
    assert not model.layer4[0].conv2.conv_offset.weight.numpy().any()


def test_config_without_a_detector_is_refused():
    with pytest.raises(ConfigError, match=r"model\.type"):
        build_detector({"model": {"backbone": {}}})
    with pytest.raises(ConfigError, match="GFL"):
        build_detector({"type": "GFLL"})
