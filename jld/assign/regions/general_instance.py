"""General instances: where student and teacher disagree most about the class."""

from __future__ import annotations

from jld.boxes.distances import distance2bbox
from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError
from jld.registry import REGIONS
from jld.toolchain import jittor as jt

# Score of a location that is taken or suppressed; real scores are in [0, 1].
GONE = -1.0


@REGIONS.register(aliases=("gi",))
class GeneralInstance:
    """Per level the locations of largest score difference, thinned by non-maximum suppression (`gi`).

    The score of a location is the largest difference between teacher's and student's class probability, its
    box is that of the model which is more certain. Suppression runs in rounds of fixed number, all levels at
    once: no sync, no change of shape.

    Args:
        topk: locations per level.
        iou_threshold: a location is dropped when its box overlaps that of a better one by more than this.
        padding: what becomes of cells beyond an image's own padded area: `excluded`, or `at_origin`, the
            released code's accident: they take part with their centre at (0, 0).
    Raises:
        ConfigError: unknown `padding`.
    Source: arXiv:2103.02340 (GID) section 3.1, as used for feature imitation in HikariTJU/LD
        (`get_gi_region`): the images of a batch are thinned together.
    """

    def __init__(self, topk: int = 10, iou_threshold: float = 0.3, padding: str = "excluded"):
        if padding not in ("excluded", "at_origin"):
            raise ConfigError(f"GeneralInstance: padding is {padding!r}; use 'excluded' or 'at_origin'.")
        self.topk, self.iou_threshold, self.padding = topk, iou_threshold, padding

    def __call__(self, context):
        """[N, P] 1 for the chosen locations; reads `cls_logits` and `box_logits` of both models."""
        student, teacher = context.student.predictions, context.teacher.predictions
        gain = jt.sigmoid(teacher["cls_logits"]) - jt.sigmoid(student["cls_logits"])  # [N, P, C]
        up, down = gain.max(2), (-gain).max(2)
        centers = context.priors.centers / context.priors.strides.unsqueeze(1)
        logits = jt.ternary(
            (up >= down).unsqueeze(2).unsqueeze(3), teacher["box_logits"], student["box_logits"]
        )
        valid = context.valid_mask  # [N, P]
        scores = jt.maximum(up, down)
        if self.padding == "excluded":
            scores = jt.ternary(valid > 0, scores, GONE)
        else:
            centers = centers.unsqueeze(0) * valid.unsqueeze(2)  # [N, P, 2]
        boxes = distance2bbox(centers, _expected_bins(logits)).stop_grad()
        return self._pick(scores.stop_grad(), boxes, _levels(context.priors))

    def _pick(self, scores, boxes, levels):
        """Non-maximum suppression in `topk` rounds.

        Args:
            scores: [N, P].
            boxes: [N, P, 4] in strides.
            levels: [L, P] 1 where the prior belongs to the level.
        """
        n, p = scores.shape
        levels = levels.unsqueeze(1)  # [L, 1, P]
        place = jt.arange(n * p).reshape(n, p)
        level_of = levels.argmax(0)[0].reshape(p)  # [P]
        flat_boxes = boxes.reshape(n * p, 4)
        chosen = jt.zeros((n, p))
        for _ in range(self.topk):
            scores = scores.stop_fuse()  # compared for equality
            best = jt.ternary(levels > 0, scores, GONE).max((1, 2))  # [L]
            wins = (
                (scores == best.unsqueeze(1).unsqueeze(2)).logical_and(levels > 0).logical_and(scores >= 0.0)
            )
            first = jt.ternary(wins, place, n * p).min((1, 2))  # [L], n * p where the level is used up
            picked = place == first[level_of]
            chosen = jt.maximum(chosen, picked.float32())
            rival = flat_boxes.reindex([len(first), 4], ["@e0(i0)", "i1"], extras=[first])[level_of]  # [P, 4]
            dropped = (aligned_overlaps(boxes, rival) > self.iou_threshold).logical_or(picked)
            scores = jt.ternary(dropped, GONE, scores)
        return chosen


def _expected_bins(box_logits):
    """Expectation [..., 4] of the bin distributions [..., 4, B]."""
    bins = jt.arange(box_logits.shape[-1]).float32()
    return (jt.nn.softmax(box_logits, dim=-1) * bins).sum(-1)


def _levels(priors):
    """[L, P] 1 where the prior belongs to the level."""
    order = jt.arange(len(priors))
    rows = [(order >= section.start).logical_and(order < section.stop) for section in priors.level_slices]
    return jt.stack([row.float32() for row in rows])
