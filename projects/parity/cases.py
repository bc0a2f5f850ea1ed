"""What the golden cases of this project hold: GFL with deeper backbones, small images, few objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_CLASSES = 7
DCN = {"type": "DCN", "deform_groups": 1, "fallback_on_stride": False}
X101 = {"type": "ResNeXt", "depth": 101, "groups": 32, "base_width": 4}
R101 = {"type": "ResNet", "depth": 101}
C3_TO_C5 = [False, True, True, True]
TRAIN_CFG = {
    "assigner": {"type": "ATSSAssigner", "topk": 9},
    "allowed_border": -1,
    "pos_weight": -1,
    "debug": False,
}
TEST_CFG = {
    "nms_pre": 1000,
    "min_bbox_size": 0,
    "score_thr": 0.05,
    "nms": {"type": "nms", "iou_threshold": 0.6},
    "max_per_img": 100,
}
FEW_CFG = {**TEST_CFG, "nms_pre": 60, "score_thr": 0.1, "max_per_img": 20}


@dataclass(frozen=True)
class Case:
    """One golden case.

    Attributes:
        name: of its file.
        backbone: the part of mmDetection's section that differs between the cases.
        batch_shape: (height, width) of the padded batch.
        image_shapes: (height, width) of every image inside it.
        boxes: per image, rows of x1, y1, x2, y2 in px and a label.
        loss_bbox: type of the box loss.
    """

    name: str
    backbone: dict[str, Any]
    batch_shape: tuple[int, int]
    image_shapes: tuple[tuple[int, int], ...]
    boxes: tuple[tuple[tuple[float, ...], ...], ...]
    loss_bbox: str = "GIoULoss"

    @property
    def pad_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of each image, rounded up to whole cells of 32 px where the batch has room."""
        room = np.asarray(self.batch_shape)
        return [tuple(np.minimum(-(-np.asarray(s) // 32) * 32, room).tolist()) for s in self.image_shapes]

    def model(self) -> dict[str, Any]:
        """The detector in mmDetection's words."""
        return gfl_section(self.backbone, loss_bbox=self.loss_bbox)


def gfl_section(
    backbone: dict[str, Any],
    *,
    widths: Sequence[int] = (256, 512, 1024, 2048),
    num_classes: int = NUM_CLASSES,
    loss_bbox: str = "GIoULoss",
) -> dict[str, Any]:
    """A GFL in mmDetection's words.

    Args:
        backbone: type, depth and what else differs from the common settings.
        widths: channels of the four stages.
    """
    common = {
        "num_stages": 4,
        "out_indices": [0, 1, 2, 3],
        "frozen_stages": 1,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": True,
        "style": "pytorch",
    }
    neck = {
        "type": "FPN",
        "in_channels": list(widths),
        "out_channels": 256,
        "start_level": 1,
        "add_extra_convs": "on_output",
        "num_outs": 5,
    }
    head = {
        "type": "GFLHead",
        "num_classes": num_classes,
        "in_channels": 256,
        "stacked_convs": 4,
        "feat_channels": 256,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "ratios": [1.0],
            "octave_base_scale": 8,
            "scales_per_octave": 1,
            "strides": [8, 16, 32, 64, 128],
        },
        "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0},
        "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
        "reg_max": 16,
        "loss_bbox": {"type": loss_bbox, "loss_weight": 2.0},
    }
    section = {"type": "GFL", "pretrained": None, "neck": neck, "bbox_head": head}
    return {**section, "backbone": {**common, **backbone}}


SCENE = (
    ((7.3, 11.8, 58.6, 60.1, 2), (40.2, 5.7, 92.9, 47.4, 5), (60.4, 30.3, 84.7, 62.2, 0)),
    ((3.6, 8.2, 30.9, 34.1, 6), (20.7, 16.4, 77.3, 55.8, 1)),
)
CASES = (
    # Odd sizes, two images of different sizes, the box loss of the released R-50 configs.
    Case(
        "h_gfl_full_r50",
        {"type": "ResNet", "depth": 50},
        (71, 101),
        ((71, 101), (59, 83)),
        SCENE,
        loss_bbox="CIoULoss",
    ),
    # One image without objects.
    Case(
        "h_gfl_full_r101dcn",
        {**R101, "dcn": DCN, "stage_with_dcn": C3_TO_C5},
        (72, 104),
        ((70, 100), (72, 104)),
        (SCENE[0], ()),
    ),
    Case("h_gfl_full_x101", X101, (64, 96), ((64, 96),), SCENE[:1]),
    # X-101 with DCN in c4 and c5 is left out: with these weights gradient norms move by 4e-3 with the number
    # of threads alone.
)

# Parameters whose gradients are sampled; those that a model lacks are left out.
GRADIENTS = (
    "backbone.layer2.0.conv1.weight",
    "backbone.layer2.0.conv2.weight",
    "backbone.layer2.0.conv2.conv_offset.weight",
    "backbone.layer2.0.downsample.0.weight",
    "backbone.layer3.2.bn3.weight",
    "backbone.layer3.5.conv2.weight",
    "backbone.layer3.5.conv2.conv_offset.bias",
    "backbone.layer4.2.bn2.bias",
    "backbone.layer4.2.conv2.conv_offset.weight",
    "backbone.layer4.2.conv3.weight",
    "neck.lateral_convs.0.conv.weight",
    "neck.fpn_convs.4.conv.weight",
    "bbox_head.cls_convs.0.conv.weight",
    "bbox_head.reg_convs.3.gn.bias",
    "bbox_head.gfl_cls.bias",
    "bbox_head.gfl_reg.weight",
    "bbox_head.scales.0.scale",
)
