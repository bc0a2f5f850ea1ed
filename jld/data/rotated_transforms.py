"""Transforms of images with rotated boxes, the counterparts of `transforms.py`.

Boxes are [n, 5] (centre x, centre y, width, height in px, angle in radians) in the angle version that the
sample names under `angle_version`; every transform leaves them in its range. As in the annotations of DOTA a
coordinate counts pixel centres, so the mirror image of x is width - 1 - x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from jld.boxes.rotated import (
    flip_rboxes,
    pairwise_rbox_iou,
    polys_to_rboxes,
    rboxes_to_polys,
    rotate_rboxes,
    scale_rboxes,
)
from jld.data.dota.windows import MIN_SHARE
from jld.data.transforms import BOX_KEYS, RandomFlip, Resize, Sample
from jld.errors import ConfigError, one_of
from jld.registry import TRANSFORMS

ROTATION_MODES = ("range", "value")
# A box that is rotated with the image stays if both of its edges are longer than this, px.
MIN_ROTATED_SIDE = 5.0
QUARTER_TURN = math.pi / 2
# Of shares of float32 boxes.
ROUNDING = 1e-5


@TRANSFORMS.register(aliases=("RResize",))
class RotatedResize(Resize):
    """Scales image and rotated boxes so that the image fits into (max_size, min_size).

    Centres follow the scales of their axes, both edges their geometric mean, angles stay; boxes may reach
    beyond the image.

    Args:
        min_size, max_size, keep_ratio, multiscale_mode: see `Resize`.
        max_zoom: JDet's rule: the short side is neither enlarged nor shrunk by more than this factor, unless
            the long side would exceed `max_size`; with 1.5 a patch of 600 px becomes 900 px, whatever
            `min_size` asks for. None: no such limit.
        clip_boxes: JDet's rule: corners are moved into the image and a box is fitted to what is left, which
            changes size and angle of boxes at the border.
    Source: the resizing of MMRotate; `max_zoom=1.5, clip_boxes=True` is that of JDet.
    """

    carries_masks = False
    for_rotated = True

    def __init__(
        self,
        min_size: int | Sequence[int] = 1024,
        max_size: int | Sequence[int] = 1024,
        keep_ratio: bool = True,
        multiscale_mode: str = "value",
        *,
        max_zoom: float | None = None,
        clip_boxes: bool = False,
    ):
        super().__init__(min_size, max_size, keep_ratio, multiscale_mode)
        if max_zoom is not None and max_zoom < 1:
            raise ConfigError(f"RotatedResize.max_zoom is {max_zoom}, but must be at least 1.")
        self.max_zoom = max_zoom
        self.clip_boxes = clip_boxes

    def new_size(self, height: int, width: int, short: int, long: int) -> tuple[int, int]:
        """See `Resize`."""
        if self.max_zoom is None or not self.keep_ratio:
            return super().new_size(height, width, short, long)
        low, high = min(height, width), max(height, width)
        side = int(np.clip(short, int(low / self.max_zoom), int(low * self.max_zoom)))
        if high / low * side > long:
            side = round(long * low / high)
        other = int(side * high / low)
        return (side, other) if height <= width else (other, side)

    def scale_boxes(self, boxes: np.ndarray, scale: np.ndarray, sample: Sample) -> np.ndarray:
        """See `Resize`."""
        if not len(boxes):
            return boxes
        if not self.clip_boxes:
            return scale_rboxes(boxes, float(scale[0]), float(scale[1]))
        height, width = sample["img_shape"]
        corners = rboxes_to_polys(boxes).reshape(-1, 4, 2) * scale[:2]
        corners = np.clip(corners, 0, [width - 1, height - 1]).reshape(-1, 8)
        return polys_to_rboxes(corners, sample["angle_version"]).astype(np.float32)


@TRANSFORMS.register(aliases=("RRandomFlip",))
class RotatedRandomFlip(RandomFlip):
    """Mirrors image and rotated boxes with a probability.

    MMRotate's rule is one draw: `prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]`.
    JDet's configs write two transforms, one per direction with `prob=0.5`, which draw independently; the
    outcomes have the same probabilities.

    Args:
        prob, direction: see `RandomFlip`; a diagonal flip is a half turn, so it leaves angles as they are.
    Source: the flip of MMRotate.
    """

    carries_masks = False
    for_rotated = True

    def flip_boxes(
        self, boxes: np.ndarray, direction: str, image_shape: tuple[int, int], sample: Sample
    ) -> np.ndarray:
        """See `RandomFlip`."""
        return flip_rboxes(boxes, direction, image_shape, sample["angle_version"]) if len(boxes) else boxes


@TRANSFORMS.register
class RandomRotateAug:
    """Turns image and boxes by 0, 90, 180 or 270 degrees against the clock, each as likely as the others.

    Args:
        random_rotate_on: False leaves everything as it is, which is JDet's default.
    Source: JDet.
    Differs: JDet mirrors x to width - x here but to width - 1 - x in its flips; we do the latter everywhere.
    """

    for_rotated = True

    def __init__(self, random_rotate_on: bool = False):
        self.random_rotate_on = self.for_training = random_rotate_on

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return self.turn(sample, int(rng.integers(4))) if self.random_rotate_on else sample

    def turn(self, sample: Sample, quarters: int) -> Sample:
        """The sample after `quarters` quarter turns against the clock; the canvas turns with the image."""
        if quarters % 4 == 0:
            return sample
        old_center = _center(sample["image"])
        sample["image"] = np.ascontiguousarray(np.rot90(sample["image"], quarters))
        shift = np.subtract(_center(sample["image"]), old_center)
        for key in BOX_KEYS:
            if len(sample[key]):
                sample[key] = _rotate(sample, key, -quarters * QUARTER_TURN, old_center)
                sample[key][:, :2] += shift.astype(np.float32)
        sample["img_shape"] = sample["pad_shape"] = sample["image"].shape[:2]
        if quarters % 2:
            sample["scale_factor"] = sample["scale_factor"][[1, 0, 3, 2]]
        return sample


@TRANSFORMS.register
class PolyRandomRotate:
    """Turns image and boxes about the centre of the image, which keeps its size; corners become black.

    Boxes stay whose centre is still inside and whose edges are longer than 5 px.

    Args:
        rotate_ratio: probability of a rotation, 0 to 1.
        angles_range: "range": largest angle in degrees, either way; "value": the angles to choose from.
        mode: "range" draws the angle evenly, "value" picks one of a list.
        rect_classes: labels (0-based) of objects whose annotated box has no orientation of its own, such as
            [9, 11], storage-tank and roundabout of DOTA: with one of them in the image it is turned by 90,
            180 or 270 degrees instead.
    Raises:
        ConfigError: unknown mode, no angle, or a probability outside 0..1.
    Source: MMRotate.
    Differs: where no box would stay, MMRotate draws another image; here the image stays as it is, so that a
        sample depends on its own image only.
    """

    for_rotated = for_training = True

    def __init__(
        self,
        rotate_ratio: float = 0.5,
        angles_range: float | Sequence[float] = 180,
        mode: str = "range",
        rect_classes: Sequence[int] = (),
    ):
        one_of(mode, ROTATION_MODES, f"PolyRandomRotate knows no mode {mode!r}")
        if not 0 <= rotate_ratio <= 1:
            raise ConfigError(f"PolyRandomRotate.rotate_ratio is {rotate_ratio}, but must lie in 0..1.")
        is_list = isinstance(angles_range, list | tuple)
        if is_list != (mode == "value") or (is_list and not angles_range):
            raise ConfigError(
                f"PolyRandomRotate.angles_range is {angles_range!r}: mode 'range' takes one number, mode "
                "'value' a list of them."
            )
        self.rotate_ratio, self.angles_range, self.mode = rotate_ratio, angles_range, mode
        self.rect_classes = tuple(rect_classes)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        # Three draws whatever happens, so that what follows sees the same numbers.
        is_rotated, degrees, quarters = (
            rng.random() < self.rotate_ratio,
            self._draw(rng),
            int(rng.integers(1, 4)),
        )
        if not is_rotated:
            return sample
        if np.isin(sample["labels"], self.rect_classes).any():
            degrees = 90.0 * quarters
        return self.rotate(sample, degrees)

    def rotate(self, sample: Sample, degrees: float) -> Sample:
        """The sample turned clockwise on the screen, or as it was where no box would stay."""
        image, center = sample["image"], _center(sample["image"])
        turned = {key: _rotate(sample, key, math.radians(degrees), center) for key in BOX_KEYS}
        stays = {key: _stays(boxes, image.shape) for key, boxes in turned.items()}
        if len(sample["boxes"]) and not stays["boxes"].any():
            return sample
        for key in BOX_KEYS:
            sample[key] = turned[key][stays[key]]
        sample["labels"] = sample["labels"][stays["boxes"]]
        # OpenCV counts angles against the clock.
        matrix = cv2.getRotationMatrix2D(center, -degrees, 1.0)
        sample["image"] = cv2.warpAffine(image, matrix, (image.shape[1], image.shape[0]))
        return sample

    def _draw(self, rng: np.random.Generator) -> float:
        if self.mode == "value":
            return float(self.angles_range[int(rng.integers(len(self.angles_range)))])
        return self.angles_range * (2 * rng.random() - 1)


@TRANSFORMS.register
class RotatedRandomCrop:
    """Cuts a window of one size out of the image; the place of it is drawn evenly around a drawn object.

    The centre of one object, which is drawn too, lies in the window; without objects any place is as likely.
    An object of which less than a share lies in the window is ignored there: neither object nor background to
    an assigner with `ignore_iof_thr`, background to others. A side of the image that is shorter than the
    window stays as it is.

    Args:
        crop_size: (height, width) px.
        min_iof: least share of an object's area within the window, 0 to 1, with which it is trained on.
    Raises:
        ConfigError: a side below 1 px or a share outside 0..1.
    Source: the share is that of DOTA's patches, see `jld.data.dota.windows`.
    Differs: MMRotate's RandomRotatedCrop draws the place without regard to objects, again where none is left.
    """

    for_rotated = for_training = makes_ignored = True

    def __init__(self, crop_size: Sequence[int], min_iof: float = MIN_SHARE):
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ConfigError(
                f"RotatedRandomCrop.crop_size is {crop_size!r}; it is (height, width), 1 px at least."
            )
        if not 0 <= min_iof <= 1:
            raise ConfigError(f"RotatedRandomCrop.min_iof is {min_iof}, but must lie in 0..1.")
        self.crop_size, self.min_iof = tuple(crop_size), min_iof

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        # Three draws whatever is there, so that what follows sees the same numbers.
        draws = rng.random(3)
        boxes, shape = sample["boxes"], sample["image"].shape[:2]
        around = boxes[int(draws[0] * len(boxes)), 1::-1] if len(boxes) else None
        starts = [
            _window_start(draw, shape[axis], self.crop_size[axis], None if around is None else around[axis])
            for axis, draw in enumerate(draws[1:])
        ]
        return self.crop(sample, *starts)

    def crop(self, sample: Sample, top: int, left: int) -> Sample:
        """The sample in the window whose first row and column are given, px."""
        image = sample["image"][top : top + self.crop_size[0], left : left + self.crop_size[1]]
        height, width = image.shape[:2]
        window = np.array([[(width - 1) / 2, (height - 1) / 2, width, height, 0.0]], np.float32)
        moved = {key: sample[key] - np.float32([left, top, 0, 0, 0]) for key in BOX_KEYS if len(sample[key])}
        shares = {key: pairwise_rbox_iou(boxes, window, "iof")[:, 0] for key, boxes in moved.items()}
        if "boxes_ignore" in moved:
            sample["boxes_ignore"] = moved["boxes_ignore"][shares["boxes_ignore"] > 0]
        if "boxes" in moved:
            shown = shares["boxes"] > 0
            stays = shown & (shares["boxes"] >= self.min_iof - ROUNDING)
            cut = moved["boxes"][shown & ~stays]
            sample["boxes"], sample["labels"] = moved["boxes"][stays], sample["labels"][stays]
            sample["boxes_ignore"] = np.concatenate([sample["boxes_ignore"].reshape(-1, 5), cut])
        sample["image"] = np.ascontiguousarray(image)
        sample["img_shape"] = sample["pad_shape"] = (height, width)
        return sample


def _window_start(draw: float, length: int, size: int, around: float | None) -> int:
    # First pixel of a window of `size` along a side of `length`, so that `around` lies within.
    last = max(length - size, 0)
    low, high = 0, last
    if around is not None:
        low = min(max(int(np.ceil(around)) - size + 1, 0), last)
        high = max(min(int(around), last), low)
    return low + int(draw * (high - low + 1))


def _center(image: np.ndarray) -> tuple[float, float]:
    return (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2


def _rotate(sample: Sample, key: str, angle_rad: float, center: tuple[float, float]) -> np.ndarray:
    boxes = sample[key]
    return rotate_rboxes(boxes, angle_rad, center, sample["angle_version"]) if len(boxes) else boxes


def _stays(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    if not len(boxes):
        return np.zeros(0, bool)
    x, y, width, height, _ = boxes.T
    is_inside = (x > 0) & (x < shape[1]) & (y > 0) & (y < shape[0])
    return is_inside & (width > MIN_ROTATED_SIDE) & (height > MIN_ROTATED_SIDE)
