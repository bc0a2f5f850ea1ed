"""General instances: where student and teacher disagree most about the class."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.assign.rounds import GONE, pick_in_rounds, picked_mask
from jld.boxes.places import Places, on_grid
from jld.errors import ConfigError
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("gi",))
class GeneralInstance:
    """Per level the locations of largest score difference, thinned by non-maximum suppression (`gi`).

    The score of a location is the largest difference between teacher's and student's class probability, its
    box is that of the model which is more certain. Suppression runs in rounds of fixed number, all levels at
    once: no sync, no change of shape.

    Args:
        topk: locations per level and image, or per level and batch.
        iou_threshold: a location is dropped when its box overlaps that of a better one by more than this.
        padding: what becomes of cells beyond an image's own padded area: `excluded`, or `at_origin`, the
            released code's accident: they take part with their centre at (0, 0).
        thinning: `image`: every image has its own `topk`, so the region does not depend on its company;
            `batch`, released (for 2 images): the images of a batch share `topk` and suppress each other's
            locations, which leaves most images of a large batch without any.
    Raises:
        ConfigError: unknown `padding` or `thinning`.
    Source: arXiv:2103.02340 (GID) section 3.1, as used for feature imitation in HikariTJU/LD
        (`get_gi_region`).
    """

    num_sides = 4
    requires = ("cls_logits",)
    needs_grid = True

    def __init__(
        self,
        topk: int = 10,
        iou_threshold: float = 0.3,
        padding: str = "excluded",
        thinning: str = "image",
    ):
        if padding not in ("excluded", "at_origin"):
            raise ConfigError(f"GeneralInstance: padding is {padding!r}; use 'excluded' or 'at_origin'.")
        if thinning not in ("batch", "image"):
            raise ConfigError(f"GeneralInstance: thinning is {thinning!r}; use 'batch' or 'image'.")
        self.topk, self.iou_threshold = topk, iou_threshold
        self.padding, self.thinning = padding, thinning

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 for the chosen locations; reads the class scores and the boxes of both models."""
        gain = context.teacher.probabilities() - context.student.probabilities()  # [N, P, C]
        up, down = gain.max(2), (-gain).max(2)
        boxes = jt.ternary((up >= down).unsqueeze(2), context.teacher.boxes(), context.student.boxes())
        valid = context.valid_mask  # [N, P]
        scores = jt.maximum(up, down)
        if self.padding == "excluded":
            scores = jt.ternary(valid > 0, scores, GONE)
        else:
            centers = jt.concat([context.places.centers] * 2, dim=2)  # [1, P, 4]
            boxes = boxes - centers * (1.0 - valid).unsqueeze(2)
        return self._pick(scores.detach(), boxes.detach(), context.places)

    def _pick(self, scores: jt.Var, boxes: jt.Var, places: Places) -> jt.Var:
        """[N, P] 1 for the chosen locations, from scores [N, P] and boxes [N, P, 4]."""
        n, p = scores.shape
        rows = 1 if self.thinning == "batch" else n
        groups = on_grid(places).levels.reshape(-1).repeat(n // rows)
        picks = pick_in_rounds(
            scores.reshape(rows, -1), boxes.reshape(rows, -1, 4), groups,
            num_groups=places.num_levels, rounds=self.topk, iou_threshold=self.iou_threshold,
        )  # fmt: skip
        return picked_mask(picks, groups).reshape(n, p)
