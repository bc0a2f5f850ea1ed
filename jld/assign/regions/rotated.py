"""Distillation regions around rotated objects: the one of rotated LD, and the fine-grained one."""

from __future__ import annotations

from collections.abc import Callable

from jld.assign.assignment import UNREACHABLE
from jld.assign.atss import nearest_candidates
from jld.assign.interfaces import RegionContext
from jld.assign.overlaps import circumscribed
from jld.boxes.places import on_grid
from jld.errors import ConfigError, one_of
from jld.ops.rotated_iou import aligned_rotated_iou
from jld.ops.rotated_match import rotated_match
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


def _without_angle(rboxes: jt.Var) -> jt.Var:
    """Rotated boxes [..., 5] with the angle 0 in place of their own."""
    return jt.concat([rboxes[..., :4], jt.zeros_like(rboxes[..., 4:])], dim=-1)


GEOMETRIES: dict[str, Callable] = {
    "rotated": lambda rboxes: rboxes,
    "upright": circumscribed,
    "ignore_angle": _without_angle,
}


def _geometry(name: str, owner: str) -> Callable:
    one_of(name, GEOMETRIES, f"{owner}: unknown geometry {name!r}")
    return GEOMETRIES[name]


def _mean_plus_deviation(iou: jt.Var, mask: jt.Var) -> jt.Var:
    """t_g [N, G]: mean plus standard deviation (divisor count - 1) of the candidates' IoU [N, G, M]."""
    count = mask.sum(2)
    mean = (iou * mask).sum(2) / jt.maximum(count, 1.0)
    spread = (iou - mean.unsqueeze(2)) * mask
    deviation = jt.sqrt((spread * spread).sum(2) / jt.maximum(count - 1.0, 1.0))
    # One candidate has no deviation: the reference gets NaN there and hence no positive.
    return jt.ternary(count > 1.5, mean + deviation, UNREACHABLE)


@REGIONS.register(aliases=("rotated_ld",))
class RotatedLDRegion:
    """Priors whose IoU with an object is at least gamma * t_g, weighted by their highest such IoU.

    The region holds the positives and the priors around them at once (there is no upper bound), and both
    localization and classification distillation use it. t_g is that of ATSS: mean + deviation of the IoU of
    the priors nearest to the object's centre.

    Args:
        geometry: what the IoU is taken with. `rotated`: the object as it lies; `upright`: the upright box
            around it; `ignore_angle`: its width and height laid along the image axes, which the released code
            does (with `oc`, upright objects have a quarter turn, so their sides trade places).
        gamma: share of t_g.
        topk: nearest priors per level that make t_g.
    Raises:
        ConfigError: unknown geometry, gamma not positive, topk below 1.
    Source: Zzh-tju/Rotated-LD, `get_vlr_region` of its LD head; arXiv:2204.05957.
    Differs: an image without objects gives zeros, where the released code stops; the published numbers need
        `rotated_ld_released`, that is `geometry="ignore_angle"`.
    """

    num_sides = 5
    needs_grid = True

    def __init__(self, geometry: str = "rotated", gamma: float = 0.25, topk: int = 9):
        self.describe = _geometry(geometry, type(self).__name__)
        if gamma <= 0 or topk < 1:
            raise ConfigError(
                f"{type(self).__name__} needs gamma above 0 and topk of at least 1, not {gamma} and {topk}: "
                "0.25 and 9 are published."
            )
        self.gamma, self.topk = gamma, int(topk)

    def thresholds(self, context: RegionContext) -> jt.Var:
        """[N, G] t_g, out of reach in empty slots."""
        boxes = self.describe(context.targets.boxes)
        index, mask = nearest_candidates(on_grid(context.places), boxes, context.targets, self.topk)
        iou = aligned_rotated_iou(context.places.boxes.reshape(-1, 5)[index], boxes.unsqueeze(2))  # [N, G, M]
        return _mean_plus_deviation(iou, mask).stop_grad()

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] the highest IoU among the objects whose region holds the prior, else 0."""
        found = rotated_match(
            context.places.boxes, self.describe(context.targets.boxes), context.targets.mask,
            context.valid_mask, floors=self.gamma * self.thresholds(context),
        )  # fmt: skip
        return jt.maximum(found.best, 0.0)


@REGIONS.register(aliases=("rotated_ld_released",))
class ReleasedRotatedLDRegion(RotatedLDRegion):
    """`RotatedLDRegion` as the released code has it: angles ignored (`rotated_ld_released`).

    Args:
        gamma, topk: see `RotatedLDRegion`.
    """

    def __init__(self, gamma: float = 0.25, topk: int = 9):
        super().__init__("ignore_angle", gamma, topk)


@REGIONS.register(aliases=("rotated_fine_grained",))
class RotatedFineGrained:
    """Priors whose IoU with a rotated object exceeds a share of the best IoU any prior has with it.

    Args:
        threshold: that share, in (0, 1).
        geometry: see `RotatedLDRegion`; the released code is `ignore_angle`.
    Raises:
        ConfigError: threshold outside (0, 1), unknown geometry.
    Source: arXiv:1906.03609, section 3.2, as in Zzh-tju/Rotated-LD.
    """

    num_sides = 5
    needs_grid = True

    def __init__(self, threshold: float = 0.5, geometry: str = "rotated"):
        if not 0 < threshold < 1:
            raise ConfigError(
                f"RotatedFineGrained needs a threshold between 0 and 1, not {threshold}: 0.5 is published."
            )
        self.threshold = threshold
        self.describe = _geometry(geometry, type(self).__name__)

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 where any object accepts the prior."""
        boxes = self.describe(context.targets.boxes)
        arrays = context.places.boxes, boxes, context.targets.mask, context.valid_mask
        # Exactly half is common: a small object inside priors of one and of twice the area. It is not enough.
        floors = self.threshold * (1 + 1e-6) * rotated_match(*arrays).reached
        return (rotated_match(*arrays, floors=floors).best > 0).float32()


@REGIONS.register(aliases=("rotated_fine_grained_released",))
class ReleasedRotatedFineGrained(RotatedFineGrained):
    """`RotatedFineGrained` with angles ignored and the cells of each level scrambled, as released.

    The released code reads a level's values (cell after cell, all priors of a cell together) as if all cells
    of the first prior came first; a cell is selected by the values that then seem to be its own. For feature
    terms only: of the priors of a selected cell the first is marked.

    Args:
        threshold: see `RotatedFineGrained`.
    Source: the imitation mask of Zzh-tju/Rotated-LD.
    """

    def __init__(self, threshold: float = 0.5):
        super().__init__(threshold, "ignore_angle")

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 at the first prior of the selected cells."""
        mask, places = super().__call__(context), on_grid(context.places)
        per_cell = places.num_per_cell
        levels = []
        for rows in places.level_slices:
            cells = mask[:, rows].reshape((mask.shape[0], per_cell, -1)).max(1)  # [N, H * W]
            others = jt.zeros((*cells.shape, per_cell - 1))
            levels.append(jt.concat([cells.unsqueeze(-1), others], dim=-1).reshape((mask.shape[0], -1)))
        return jt.concat(levels, dim=1)
