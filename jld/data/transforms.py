"""What happens to an image and its boxes between the file and the network.

A transform is called with a sample and a random generator, changes the sample and returns it. Inside a
pipeline the image is [H, W, 3] BGR (uint8 from the file, float32 after `Normalize`); the dataset turns it
into [3, H, W] at the end. Every random decision comes from the generator, so equal generators give equal
samples. Sizes are (height, width); boxes are xyxy in px of the current image, without any +1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from jld.errors import ConfigError, DataError, one_of
from jld.registry import TRANSFORMS

Sample = dict[str, Any]
BOX_KEYS = ("boxes", "boxes_ignore")
DIRECTIONS = ("horizontal", "vertical", "diagonal")


@TRANSFORMS.interface
class Transform(Protocol):
    """Changes a sample and returns it; every random decision comes from `rng`.

    A transform that may meet instance masks says so with `carries_masks = True` and moves `sample["masks"]`
    with the image, where it is not None; see `jld.data.instance_masks`. Further marks, where they are true:
    `for_rotated`, it moves rotated boxes alone; `for_training`, what is found in its images cannot be brought
    back to the original; `makes_ignored`, it turns objects into ignored ones.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator, /) -> Sample:
        """The changed sample."""


class Compose:
    """Calls transforms one after the other."""

    def __init__(self, transforms: Iterable[Transform] | None = None):
        self.transforms = tuple(transforms or ())
        for index, transform in enumerate(self.transforms):
            if not callable(transform):
                raise ConfigError(f"transforms.{index} is {transform!r}, which is not a transform.")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    def marked(self, mark: str) -> list[tuple[int, Transform]]:
        """(index, transform) of those with a mark, see `Transform`."""
        return [pair for pair in enumerate(self.transforms) if getattr(pair[1], mark, False)]

    def check_masks(self, name: str) -> None:
        """Stops where a transform would leave masks behind.

        Args:
            name: of the dataset, for the message.
        Raises:
            ConfigError: a transform does not say `carries_masks`.
        """
        for index, transform in enumerate(self.transforms):
            if not getattr(transform, "carries_masks", False):
                raise ConfigError(
                    f"{name}.transforms.{index} is {type(transform).__name__}, which does not move instance "
                    "masks with the image (`carries_masks`): leave it out, or set with_masks=False."
                )


def new_sample(image: np.ndarray, **fields: Any) -> Sample:
    """A sample before any transform: the image with empty boxes and identity geometry.

    Args:
        image: [H, W, 3] BGR.
        fields: entries that replace or extend the defaults (boxes, labels, img_id, ...).
    """
    shape = image.shape[:2]
    sample = {
        "image": image,
        "boxes": np.zeros((0, 4), np.float32),
        "labels": np.zeros(0, np.int64),
        "boxes_ignore": np.zeros((0, 4), np.float32),
        "img_id": None,
        "img_file": "",
        "ori_shape": shape,
        "img_shape": shape,
        "pad_shape": shape,
        "scale_factor": np.ones(4, np.float32),
        "flip": None,
        "masks": None,
    }
    return {**sample, **fields}


def finish_sample(sample: Sample) -> Sample:
    """Turns the image of a finished sample from [H, W, 3] into contiguous float32 [3, H, W]."""
    sample["image"] = np.ascontiguousarray(sample["image"].transpose(2, 0, 1), np.float32)
    return sample


@TRANSFORMS.register
class Resize:
    """Scales image and boxes so that the image fits into (max_size, min_size).

    The factor is min(max_size / long side, min_size / short side) and the new sides are int(side * factor +
    0.5). Boxes are multiplied by the exact ratio of the new to the old side and clipped to the image.

    Args:
        min_size: length or lengths of the short side, px.
        max_size: limit or limits of the long side, px.
        keep_ratio: False stretches to height `min_size` and width `max_size`.
        multiscale_mode: with several lengths, "value" picks one of them ("value" pairs `min_size[i]` with
            `max_size[i]`), "range" draws an integer between the smallest and the largest, both included.
    Raises:
        ConfigError: unknown mode, or lists that cannot be paired.
    Source: the resizing of mmDetection 2.
    """

    carries_masks = True

    def __init__(
        self,
        min_size: int | Sequence[int] = 800,
        max_size: int | Sequence[int] = 1333,
        keep_ratio: bool = True,
        multiscale_mode: str = "value",
    ):
        self.min_sizes, self.max_sizes = _as_tuple(min_size, "min_size"), _as_tuple(max_size, "max_size")
        self.keep_ratio = keep_ratio
        one_of(multiscale_mode, ("value", "range"), f"Resize knows no multiscale_mode {multiscale_mode!r}")
        self.multiscale_mode = multiscale_mode
        longest = max(len(self.min_sizes), len(self.max_sizes))
        if multiscale_mode == "value":
            if {len(self.min_sizes), len(self.max_sizes)} - {1, longest}:
                raise ConfigError(
                    f"Resize cannot pair {len(self.min_sizes)} min_size with {len(self.max_sizes)} max_size: "
                    "give lists of equal length, or one of them as a number."
                )
            self.min_sizes = self.min_sizes * (longest // len(self.min_sizes))
            self.max_sizes = self.max_sizes * (longest // len(self.max_sizes))

    def _limits(self, rng: np.random.Generator) -> tuple[int, int]:
        if self.multiscale_mode == "range":
            return _draw(self.min_sizes, rng), _draw(self.max_sizes, rng)
        index = int(rng.integers(len(self.min_sizes))) if len(self.min_sizes) > 1 else 0
        return self.min_sizes[index], self.max_sizes[index]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        new_height, new_width = self.new_size(height, width, *self._limits(rng))
        sample["image"] = cv2.resize(sample["image"], (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        ratio_x, ratio_y = new_width / width, new_height / height
        scale = np.array([ratio_x, ratio_y, ratio_x, ratio_y], np.float32)
        sample["img_shape"] = sample["pad_shape"] = (new_height, new_width)
        for key in BOX_KEYS:
            sample[key] = self.scale_boxes(sample[key], scale, sample)
        if sample["masks"] is not None:
            sample["masks"] = sample["masks"].scaled((new_height, new_width))
        sample["scale_factor"] = sample["scale_factor"] * scale
        return sample

    def new_size(self, height: int, width: int, short: int, long: int) -> tuple[int, int]:
        """(height, width) of an image of the given size after resizing, for one pair of limits."""
        return scaled_size(height, width, short, long) if self.keep_ratio else (short, long)

    def scale_boxes(self, boxes: np.ndarray, scale: np.ndarray, sample: Sample) -> np.ndarray:
        """Boxes [n, 4] times `scale` [4] (x, y, x, y), clipped to the image, whose size `sample` holds."""
        height, width = sample["img_shape"]
        return np.clip(boxes * scale, 0, np.array([width, height, width, height], np.float32))


def scaled_size(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """(height, width) of an image after it was fitted into short x long px with its ratio kept."""
    factor = min(long / max(height, width), short / min(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def _as_tuple(value: int | Sequence[int], name: str) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or any(not isinstance(number, int | np.integer) or number < 1 for number in values):
        raise ConfigError(f"Resize.{name} is {value!r}, but must be a positive integer or a list of them.")
    return tuple(int(number) for number in values)


def _draw(values: tuple[int, ...], rng: np.random.Generator) -> int:
    low, high = min(values), max(values)
    return int(rng.integers(low, high + 1)) if high > low else low


@TRANSFORMS.register
class RandomFlip:
    """Mirrors image and boxes with a probability.

    One draw decides between the directions and no flip; two `RandomFlip` in a row draw independently.

    Args:
        prob: probability of any flip, 0 to 1; or one probability per direction, 1 at most together.
        direction: "horizontal", "vertical", "diagonal" (both at once), or a list of them, which share a
            single `prob` equally.
    Raises:
        ConfigError: unknown direction, probabilities outside 0..1, or not one per direction.
    """

    carries_masks = True

    def __init__(self, prob: float | Sequence[float] = 0.5, direction: str | Sequence[str] = "horizontal"):
        self.directions = (direction,) if isinstance(direction, str) else tuple(direction)
        for name in self.directions:
            one_of(name, DIRECTIONS, f"RandomFlip knows no direction {name!r}")
        count = len(self.directions)
        shares = tuple(prob) if isinstance(prob, list | tuple) else (prob / count,) * count
        if len(shares) != count:
            raise ConfigError(
                f"RandomFlip.prob has {len(shares)} numbers for {count} directions: give one for each, or "
                "one for all."
            )
        # A sum of shares may miss 1 by a rounding error.
        if min(shares, default=0) < 0 or sum(shares) > 1 + 1e-9:
            raise ConfigError(f"RandomFlip.prob is {prob}, but must lie between 0 and 1.")
        self.upper_ends = np.cumsum(shares)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        chosen = int(np.searchsorted(self.upper_ends, rng.random(), side="right"))
        return self.flip(sample, self.directions[chosen]) if chosen < len(self.directions) else sample

    def flip(self, sample: Sample, direction: str) -> Sample:
        """Mirrors image and boxes; `direction` is one of `DIRECTIONS`."""
        height, width = sample["image"].shape[:2]
        sample["image"] = np.ascontiguousarray(_mirror(sample["image"], direction))
        for key in BOX_KEYS:
            sample[key] = self.flip_boxes(sample[key], direction, (height, width), sample)
        if sample["masks"] is not None:
            sample["masks"] = sample["masks"].flipped(direction)
        sample["flip"] = _joined_flip(sample["flip"], direction)
        return sample

    def flip_boxes(
        self, boxes: np.ndarray, direction: str, image_shape: tuple[int, int], sample: Sample
    ) -> np.ndarray:
        """Boxes [n, 4] of the mirrored image; `image_shape` is (height, width) px."""
        height, width = image_shape
        x1, y1, x2, y2 = boxes.T
        if direction != "vertical":
            x1, x2 = width - x2, width - x1
        if direction != "horizontal":
            y1, y2 = height - y2, height - y1
        return np.stack([x1, y1, x2, y2], axis=1)


def _joined_flip(first: str | None, second: str) -> str | None:
    # What two flips in a row amount to.
    axes = {None: (0, 0), "horizontal": (1, 0), "vertical": (0, 1), "diagonal": (1, 1)}
    both = tuple((a + b) % 2 for a, b in zip(axes[first], axes[second], strict=True))
    return next(name for name, pair in axes.items() if pair == both)


def _mirror(image: np.ndarray, direction: str) -> np.ndarray:
    if direction == "horizontal":
        return image[:, ::-1]
    return image[::-1] if direction == "vertical" else image[::-1, ::-1]


@TRANSFORMS.register
class Normalize:
    """Subtracts a mean and divides by a standard deviation per channel, in the colour order of the network.

    Args:
        mean: three numbers in the order of the result's channels, scale 0..255.
        std: three numbers, likewise.
        to_rgb: True gives the network RGB, False leaves BGR.
        to_bgr: JDet's key; where given it decides: `to_bgr=True` is `to_rgb=False`. As in JDet, `mean` and
            `std` are applied in the listed order after the channels are in place.
    """

    carries_masks = True

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], to_rgb: bool = True, to_bgr: bool | None = None
    ):
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise ConfigError(f"Normalize.{name} needs three numbers and got {values!r}.")
        if min(std) <= 0:
            raise ConfigError(f"Normalize.std is {std!r}, but must be positive.")
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.to_rgb = to_rgb if to_bgr is None else not to_bgr

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample["image"].astype(np.float32)
        if self.to_rgb:
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
        # OpenCV with scalars is several times faster here than numpy broadcasting over a last axis of three.
        cv2.subtract(image, (*self.mean, 0.0), image)
        cv2.multiply(image, (*(1 / value for value in self.std), 1.0), image)
        sample["image"] = image
        return sample


@TRANSFORMS.register
class Pad:
    """Adds zeros at the right and the bottom, up to a multiple or to a fixed size.

    Args:
        size_divisor: both sides become multiples of this, px.
        size: (height, width) or one number for both, instead of `size_divisor`.
    Raises:
        ConfigError: both or none of the two are given.
        DataError: an image is larger than `size`.
    """

    carries_masks = True

    def __init__(self, size_divisor: int | None = None, size: int | Sequence[int] | None = None):
        if (size_divisor is None) == (size is None):
            raise ConfigError("Pad needs exactly one of size_divisor and size.")
        self.size_divisor = size_divisor
        self.size = (size, size) if isinstance(size, int) else size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample["image"].shape[:2]
        if self.size is None:
            new_height, new_width = (
                -(-side // self.size_divisor) * self.size_divisor for side in (height, width)
            )
        else:
            new_height, new_width = self.size
        if new_height < height or new_width < width:
            name = sample["img_file"] or "an image"
            raise DataError(
                f"Pad(size={tuple(self.size)}) cannot hold {name} of {height}x{width} px "
                "(height x width): put a Resize with smaller limits before it."
            )
        bottom, right = new_height - height, new_width - width
        sample["image"] = cv2.copyMakeBorder(
            sample["image"], 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0
        )
        sample["pad_shape"] = (new_height, new_width)
        if sample["masks"] is not None:
            sample["masks"] = sample["masks"].padded((new_height, new_width))
        return sample
