"""Counts of operations: by definition, and those that others have published."""

from pathlib import Path

import pytest

from jld.apis.complexity import complexity, untrained
from jld.config import apply_overrides, load_config
from jld.models.backbones import ResNet, SwinTransformer
from jld.models.heads.mask_head import Doubled
from jld.models.operations import Operations, convolution_operations, count_operations
from jld.ops.conv2d import Conv2d
from jld.ops.deform_conv import DeformConv
from jld.toolchain import jittor as jt

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_operations_are_those_of_the_definition_and_count_training_where_weights_learn():
    assert convolution_operations((2, 6, 5, 3), (6, 4, 3, 2)) == 2 * (2 * 6 * 5 * 3) * (4 * 3 * 2)
    first, second = Conv2d(3, 8, 3, stride=2, padding=1, bias=False), Conv2d(8, 6, 1, groups=2)
    first.weight.stop_grad()
    found = count_operations(lambda: second(first(jt.zeros((2, 3, 7, 4)))))
    frozen, trained = 2 * (2 * 8 * 4 * 2) * (3 * 3 * 3), 2 * (2 * 6 * 4 * 2) * 4
    assert (found.forward, found.trained) == (frozen + trained, trained)
    assert found.step == frozen + 3 * trained
    assert count_operations(lambda: first(jt.zeros((1, 3, 2, 2)))) == Operations(2 * 8 * 27, 0)
    linear, doubled = jt.nn.Linear(5, 7), Doubled(5, 2)
    assert count_operations(lambda: linear(jt.zeros((2, 3, 5)))).forward == 2 * (2 * 3 * 7) * 5
    assert count_operations(lambda: doubled(jt.zeros((2, 5, 3, 4)))).forward == 2 * (2 * 2 * 6 * 8) * 5
    deformable = DeformConv(4, 6, 3, padding=1)  # 18 offsets are predicted by a convolution of their own
    assert count_operations(lambda: deformable(jt.zeros((1, 4, 5, 5)))).forward == 2 * 25 * 36 * (6 + 18)


@pytest.mark.parametrize(
    ("depth", "published"),
    # torchvision's table of GFLOPS (multiply-adds), less the classifier: 512 or 2048 times 1000.
    [(18, 1.814 - 0.000512), (50, 4.089 - 0.002048), (101, 7.801 - 0.002048)],
)
def test_resnets_are_those_published(depth, published):
    network = ResNet(depth)
    assert count_operations(lambda: network(jt.zeros((1, 3, 224, 224)))).forward / 2e9 == pytest.approx(
        published, abs=1e-3
    )


def test_swin_counts_its_attention():
    network = SwinTransformer()
    found = count_operations(lambda: network(jt.zeros((1, 3, 224, 224)))).forward / 2e9
    assert found == pytest.approx(4.5 - 0.000768, abs=0.05)  # arXiv:2103.14030, table 1, less the classifier


# Stem and first stage of a ResNet-50, which mmDetection's counter leaves out because they do not learn.
FROZEN = 0.2253


@pytest.mark.parametrize(
    ("name", "multiply_adds", "millions", "tolerance"),
    [
        # mmDetection's counter, which adds biases, norms and ReLUs: its docs/en/useful_tools.md.
        ("retinanet/retinanet_r50_1x_coco.py", 239.32, 37.74 + FROZEN, 0.01),
        # arXiv:2106.13797, table 4, counted with mmDetection and rounded.
        ("atss/atss_r50_1x_coco.py", 205, 32, 0.5),
        ("gfl/gfl_r50_1x_coco.py", 208, 32, 0.5),
    ],
)
def test_detectors_are_those_published(name, multiply_adds, millions, tolerance):
    found = complexity(untrained(load_config(CONFIGS / name)), (800, 1280))
    assert found.parameters / 1e6 == pytest.approx(millions, abs=tolerance)
    assert sum(found.multiply_adds.values()) / 1e9 == pytest.approx(multiply_adds, rel=0.02)


# Factors and shifts of a ResNet-50's normalisation, which torchvision's frozen ones hold as buffers.
NORMALISATION = 2 * 26560


@pytest.mark.parametrize(
    ("name", "changes", "multiply_adds", "parameters"),
    [
        # RetinaNet_ResNet50_FPN_Weights.COCO_V1, `_ops` and `num_params` in models/detection/retinanet.py:
        # 91 classes, and P6 of P5.
        (
            "retinanet/retinanet_r50_1x_coco.py",
            {"neck.add_extra_convs": "on_output", "bbox_head.num_classes": 91},
            151.54,
            34_014_999,
        ),
        # FasterRCNN_ResNet50_FPN_Weights.COCO_V1, the same in models/detection/faster_rcnn.py. Its box layer
        # has four outputs for the background, too.
        (
            "faster_rcnn/faster_rcnn_r50_1x_coco.py",
            {"roi_head.bbox_head.num_classes": 90},
            134.38,
            41_755_286 - 4 * (1024 + 1),
        ),
    ],
)
def test_detectors_are_those_of_torchvision(name, changes, multiply_adds, parameters):
    config = load_config(CONFIGS / name)
    found = complexity(
        untrained(apply_overrides(config, [f"model.{key}={value}" for key, value in changes.items()])),
        (800, 800),  # what its test/common_extended_utils.py makes of 512 x 512 px; it counts multiplications
    )
    assert found.parameters == parameters + NORMALISATION
    assert sum(found.multiply_adds.values()) / 1e9 == pytest.approx(multiply_adds, rel=1e-4)
