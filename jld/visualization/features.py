"""Feature maps of a teacher and a student, and where they differ, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from jld.visualization.canvas import as_bgr, resize_to_fit
from jld.visualization.montage import montage

SHARE = 0.65
"""Of the colours; the image shines through."""


def strength(features: np.ndarray) -> np.ndarray:
    """[h, w] mean absolute value over the channels of [D, h, w]."""
    return np.abs(np.asarray(features, np.float64)).mean(0)


def difference(student: np.ndarray, teacher: np.ndarray) -> tuple[np.ndarray, str]:
    """([h, w] how far two maps of one level are apart, what was compared).

    Channel by channel where both have as many; else the strengths, each divided by its mean, since channels
    of different networks do not correspond.

    Args:
        student: [D, h, w]; teacher: [E, k, l], enlarged to the student's cells where it has fewer or more.
    """
    height, width = student.shape[1:]
    if teacher.shape[1:] != (height, width):
        maps = np.asarray(teacher, np.float32)
        teacher = np.stack([cv2.resize(each, (width, height)) for each in maps])
    if len(student) == len(teacher):
        return np.abs(np.float64(student) - teacher).mean(0), "mean absolute difference"
    strengths = [strength(each) for each in (student, teacher)]
    first, second = (each / max(each.mean(), 1e-12) for each in strengths)
    return np.abs(first - second), "difference of relative strengths"


def draw_features(
    image: np.ndarray,
    maps: Mapping[str, Sequence[np.ndarray]],
    strides: Sequence[int],
    *,
    panel_size: tuple[int, int] = (240, 360),
) -> np.ndarray:
    """One row per network and one for their difference, one column per level, dark blue to yellow.

    Each level has its own scale, shared by the networks: the largest strength of either.

    Args:
        image: uint8 [H, W, 3] BGR, as the network saw it.
        maps: {"student": levels [D, h, w], and maybe "teacher": ...}.
        strides: px of a cell of the student's levels.
        panel_size: (height, width) that every panel must fit into, px.
    Returns:
        uint8 BGR.
    """
    strengths = {name: list(map(strength, levels)) for name, levels in maps.items()}
    tops = [max(level.max() for level in levels) for levels in zip(*strengths.values(), strict=True)]
    panels, captions = [], []
    for name, levels in strengths.items():
        for level, top, stride in zip(levels, tops, strides, strict=True):
            panels.append(_tinted(image, level, top, stride, panel_size))
            captions.append(f"{name}, {stride} px, largest {level.max():.3g}")
    if len(maps) == 2:
        for student, teacher, stride in zip(*maps.values(), strides, strict=True):
            gap, what = difference(student, teacher)
            panels.append(_tinted(image, gap, gap.max(), stride, panel_size))
            captions.append(f"{what}, largest {gap.max():.3g}")
    height, width = panels[0].shape[:2]
    return montage(panels, columns=len(strides), captions=captions, cell_size=(height, width))


def _tinted(
    image: np.ndarray, values: np.ndarray, top: float, stride: int, panel_size: tuple[int, int]
) -> np.ndarray:
    # Grey, so that every colour is one of the map.
    picture = as_bgr(cv2.cvtColor(as_bgr(image), cv2.COLOR_BGR2GRAY))
    shades = np.round(255 * values / max(top, 1e-12)).astype(np.uint8)
    shades = shades.repeat(stride, 0).repeat(stride, 1)[: picture.shape[0], : picture.shape[1]]
    rest = [(0, picture.shape[axis] - shades.shape[axis]) for axis in (0, 1)]
    colors = cv2.applyColorMap(np.pad(shades, rest), cv2.COLORMAP_CIVIDIS)
    return resize_to_fit(cv2.addWeighted(picture, 1 - SHARE, colors, SHARE, 0), *panel_size)
