"""Regions in which every object marks places on one pyramid level only, the one that suits its size."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.assign.levels import cells_of_places, level_of_boxes
from jld.assign.regions.fine_grained import FineGrained
from jld.boxes.formats import split_corners
from jld.boxes.places import on_grid
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("fine_grained_own_level",))
class FineGrainedOwnLevel(FineGrained):
    """`FineGrained` with the best IoU and the priors of the object's own level (`fine_grained_own_level`).

    Args:
        threshold: share of the best IoU, in (0, 1).
        base_px: see `level_of_boxes`.
    Raises:
        ConfigError: threshold outside (0, 1).
    Source: arXiv:1906.03609, section 3.2; for pyramids as in ggjy/DeFeat.pytorch (`anchor_head.py`).
    """

    def __init__(self, threshold: float = 0.5, base_px: float = 56.0):
        super().__init__(threshold)
        self.base_px = base_px

    def usable(self, context: RegionContext) -> jt.Var:
        """[N, G, P] 1 where a prior may be compared with an object."""
        return context.valid_mask.unsqueeze(1) * on_own_level(context, self.base_px)


@REGIONS.register(aliases=("inside_own_level",))
class InsideOwnLevel:
    """The cells an object's box covers, on the object's own level (`inside_own_level`).

    Rows floor(y1 / stride) up to but not including floor(y2 / stride), columns likewise; where that is empty,
    the one cell of the upper left corner.

    Args:
        base_px: see `level_of_boxes`.
    Source: arXiv:2103.14475, section 3; ggjy/DeFeat.pytorch (`get_gt_mask`).
    """

    num_sides = 4
    needs_grid = True

    def __init__(self, base_px: float = 56.0):
        self.base_px = base_px

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 for every prior of a covered cell."""
        places, targets = on_grid(context.places), context.targets
        rows, columns = (cells.float32() for cells in cells_of_places(places))  # [P]
        corners = [
            jt.floor(c.unsqueeze(2) / places.strides.unsqueeze(1)) for c in split_corners(targets.boxes)
        ]  # [N, G, P]
        left, top, right, bottom = corners
        filled = (right > left).float32() * (bottom > top).float32()
        covered = _within(columns, left, right) * _within(rows, top, bottom)
        sizes = jt.array([list(size) for size in places.level_sizes]).float32()[places.levels.reshape(-1)]
        # A corner on the far border of the image would name a cell beyond the map.
        corner = (columns == jt.minimum(left, sizes[:, 1] - 1.0)).float32() * (
            rows == jt.minimum(top, sizes[:, 0] - 1.0)
        ).float32()
        marked = (filled * covered + (1.0 - filled) * corner) * on_own_level(context, self.base_px)
        return (marked * targets.mask.unsqueeze(2)).max(1) * context.valid_mask


def on_own_level(context: RegionContext, base_px: float) -> jt.Var:
    """[N, G, P] 1 where the prior lies on the object's own level."""
    levels = level_of_boxes(context.targets.boxes, context.places.num_levels, base_px)  # [N, G]
    return (context.places.levels.unsqueeze(1) == levels.unsqueeze(2)).float32()


def _within(cells: jt.Var, first: jt.Var, last: jt.Var) -> jt.Var:
    return (cells >= first).float32() * (cells < last).float32()
