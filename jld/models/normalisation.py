"""How a detector's input images are normalised, and the way from one normalisation to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class InputStatistics:
    """How images were normalised: (pixel - mean) / std per channel.

    Attributes:
        mean, std: three numbers, in the channel order of the tensor.
        is_rgb: channel order of the tensor.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_rgb: bool

    def describe(self) -> str:
        """In one line, such as `RGB mean 124, 116, 104 std 58, 57, 57`."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{'RGB' if self.is_rgb else 'BGR'} mean {mean} std {std}"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InputStatistics | None:
        """The Normalize step of the first pipeline in `dataset`, or None when there is none."""
        dataset = config.get("dataset") or {}
        for split in ("train", "val", "test"):
            section = dataset.get(split) or {}
            inside = section.get("dataset") or {}  # JDet's own, whose Normalize is BGR by default
            for step in section.get("transforms") or inside.get("transforms") or ():
                if step.get("type") == "Normalize":
                    to_bgr = step.get("to_bgr", True if inside else None)  # overrules to_rgb, see `Normalize`
                    is_rgb = bool(step.get("to_rgb", True)) if to_bgr is None else not to_bgr
                    return cls(tuple(map(float, step["mean"])), tuple(map(float, step["std"])), is_rgb)
        return None


def other_input(learnt: InputStatistics | None, section: Mapping[str, Any]) -> str | None:
    """What is wrong where a dataset's section normalises otherwise than the training of the weights did."""
    given = InputStatistics.from_config({"dataset": {"test": section}})
    if given == learnt:
        return None
    ours, theirs = (each.describe() if each else "not normalised" for each in (given, learnt))
    return f"the images are {ours}, and the detector takes {theirs}: make Normalize alike."


def pixels_of(image: np.ndarray, statistics: InputStatistics | None) -> np.ndarray:
    """uint8 [H, W, 3] BGR picture of a normalised image float [3, H, W]."""
    if statistics is not None:
        mean, std = (np.reshape(values, (3, 1, 1)) for values in (statistics.mean, statistics.std))
        image = image * std + mean
        image = image[::-1] if statistics.is_rgb else image
    return np.clip(np.round(image), 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def renormalise(
    images: jt.Var,
    image_shapes: np.ndarray | None,
    given: InputStatistics | None,
    wanted: InputStatistics | None,
) -> jt.Var:
    """[N, 3, H, W] images normalised with `given` as if `wanted` had been used; padding stays zero."""
    if given is None or wanted is None or given == wanted:
        return images
    mean, std = jt.array(given.mean).reshape(1, 3, 1, 1), jt.array(given.std).reshape(1, 3, 1, 1)
    pixels = images * std + mean
    if given.is_rgb != wanted.is_rgb:
        pixels = pixels[:, [2, 1, 0]]
    mean, std = jt.array(wanted.mean).reshape(1, 3, 1, 1), jt.array(wanted.std).reshape(1, 3, 1, 1)
    shapes = jt.array(image_shapes).float32()  # [N, 2]
    rows = jt.arange(images.shape[2]).reshape(1, 1, -1, 1) < shapes[:, 0].reshape(-1, 1, 1, 1)
    columns = jt.arange(images.shape[3]).reshape(1, 1, 1, -1) < shapes[:, 1].reshape(-1, 1, 1, 1)
    return (pixels - mean) / std * (rows.float32() * columns.float32())
