"""What is measured: a student, its teacher where it has one, with random weights, and random batches.

The detectors and their distillation are those of configs/_base_.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from jld.config import load_config, to_plain
from jld.config.loader import merge
from jld.data.collate import bucket
from jld.distill import Distiller, build_distiller
from jld.models import build_detector
from jld.ops.precision import FLOAT32

SIDES_PX = (16.0, 320.0)
"""Smallest and largest side of a random box; between them uniform in the logarithm."""

TITLES = {
    "gfl": "GFL",
    "rotated": "rotated RetinaNet",
    "faster_rcnn": "Faster R-CNN",
    "mask_rcnn": "Mask R-CNN",
    "lgd_retinanet": "LGD on RetinaNet",
}
TWO_STAGE = ("faster_rcnn", "mask_rcnn")
FROZEN_TEACHER = ("gfl", "rotated")
BASE = Path(__file__).resolve().parents[2] / "configs" / "_base_"
MODELS = {
    "gfl": ("models/gfl_r50_fpn",),
    "rotated": ("models/rotated_retinanet_r18_fpn", "models/rotated_distribution", "models/rotated_gwd"),
    "faster_rcnn": ("models/faster_rcnn_r50_fpn",),
    "mask_rcnn": ("models/mask_rcnn_r50_fpn",),
    "lgd_retinanet": ("models/retinanet_r50_detectron2_fpn",),
}
TERMS = {"gfl": "distill/full", "rotated": "distill/rotated_gwd", "lgd_retinanet": "distill/lgd"}


@dataclass(frozen=True)
class Settings:
    """Sizes of a measurement.

    Attributes:
        detector: a key of `TITLES`.
        height, width: of the images in px, multiples of 32.
        batch: images per step.
        boxes: objects per image.
        num_classes: C.
        student_depth, teacher_depth: of the ResNets; without a frozen teacher the second has no meaning.
        base_channels: width of their stem.
        head_channels: width of neck and towers, a multiple of 8.
        steps: measured repetitions.
        warmup: repetitions before them, not counted; at least 1, the first one compiles.
        precision: of the convolutions in training steps, see `jld.ops.precision`.
        even_samples: two stages draw without chance, so that a peer can learn from the same anchors and RoIs.
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
    even_samples: bool = False

    def pair(self) -> str:
        """The student, and its teacher where that is frozen, as text."""
        student = f"{TITLES[self.detector]} R-{self.student_depth}"
        return f"{student} from R-{self.teacher_depth}" if self.detector in FROZEN_TEACHER else student

    def size(self) -> str:
        """Batch and image size as text."""
        return f"{self.batch} x 3 x {self.height} x {self.width}"


def model_section(settings: Settings, depth: int) -> dict[str, Any]:
    """The `model` section of configs/_base_/models at the sizes asked for, without pretrained weights."""
    section, channels = _base(MODELS[settings.detector])["model"], settings.head_channels
    expansion = 1 if depth < 50 else 4
    widths = [settings.base_channels * expansion * 2**stage for stage in range(4)]
    backbone = {"depth": depth, "base_channels": settings.base_channels, "pretrained": None}
    neck = {"in_channels": widths, "out_channels": channels}
    return merge(section, {"backbone": backbone, "neck": neck} | _head_sections(settings))


def _head_sections(settings: Settings) -> dict[str, Any]:
    """What the heads' sections of a config have to be told of the sizes asked for."""
    channels = settings.head_channels
    reads = {"in_channels": channels}
    dense, second = reads | {"feat_channels": channels}, reads | {"num_classes": settings.num_classes}
    if settings.detector in TWO_STAGE:
        sampler = {"sampler": {"type": "SpreadSampler"}} if settings.even_samples else {}
        roi_head: dict[str, Any] = {"bbox_head": second} | sampler
        if settings.detector == "mask_rcnn":
            roi_head["mask_head"] = second | {"conv_out_channels": channels}
        return {"rpn_head": dense | sampler, "roi_head": roi_head}
    head = dense | second
    if settings.detector == "gfl":
        head["num_norm_groups"] = min(32, channels // 4)
    return {"bbox_head": head}


def _base(names: tuple[str, ...]) -> dict[str, Any]:
    """Files of configs/_base_, one on top of the other."""
    return reduce(merge, (to_plain(load_config(BASE / f"{name}.py")) for name in names))


def make_student(settings: Settings) -> Any:
    """The student, in training mode."""
    detector = build_detector(model_section(settings, settings.student_depth))
    detector.train()
    return detector


def make_distiller(settings: Settings, student: Any, *, start: int = 0) -> Distiller | None:
    """The terms of configs/_base_/distill, acting from step `start` on; None for a detector without any."""
    if settings.detector not in TERMS:
        return None
    return distiller_of(_base((TERMS[settings.detector],))["distill"], settings, student, start=start)


def distiller_of(section: dict[str, Any], settings: Settings, student: Any, *, start: int = 0) -> Distiller:
    """The distiller of a config's `distill` section, acting from step `start` on.

    A teacher that is not made of labels is of the sizes asked for and has random weights.
    """
    teacher = section.get("teacher") or {}
    if "type" not in teacher:
        teacher = {"config": {"model": model_section(settings, settings.teacher_depth)}}
    terms = [term | {"schedule": {"start": start}} for term in section["terms"]]
    distiller = build_distiller(section | {"teacher": teacher, "terms": terms}, student)
    assert distiller is not None  # there is a section
    return distiller


def phase_shares() -> tuple[float, float]:
    """Shares of a training in which LGD's term rests and, within them, the backbone does: configs/_base_."""
    config = _base((TERMS["lgd_retinanet"],))
    (resting,) = config["optimizer"]["student"]["parameter_groups"]
    (term,) = config["distill"]["terms"]
    return term["schedule"]["start"], resting["start"]


def random_batch(settings: Settings, seed: int = 0) -> dict[str, Any]:
    """A batch dict of normal noise with boxes of all sizes."""
    rng = np.random.default_rng(seed)
    n, slots = settings.batch, bucket(settings.boxes)
    image_shape = np.array([settings.height, settings.width], np.float32)
    corner, sides = random_boxes(rng, (n, slots), settings)
    mask = np.zeros((n, slots), np.float32)
    mask[:, : settings.boxes] = 1
    shapes = np.tile(image_shape, (n, 1))
    boxes = np.concatenate([corner, corner + sides], -1)
    if settings.detector == "rotated":
        angles = rng.uniform(0, np.pi / 2, (n, slots, 1))
        boxes = np.concatenate([corner + sides / 2, sides, angles], -1)
    masks = {"mask_bitmaps": _ellipses(boxes, mask, settings)} if settings.detector == "mask_rcnn" else {}
    return masks | {
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


def random_boxes(
    rng: np.random.Generator, shape: tuple[int, int], settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Upper left corners and sides, both [*shape, 2] in px (x, y), of boxes within the image."""
    limits = np.array([settings.width, settings.height], np.float32)
    sides = np.minimum(np.exp(rng.uniform(*np.log(SIDES_PX), (*shape, 2))), limits * 0.9)
    return rng.uniform(size=(*shape, 2)) * (limits - sides), sides


def _ellipses(boxes: np.ndarray, mask: np.ndarray, settings: Settings) -> np.ndarray:
    """uint8 [N, G, H, W] 1 inside the ellipse that touches all sides of a box, zeros in empty slots."""
    low, high = (boxes[..., None, None, axes] for axes in (slice(0, 2), slice(2, 4)))
    rows, columns = np.mgrid[: settings.height, : settings.width]
    pixels = np.stack([columns, rows], -1) + 0.5
    distance = np.square((2 * pixels - low - high) / (high - low)).sum(-1)
    return ((distance <= 1) & (mask[..., None, None] > 0)).astype(np.uint8)
