"""Changes of an image's values that leave its boxes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from jld.data.transforms import Sample
from jld.errors import ConfigError
from jld.registry import TRANSFORMS

HALF_TURN_DEGREES = 180.0


def _range(value: float | Sequence[float], name: str) -> tuple[float, float]:
    # A number d stands for factors from 1 - d to 1 + d.
    pair = (max(1 - value, 0.0), 1 + value) if isinstance(value, int | float) else tuple(value)
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1] < math.inf:
        raise ConfigError(
            f"ColorJitter.{name} is {value!r}; it is a number of 0 at least or a pair of factors."
        )
    return float(pair[0]), float(pair[1])


def _pixels(sample: Sample, name: str) -> np.ndarray:
    """The image of a sample, [H, W, 3] uint8.

    Raises:
        ConfigError: it is normalised already.
    """
    if sample["image"].dtype != np.uint8:
        raise ConfigError(f"{name} changes pixels of 0 to 255: put it before Normalize.")
    return sample["image"]


@TRANSFORMS.register
class ColorJitter:
    """Draws brightness, contrast, saturation and hue, each evenly from its range, in this order.

    Brightness multiplies the values, contrast their distance from the mean grey of the image, saturation
    that from each pixel's grey, hue turns on the colour circle. Values stay in 0..255.

    Args:
        brightness, contrast, saturation: a pair of factors, or d for factors from 1 - d (0 at least) to
            1 + d.
        hue: largest turn either way as a share of the circle, 0 to 0.5.
    Raises:
        ConfigError: a range that is none.
    Source: torchvision, transforms.ColorJitter.
    Differs: torchvision draws the order, too.
    """

    carries_masks = True

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        hue: float = 0.0,
    ):
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")
        if not 0 <= hue <= 0.5:
            raise ConfigError(f"ColorJitter.hue is {hue!r}, but must lie in 0..0.5.")
        self.hue = hue

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        brightness, contrast, saturation = (
            rng.uniform(*limits) for limits in (self.brightness, self.contrast, self.saturation)
        )
        turn = self.hue * rng.uniform(-1, 1)
        image = np.clip(_pixels(sample, "ColorJitter").astype(np.float32) * np.float32(brightness), 0, 255)
        mean = np.float32(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean())
        image = np.clip((image - mean) * np.float32(contrast) + mean, 0, 255)
        if saturation != 1:
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
            image = np.clip((image - grey) * np.float32(saturation) + grey, 0, 255)
        image = np.rint(image).astype(np.uint8)
        sample["image"] = _turned(image, turn) if turn else image
        return sample


def _turned(image: np.ndarray, turn: float) -> np.ndarray:
    # OpenCV counts hue in steps of two degrees.
    colors = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    steps = round(turn * HALF_TURN_DEGREES)
    colors[..., 0] = (colors[..., 0].astype(np.int16) + steps) % int(HALF_TURN_DEGREES)
    return cv2.cvtColor(colors, cv2.COLOR_HSV2BGR)


@TRANSFORMS.register
class RandomInvert:
    """Makes dark bright and bright dark with a probability; thermal images of day and night differ so.

    Args:
        prob: 0 to 1.
    Raises:
        ConfigError: a probability outside 0..1.
    Source: torchvision, transforms.RandomInvert.
    """

    carries_masks = True

    def __init__(self, prob: float = 0.5):
        if not 0 <= prob <= 1:
            raise ConfigError(f"RandomInvert.prob is {prob}, but must lie in 0..1.")
        self.prob = prob

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < self.prob:
            sample["image"] = 255 - _pixels(sample, "RandomInvert")
        return sample
