"""What is measured: a student and its teacher with random weights, and random batches.

The detectors are GFL and rotated RetinaNet with distributions and GWD, as in configs/_base_.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.data.collate import bucket
from jld.distill import Distiller, build_distiller
from jld.models import build_detector
from jld.ops.precision import FLOAT32

SIDES_PX = (16.0, 320.0)
"""Smallest and largest side of a random box; between them uniform in the logarithm."""


TITLES = {"gfl": "GFL", "rotated": "rotated RetinaNet"}


@dataclass(frozen=True)
class Settings:
    """Sizes of a measurement.

    Attributes:
        detector: a key of `TITLES`.
        height, width: of the images in px, multiples of 32.
        batch: images per step.
        boxes: objects per image.
        num_classes: C.
        student_depth, teacher_depth: of the ResNets.
        base_channels: width of their stem.
        head_channels: width of neck and towers, a multiple of 8.
        steps: measured repetitions.
        warmup: repetitions before them, not counted; at least 1, the first one compiles.
        precision: of the convolutions in training steps, see `jld.ops.precision`.
    """

    detector: str = "gfl"
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
    precision: str = FLOAT32

    def pair(self) -> str:
        """Student and teacher as text."""
        return f"{TITLES[self.detector]} R-{self.student_depth} from R-{self.teacher_depth}"

    def size(self) -> str:
        """Batch and image size as text."""
        return f"{self.batch} x 3 x {self.height} x {self.width}"


def model_section(settings: Settings, depth: int) -> dict[str, Any]:
    """The `model` section of the detector with ResNet and FPN, as in configs/_base_/models."""
    expansion = 1 if depth < 50 else 4
    channels = settings.head_channels
    is_rotated = settings.detector == "rotated"
    return {
        "type": "RotatedRetinaNet" if is_rotated else "GFL",
        "backbone": {"type": "ResNet", "depth": depth, "base_channels": settings.base_channels},
        "neck": {
            "type": "FPN",
            "in_channels": [settings.base_channels * expansion * 2**stage for stage in range(4)],
            "out_channels": channels,
            "start_level": 1,
            "add_extra_convs": "on_input" if is_rotated else "on_output",
            "num_outs": 5,
        },
        "bbox_head": _rotated_head(settings) if is_rotated else _gfl_head(settings),
    }


def _gfl_head(settings: Settings) -> dict[str, Any]:
    channels = settings.head_channels
    return {
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
    }


def _rotated_head(settings: Settings) -> dict[str, Any]:
    overlaps = {"type": "RotatedOverlap", "upright": True}
    return {
        "type": "RotatedRetinaHead",
        "num_classes": settings.num_classes,
        "in_channels": settings.head_channels,
        "feat_channels": settings.head_channels,
        "reg_max": 8,
        "delta_range": [-2.0, 2.0],
        "angle_range": [-5.0, 2.0],
        "reg_decoded_bbox": True,
        "priors": {
            "type": "RotatedAnchorGenerator",
            "strides": [8, 16, 32, 64, 128],
            "octave_base_scale": 4,
            "scales_per_octave": 3,
            "ratios": [1.0, 0.5, 2.0],
        },
        "assigner": {
            "type": "MaxIoUAssigner",
            "pos_iou_thr": 0.5,
            "neg_iou_thr": 0.4,
            "min_pos_iou": 0.0,
            "overlaps": overlaps,
        },
        "box_coder": {"type": "DeltaXYWHAOBBoxCoder", "angle_version": "oc"},
        "loss_cls": {"type": "FocalLoss"},
        "loss_bbox": {"type": "GDLoss", "loss_type": "gwd", "fun": "log1p", "loss_weight": 5.0},
        "nms": {"type": "RotatedClasswiseNMS", "iou_threshold": 0.1},
    }


def make_student(settings: Settings) -> Any:
    """The student, in training mode."""
    detector = build_detector(model_section(settings, settings.student_depth))
    detector.train()
    return detector


def make_distiller(settings: Settings, student: Any) -> Distiller:
    """LD and KD from a teacher with random weights (configs/_base_/distill/full.py and rotated_gwd.py)."""
    return build_distiller(
        {
            "teacher": {"config": {"model": model_section(settings, settings.teacher_depth)}},
            "terms": _rotated_terms() if settings.detector == "rotated" else _gfl_terms(),
        },
        student,
    )


def _gfl_terms() -> list[dict[str, Any]]:
    ld = {"type": "LocalizationKD", "temperature": 10, "reduction": "per_image"}
    return [
        {**ld, "region": "main", "weight": 0.5, "weighting": "max_score"},
        {**ld, "region": "vlr", "weight": 0.125, "weighting": "iou"},
        {"type": "ClassificationKD", "region": "main", "weight": 10.0, "temperature": 2},
    ]


def _rotated_terms() -> list[dict[str, Any]]:
    released = {"temperature": 5, "weighting": "iou", "reduction": "per_level_mean"}
    released["region"] = "rotated_ld_released"
    return [
        {"type": "LocalizationKD", "weight": 10.0, "sides": "sum", **released},
        {"type": "ClassificationKD", "weight": 20.0, **released},
    ]


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
    boxes = np.concatenate([corner, corner + sides], -1)
    if settings.detector == "rotated":
        angles = rng.uniform(0, np.pi / 2, (n, slots, 1))
        boxes = np.concatenate([corner + sides / 2, sides, angles], -1)
    return {
        "images": rng.standard_normal((n, 3, settings.height, settings.width), np.float32),
        "boxes": (boxes * mask[..., None]).astype(np.float32),
        "labels": (rng.integers(0, settings.num_classes, (n, slots)) * mask).astype(np.int32),
        "box_mask": mask,
        "boxes_ignore": np.zeros((n, 8, boxes.shape[-1]), np.float32),
        "ignore_mask": np.zeros((n, 8), np.float32),
        "img_shapes": shapes,
        "pad_shapes": shapes,
        "ori_shapes": shapes,
        "scale_factors": np.ones((n, 4), np.float32),
        "img_ids": list(range(n)),
        "img_files": [f"random {k}" for k in range(n)],
    }
