"""What is measured: a GFL student and its teacher with random weights, and random batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.data.collate import bucket
from jld.distill import Distiller, build_distiller
from jld.models import build_detector

SIDES_PX = (16.0, 320.0)
"""Smallest and largest side of a random box; between them uniform in the logarithm."""


@dataclass(frozen=True)
class Settings:
    """Sizes of a measurement.

    Attributes:
        height, width: of the images in px, multiples of 32.
        batch: images per step.
        boxes: objects per image.
        num_classes: C.
        student_depth, teacher_depth: of the ResNets.
        base_channels: width of their stem.
        head_channels: width of neck and towers, a multiple of 8.
        steps: measured repetitions.
        warmup: repetitions before them, not counted; at least 1, the first one compiles.
    """

    height: int = 512
    width: int = 512
    batch: int = 2
    boxes: int = 8
    num_classes: int = 80
    student_depth: int = 18
    teacher_depth: int = 34
    base_channels: int = 64
    head_channels: int = 256
    steps: int = 10
    warmup: int = 3

    def size(self) -> str:
        """Batch and image size as text."""
        return f"{self.batch} x 3 x {self.height} x {self.width}"


def model_section(settings: Settings, depth: int) -> dict[str, Any]:
    """The `model` section of GFL with ResNet and FPN, as in configs/_base_/models."""
    expansion = 1 if depth < 50 else 4
    channels = settings.head_channels
    return {
        "type": "GFL",
        "backbone": {"type": "ResNet", "depth": depth, "base_channels": settings.base_channels},
        "neck": {
            "type": "FPN",
            "in_channels": [settings.base_channels * expansion * 2**stage for stage in range(4)],
            "out_channels": channels,
            "start_level": 1,
            "add_extra_convs": "on_output",
            "num_outs": 5,
        },
        "bbox_head": {
            "type": "GFLHead",
            "num_classes": settings.num_classes,
            "in_channels": channels,
            "feat_channels": channels,
            "num_norm_groups": min(32, channels // 4),
            "priors": {"type": "AnchorGenerator", "strides": [8, 16, 32, 64, 128]},
            "assigner": {"type": "ATSSAssigner"},
            "loss_cls": {"type": "QualityFocalLoss"},
            "loss_dfl": {"type": "DistributionFocalLoss", "loss_weight": 0.25},
            "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
            "nms": {"type": "ClasswiseNMS", "iou_threshold": 0.6},
        },
    }


def make_student(settings: Settings) -> Any:
    """The student, in training mode."""
    detector = build_detector(model_section(settings, settings.student_depth))
    detector.train()
    return detector


def make_distiller(settings: Settings, student: Any) -> Distiller:
    """Main LD, VLR LD and main KD from a teacher with random weights (configs/_base_/distill/full.py)."""
    ld = {"type": "LocalizationKD", "temperature": 10, "reduction": "per_image"}
    return build_distiller(
        {
            "teacher": {"config": {"model": model_section(settings, settings.teacher_depth)}},
            "terms": [
                {**ld, "region": "main", "weight": 0.5, "weighting": "max_score"},
                {**ld, "region": "vlr", "weight": 0.125, "weighting": "iou"},
                {"type": "ClassificationKD", "region": "main", "weight": 10.0, "temperature": 2},
            ],
        },
        student,
    )


def random_batch(settings: Settings, seed: int = 0) -> dict[str, Any]:
    """A batch dict of normal noise with boxes of all sizes."""
    rng = np.random.default_rng(seed)
    n, slots = settings.batch, bucket(settings.boxes)
    image_shape = np.array([settings.height, settings.width], np.float32)
    limits = image_shape[::-1]
    sides = np.exp(rng.uniform(*np.log(SIDES_PX), (n, slots, 2)))
    sides = np.minimum(sides, limits * 0.9)
    corner = rng.uniform(size=(n, slots, 2)) * (limits - sides)
    mask = np.zeros((n, slots), np.float32)
    mask[:, : settings.boxes] = 1
    shapes = np.tile(image_shape, (n, 1))
    return {
        "images": rng.standard_normal((n, 3, settings.height, settings.width), np.float32),
        "boxes": (np.concatenate([corner, corner + sides], -1) * mask[..., None]).astype(np.float32),
        "labels": (rng.integers(0, settings.num_classes, (n, slots)) * mask).astype(np.int32),
        "box_mask": mask,
        "boxes_ignore": np.zeros((n, 8, 4), np.float32),
        "ignore_mask": np.zeros((n, 8), np.float32),
        "img_shapes": shapes,
        "pad_shapes": shapes,
        "ori_shapes": shapes,
        "scale_factors": np.ones((n, 4), np.float32),
        "img_ids": list(range(n)),
        "img_files": [f"random {k}" for k in range(n)],
    }
