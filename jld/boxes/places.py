"""Where the rows of a stage's predictions lie: priors on a grid, equal for all images, or RoIs of each image.

Assigners, regions and box representations read places and do not ask which of the two they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jld.errors import ConfigError
from jld.toolchain import jittor as jt


@dataclass(frozen=True, kw_only=True)
class Places:
    """P places of each of N images; a leading axis of 1 stands for places that all images share.

    Attributes:
        boxes: [1 or N, P, 4] corners in px, or [1 or N, P, 5] rotated boxes.
        centers: [1 or N, P, 2] x, y in px.
        strides: [1 or N, P] px per cell of the place's pyramid level.
        levels: [1 or N, P] int32 pyramid level, 0 is the finest.
        level_strides: px per cell of every level.
        mask: [N, P] 1 for real places, 0 for padding; None on a grid.
    """

    boxes: jt.Var
    centers: jt.Var
    strides: jt.Var
    levels: jt.Var
    level_strides: tuple[int, ...]
    mask: jt.Var | None = None

    def __len__(self) -> int:
        return self.boxes.shape[1]

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.level_strides)

    def at(self, index: jt.Var) -> Places:
        """The places with these numbers; their mask is left to whoever chose them.

        Args:
            index: [N, S] int32; past the end: zeros.
        """
        names = ("boxes", "centers", "strides", "levels")
        fields = {name: rows_at(getattr(self, name), index) for name in names}
        return Places(level_strides=self.level_strides, **fields)

    def valid_mask(self, pad_shapes: np.ndarray) -> jt.Var:
        """[N, P] 1 for real places inside the image's own padded area, else 0.

        Args:
            pad_shapes: NumPy [N, 2] height, width in px of every image, padded on its own.
        """
        return jt.ones((len(pad_shapes), len(self))) if self.mask is None else self.mask


@dataclass(frozen=True, kw_only=True)
class GridPlaces(Places):
    """Priors at every cell of a pyramid: levels from fine to coarse, inside a level row-major, cell by cell.

    Attributes:
        level_sizes: (height, width) of every level's map in cells.
        num_per_cell: priors at one cell.
        level_slices: where every level lies in the P axis.
    """

    level_sizes: tuple[tuple[int, int], ...]
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
        for size, stride in zip(self.level_sizes, self.level_strides, strict=True):
            cells = cells_inside(size, stride, pad_shapes).reshape(len(pad_shapes), -1)
            columns.append(np.repeat(cells, self.num_per_cell, axis=1))
        return np.concatenate(columns, axis=1)


def cells_inside(size: tuple[int, int], stride: int, pad_shapes: np.ndarray) -> np.ndarray:
    """[N, H, W] float32 1 for the cells of a map inside each image's own padded area, see `valid_mask`.

    Args:
        size: (H, W) of the map.
        stride: px per cell.
        pad_shapes: NumPy [N, 2] height, width in px of each image.
    """
    rows = np.arange(size[0])[None] < np.ceil(pad_shapes[:, :1] / stride)  # [N, H]
    columns = np.arange(size[1])[None] < np.ceil(pad_shapes[:, 1:2] / stride)  # [N, W]
    return (rows[:, :, None] & columns[:, None, :]).astype(np.float32)


def rows_at(values: jt.Var, index: jt.Var, *, past_end: int = 0) -> jt.Var:
    """Rows of every image by their numbers.

    Args:
        values: [1 or N, P, ...].
        index: [N, S] int32.
        past_end: what a number outside of [0, P) gives.
    Returns:
        [N, S, ...]
    """
    image = "0" if values.shape[0] == 1 else "i0"
    rest = [f"i{axis}" for axis in range(2, values.ndim)]
    return values.reindex(
        [*index.shape, *values.shape[2:]],
        [image, "@e0(i0,i1)", *rest],
        overflow_value=past_end,
        extras=[index],
    )


def on_grid(places: Places) -> GridPlaces:
    """`places` themselves, for what reads the cells of a pyramid.

    Raises:
        ConfigError: they are RoIs, which lie in no cell.
    """
    if not isinstance(places, GridPlaces):
        raise ConfigError(
            "RoIs lie in no cell of a feature map: name the stage of a dense head, or use a term or region "
            "that reads boxes only."
        )
    return places
