"""Prior boxes laid out over the feature pyramid, all levels concatenated once.

Order of the P priors: levels from fine to coarse; inside a level row-major (y outer, x inner); inside a cell
in the generator's `cell_order`. Everything that knows "which prior" (assignment, regions, predictions)
follows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jld.boxes.backend import Array
from jld.boxes.places import GridPlaces
from jld.errors import ConfigError, one_of
from jld.registry import PRIORS
from jld.toolchain import jittor as jt

# Which of the two runs slowly through the anchors of a cell.
CELL_ORDERS = ("ratio_major", "scale_major")
# How far cells are apart, and where the anchors of the first one end.
GRIDS = ("strides", "torchvision")


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
        cell_order: of the anchors at one cell: `ratio_major`, all scales of the first ratio first
            (mmDetection), or `scale_major`, all ratios of the first scale first (detectron2).
        grid: `strides`, or `torchvision`: the anchors of the first cell have whole px as corners, and cells
            are as many whole px apart as fit into the input that often (61 px for 13 cells of 800, not 64).
    Raises:
        ConfigError: no stride or no ratio, unknown order or grid.
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
        cell_order: str = "ratio_major",
        grid: str = "strides",
    ):
        if not strides or not ratios:
            raise ConfigError("AnchorGenerator needs at least one stride and one ratio.")
        one_of(cell_order, CELL_ORDERS, f"AnchorGenerator: cell_order {cell_order!r}")
        one_of(grid, GRIDS, f"AnchorGenerator: grid {grid!r}")
        self.cell_order, self.grid = cell_order, grid
        self.strides = tuple(int(stride) for stride in strides)
        self.scales = tuple(
            octave_base_scale * 2 ** (k / scales_per_octave) for k in range(scales_per_octave)
        )
        self.ratios = tuple(ratios)
        self.center_offset = center_offset
        self._cache: dict[tuple, GridPlaces] = {}

    @property
    def num_per_cell(self) -> int:
        """Anchors at one cell."""
        return len(self.scales) * len(self.ratios)

    @property
    def shapes(self) -> tuple[str, ...]:
        """Width x height of the anchors at one cell, in strides; equal texts, equal shapes."""
        x1, y1, x2, y2 = self.base_anchors(1).T
        return tuple(f"{width:.4g} x {height:.4g}" for width, height in zip(x2 - x1, y2 - y1, strict=True))

    def base_anchors(self, stride: int) -> np.ndarray:
        """NumPy [A, 4]: the anchors of the cell at the origin, in `cell_order`, corners in px."""
        offset = self.center_offset * stride
        pairs = [(ratio, scale) for ratio in self.ratios for scale in self.scales]
        if self.cell_order == "scale_major":
            pairs = [(ratio, scale) for scale in self.scales for ratio in self.ratios]
        anchors = []
        for ratio, scale in pairs:
            width, height = stride * scale / math.sqrt(ratio), stride * scale * math.sqrt(ratio)
            anchors.append([offset - width / 2, offset - height / 2, offset + width / 2, offset + height / 2])
        corners = np.array(anchors, np.float32)
        return corners if self.grid == "strides" else np.round(corners)

    def priors(self, feature_sizes: Sequence[tuple[int, int]]) -> GridPlaces:
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

    def _make(self, sizes: tuple[tuple[int, int], ...]) -> GridPlaces:
        input_size = [side * self.strides[0] for side in sizes[0]]
        levels = [
            self.level_boxes(stride, size, input_size)
            for stride, size in zip(self.strides, sizes, strict=True)
        ]
        lengths = [len(level) for level in levels]
        ends = np.cumsum(lengths).tolist()
        boxes = np.concatenate(levels)
        arrays = {
            "boxes": boxes,
            "centers": self.centers(boxes),
            "strides": np.repeat(np.array(self.strides, np.float32), lengths),
            "levels": np.repeat(np.arange(len(levels), dtype=np.int32), lengths),
        }
        return GridPlaces(
            **{name: jt.array(values[None]).stop_grad() for name, values in arrays.items()},
            level_sizes=sizes,
            level_strides=self.strides,
            num_per_cell=self.num_per_cell,
            level_slices=tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)),
        )

    def centers(self, boxes: Array) -> Array:
        """[P, 2] the centres of boxes [P, 4], x, y in px."""
        return (boxes[:, :2] + boxes[:, 2:]) / 2

    def level_boxes(
        self, stride: int, size: tuple[int, int], input_size: Sequence[int] | None = None
    ) -> np.ndarray:
        """NumPy [P, 4 or 5] the priors of a level of (height, width) cells.

        Args:
            input_size: height, width in px of what the maps were made of, for `grid`; None: `stride` holds.
        """
        steps = [stride, stride]
        if self.grid == "torchvision" and input_size is not None:
            steps = [whole // cells for whole, cells in zip(input_size, size, strict=True)]
        ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32) * np.array(steps).reshape(2, 1, 1)
        shifts = np.stack([xs, ys, xs, ys], axis=-1).reshape(-1, 1, 4)
        return (shifts + self.base_anchors(stride)).reshape(-1, 4)
