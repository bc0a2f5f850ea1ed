"""Which cell of its pyramid level a prior lies on, and which level an object belongs to by its size."""

from __future__ import annotations

import numpy as np

from jld.boxes.formats import split_corners
from jld.boxes.places import GridPlaces
from jld.toolchain import jittor as jt


def cells_of_places(places: GridPlaces) -> tuple[jt.Var, jt.Var]:
    """Row and column of every grid prior's cell on its level's map, both [P] int32."""
    rows, columns = [], []
    for height, width in places.level_sizes:
        row, column = np.mgrid[:height, :width].astype(np.int32)
        rows.append(np.repeat(row.reshape(-1), places.num_per_cell))
        columns.append(np.repeat(column.reshape(-1), places.num_per_cell))
    return jt.array(np.concatenate(rows)), jt.array(np.concatenate(columns))


def level_of_boxes(boxes: jt.Var, num_levels: int, base_px: float = 56.0) -> jt.Var:
    """The level that an object belongs to: finest below twice `base_px`, one coarser with every doubling.

    floor(log2(sqrt((w + 1) (h + 1)) / base_px + 1e-6)), limited to the levels there are.

    Args:
        boxes: [..., 4] corners in px.
        num_levels: L.
        base_px: side of an object that is one step below the second level.
    Returns:
        [...] int32 in [0, L).
    Source: ggjy/DeFeat.pytorch; the rule of arXiv:1612.03144, equation 1, with another base.
    """
    x1, y1, x2, y2 = split_corners(boxes)
    ratio = jt.sqrt((x2 - x1 + 1.0) * (y2 - y1 + 1.0)) / base_px + 1e-6
    # Counted instead of rounded: a logarithm in fast arithmetic may miss a power of two.
    steps = jt.array([2.0**level for level in range(1, num_levels)])
    return (ratio.unsqueeze(-1) >= steps).int32().sum(-1)
