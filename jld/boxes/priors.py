"""Prior boxes laid out over the feature pyramid, all levels concatenated once.

Order of the P priors: levels from fine to coarse; inside a level row-major (y outer, x inner); inside a cell
ratio-major, scales inner. Everything that knows "which prior" (assignment, regions, predictions) follows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jld.errors import ConfigError
from jld.registry import PRIORS
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class Priors:
    """All priors of one set of feature sizes.

    Attributes:
        boxes: [P, 4] corners in px.
        centers: [P, 2] x, y of their centres in px.
        strides: [P] stride of the prior's level in px.
        level_sizes: (height, width) of every level's map in cells.
        level_strides: stride of every level in px.
        num_per_cell: priors at one cell.
        level_slices: where every level lies in the P axis.
    """

    boxes: jt.Var
    centers: jt.Var
    strides: jt.Var
    level_sizes: tuple[tuple[int, int], ...]
    level_strides: tuple[int, ...]
    num_per_cell: int
    level_slices: tuple[slice, ...]
    _masks: dict = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.level_slices[-1].stop

    def valid_mask(self, pad_shapes: np.ndarray) -> jt.Var:
        """1 where a prior's cell lies inside the image's own padded area, else 0.

        A batch is padded to its largest image; cells beyond ceil(pad_shape / stride) belong to no image.

        Args:
            pad_shapes: NumPy [N, 2] height, width in px of each image, padded to a multiple of 32 on its own.
        Returns:
            [N, P] float32 0 or 1
        """
        pad_shapes = np.asarray(pad_shapes, np.float32)
        key = pad_shapes.tobytes()
        if key not in self._masks:
            self._masks.clear()  # only the last batch: an epoch has thousands of different ones
            self._masks[key] = jt.array(self._valid_mask_array(pad_shapes)).stop_grad()
        return self._masks[key]

    def _valid_mask_array(self, pad_shapes: np.ndarray) -> np.ndarray:
        columns = []
        for (height, width), stride in zip(self.level_sizes, self.level_strides, strict=True):
            rows_valid = np.arange(height)[None] < np.ceil(pad_shapes[:, :1] / stride)  # [N, H]
            columns_valid = np.arange(width)[None] < np.ceil(pad_shapes[:, 1:2] / stride)  # [N, W]
            cells = rows_valid[:, :, None] & columns_valid[:, None, :]
            columns.append(np.repeat(cells.reshape(len(pad_shapes), -1), self.num_per_cell, axis=1))
        return np.concatenate(columns, axis=1).astype(np.float32)


@PRIORS.register
class AnchorGenerator:
    """Anchors of several scales and aspect ratios at every cell; one square anchor for GFL and ATSS.

    Args:
        strides: px per cell, fine to coarse.
        octave_base_scale: side of the smallest anchor divided by the stride.
        scales_per_octave: further scales are 2^(k / this) times larger.
        ratios: height / width.
        center_offset: position of the centre inside the cell, 0 = its upper left corner, 0.5 = its
            middle.
    Raises:
        ConfigError: no stride or no ratio.
    Source: arXiv:1708.02002 section 4 (RetinaNet); as in mmDetection the cell in row i, column j has
        its centre at ((j + center_offset) * stride, (i + center_offset) * stride).
    """

    def __init__(
        self,
        strides: Sequence[int],
        octave_base_scale: float = 8,
        scales_per_octave: int = 1,
        ratios: Sequence[float] = (1.0,),
        center_offset: float = 0.0,
    ):
        if not strides or not ratios:
            raise ConfigError("AnchorGenerator needs at least one stride and one ratio.")
        self.strides = tuple(int(stride) for stride in strides)
        self.scales = tuple(
            octave_base_scale * 2 ** (k / scales_per_octave) for k in range(scales_per_octave)
        )
        self.ratios = tuple(ratios)
        self.center_offset = center_offset
        self._cache: dict[tuple, Priors] = {}

    @property
    def num_per_cell(self) -> int:
        """Anchors at one cell."""
        return len(self.scales) * len(self.ratios)

    def base_anchors(self, stride: int) -> np.ndarray:
        """NumPy [A, 4]: the anchors of the cell at the origin, ratio-major, corners in px."""
        offset = self.center_offset * stride
        anchors = []
        for ratio in self.ratios:
            for scale in self.scales:
                width, height = stride * scale / math.sqrt(ratio), stride * scale * math.sqrt(ratio)
                anchors.append(
                    [offset - width / 2, offset - height / 2, offset + width / 2, offset + height / 2]
                )
        return np.array(anchors, np.float32)

    def priors(self, feature_sizes: Sequence[tuple[int, int]]) -> Priors:
        """The priors for maps of these sizes; the same sizes return the same object.

        Args:
            feature_sizes: (height, width) of every level in cells.
        Raises:
            ConfigError: the number of levels differs from the number of strides.
        """
        sizes = tuple((int(height), int(width)) for height, width in feature_sizes)
        if len(sizes) != len(self.strides):
            raise ConfigError(
                f"{len(sizes)} feature levels but {len(self.strides)} strides in AnchorGenerator."
            )
        if sizes not in self._cache:
            if len(self._cache) >= 64:  # multi-scale training meets hundreds of sizes
                self._cache.pop(next(iter(self._cache)))
            self._cache[sizes] = self._make(sizes)
        return self._cache[sizes]

    def _make(self, sizes: tuple[tuple[int, int], ...]) -> Priors:
        levels = [self._level_anchors(stride, size) for stride, size in zip(self.strides, sizes, strict=True)]
        ends = np.cumsum([len(level) for level in levels]).tolist()
        boxes = np.concatenate(levels)
        strides = np.repeat(np.float32(self.strides), [len(level) for level in levels])
        return Priors(
            boxes=jt.array(boxes).stop_grad(),
            centers=jt.array((boxes[:, :2] + boxes[:, 2:]) / 2).stop_grad(),
            strides=jt.array(strides).stop_grad(),
            level_sizes=sizes,
            level_strides=self.strides,
            num_per_cell=self.num_per_cell,
            level_slices=tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)),
        )

    def _level_anchors(self, stride: int, size: tuple[int, int]) -> np.ndarray:
        ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32) * stride
        shifts = np.stack([xs, ys, xs, ys], axis=-1).reshape(-1, 1, 4)
        return (shifts + self.base_anchors(stride)).reshape(-1, 4)
