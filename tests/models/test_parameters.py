"""Names and numbers of parameters against the published checkpoints."""

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.models import FPN, GFLHead, ResNet, SingleStageDetector
from jld.ops.deform_conv import DCNv2

WIDTHS = {
    18: (64, 128, 256, 512),
    34: (64, 128, 256, 512),
    50: (256, 512, 1024, 2048),
    101: (256, 512, 1024, 2048),
}


def gfl(depth, num_classes=80, **backbone):
    head = GFLHead(
        num_classes,
        priors=AnchorGenerator((8, 16, 32, 64, 128)),
        assigner=None,
        loss_cls=None,
        loss_dfl=None,
        loss_bbox=None,
        nms=None,
    )
    neck = FPN(WIDTHS[depth], 256, start_level=1, add_extra_convs="on_output", num_outs=5)
    return SingleStageDetector(ResNet(depth, **backbone), neck, head)


C3_TO_C5, C4_TO_C5 = (False, True, True, True), (False, False, True, True)
X101 = {"groups": 32, "base_width": 4}


# Nothing is evaluated, so nothing is compiled.
@pytest.mark.parametrize(
    "options, keys, parameters",
    [
        (dict(depth=18), 170, 19_420_889),
        (dict(depth=34), 266, 29_529_049),
        (dict(depth=50), 368, 32_440_537),
        (dict(depth=101), 674, 51_432_665),
        (dict(depth=101, dcn={"deform_groups": 1}, stage_with_dcn=C3_TO_C5), 734, 52_718_837),
        (dict(depth=101, dcn=DCNv2(), stage_with_dcn=C3_TO_C5), 734, 53_361_923),
        (dict(depth=101, **X101), 674, 51_061_209),
        # torchvision's resnext101_32x8d, without its classifier.
        (dict(depth=101, groups=32, base_width=8), 674, 95_674_841),
        (dict(depth=101, **X101, dcn={}, stage_with_dcn=C4_TO_C5), 726, 53_467_053),
        (dict(depth=18, num_classes=20), 170, 19_282_589),
    ],
)
def test_counts_equal_the_published_models(options, keys, parameters):
    state = gfl(**options).state_dict()
    statistics = [name for name in state if name.endswith(("running_mean", "running_var"))]
    # PyTorch also stores a batch counter per normalisation and the bin values of the integral.
    assert len(state) + len(statistics) // 2 + 1 == keys
    assert sum(int(np.prod(var.shape)) for name, var in state.items() if name not in statistics) == parameters


def test_names_and_shapes_of_blocks():
    state = gfl(101, **X101, dcn={"deform_groups": 1}, stage_with_dcn=C4_TO_C5).state_dict()
    shapes = {
        "backbone.conv1.weight": [64, 3, 7, 7],
        "backbone.layer1.0.downsample.0.weight": [256, 64, 1, 1],
        "backbone.layer1.0.downsample.1.running_var": [256],
        "backbone.layer2.3.conv2.weight": [256, 8, 3, 3],
        "backbone.layer4.0.conv2.weight": [1024, 32, 3, 3],
        "backbone.layer4.0.conv2.conv_offset.weight": [18, 1024, 3, 3],
        "backbone.layer4.0.conv2.conv_offset.bias": [18],
        "neck.lateral_convs.2.conv.bias": [256],
        "neck.fpn_convs.4.conv.weight": [256, 256, 3, 3],
        "bbox_head.cls_convs.3.gn.weight": [256],
        "bbox_head.gfl_reg.weight": [68, 256, 3, 3],
        "bbox_head.scales.4.scale": [1],
    }
    assert {name: state[name].shape for name in shapes} == shapes
    assert "bbox_head.cls_convs.0.conv.bias" not in state and "backbone.layer1.0.conv1.bias" not in state


def test_frozen_stages_do_not_train():
    names = {18: 94 + 0}
    model = gfl(18, num_classes=20)
    trainable = {id(parameter) for parameter in model.trainable_parameters()}
    learning = [name for name, var in model.named_parameters() if id(var) in trainable]
    assert not any(
        name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1.")) for name in learning
    )
    assert "backbone.layer2.0.bn1.weight" in learning and "backbone.layer2.0.downsample.1.bias" in learning
    assert not any("running" in name for name in learning)
    assert len(learning) == names[18]
    model.eval()
    model.train()
    assert len(model.trainable_parameters()) == names[18], "evaluation in between must not thaw anything"
    assert len(ResNet(18, frozen_stages=-1).state_dict()) == 100
