"""The way from dense predictions to detections as nodes: what `jld.models.postprocess` does with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.places import Places
from jld.export.graph import Graph
from jld.models.postprocess import PairPostprocess, Postprocess, RotatedPostprocess

# An input with a default: whoever runs the file may give another one.
THRESHOLD = "score_threshold"


@dataclass(frozen=True)
class Dense:
    """Names of the predictions for one image.

    Attributes:
        scores: [P, C] in [0, 1].
        boxes: [P, 4 or 5] px of the input.
        quality: [P] in [0, 1], or None.
        level_sizes: [L] int64, the P rows of every level.
    """

    scores: str
    boxes: str
    quality: str | None
    level_sizes: str


def candidates(
    graph: Graph, rule: Postprocess, dense: Dense, lengths: Sequence[int], sides: tuple[str, str]
) -> tuple[str, str]:
    """Boxes [K, 4 or 5] and scores [K, C] of what suppression looks at; 0 for pairs that it does not.

    Args:
        lengths: P of every level at the size that is traced.
        sides: names of height and width of the image in px, scalars.
    """
    if isinstance(rule, PairPostprocess):
        scores, boxes, quality = _best_pairs(graph, rule, dense, lengths)
    else:
        scores, boxes, quality = _best_rows(graph, rule, dense, lengths)
        boxes = _fitted(graph, rule, boxes, sides)
    joint = scores
    if quality is not None:
        joint = graph.op("Mul", scores, graph.op("Unsqueeze", quality, [1]))
        joint = graph.op("Sqrt", joint) if isinstance(rule, PairPostprocess) else joint
    is_seen = graph.op("Greater", scores, THRESHOLD)
    return boxes, graph.op("Where", is_seen, joint, 0.0)


def rows_per_level(graph: Graph, places: Places) -> str:
    """[L] int64 the number of places on every level."""
    strides = graph.op("Squeeze", places.strides, [0])
    is_of_level = graph.op("Equal", strides, np.array(places.level_strides, np.float32)[:, None])
    return graph.op("ReduceSum", graph.op("Cast", is_of_level, to=7), [1], keepdims=0)


def limited(graph: Graph, values: str, most: int) -> str:
    """[1] int64 the smaller one of a limit (0: none) and the number of values [n]."""
    return graph.op("Min", graph.op("Shape", values), np.array([most or 2**62], np.int64))


def best_of_levels(graph: Graph, ranks: str, level_sizes: str, count: int, most: int) -> str:
    """[K] the rows of the `most` highest ranks [P] of each of `count` levels, in the order of the rows."""
    # Numbers of the rows, split like the ranks, so that no level needs to know where it starts.
    rows = graph.op("Range", np.array(0), graph.op("Squeeze", graph.op("Shape", ranks), [0]), np.array(1))
    kept = []
    for level, numbers in zip(
        *(_levels(graph, values, level_sizes, count) for values in (ranks, rows)), strict=True
    ):
        _, best = graph.op("TopK", level, limited(graph, level, most), outputs=2)
        kept.append(graph.op("Gather", numbers, best))
    index = graph.op("Concat", *kept, axis=0)
    # Equal scores are told apart by this order.
    return graph.op("TopK", index, graph.op("Shape", index), largest=0, outputs=2)[0]


def _levels(graph: Graph, values: str, level_sizes: str, count: int) -> tuple[str, ...]:
    parts = graph.op("Split", values, level_sizes, axis=0, outputs=count)
    return parts if count > 1 else (parts,)


def _best_rows(
    graph: Graph, rule: Postprocess, dense: Dense, lengths: Sequence[int]
) -> tuple[str, str, str | None]:
    found: tuple[str, str, str | None] = (dense.scores, dense.boxes, dense.quality)
    if rule.nms_pre <= 0 or (not graph.any_size and max(lengths) <= rule.nms_pre):
        return found
    ranks = graph.op("ReduceMax", dense.scores, [1], keepdims=0)
    ranks = ranks if dense.quality is None else graph.op("Mul", ranks, dense.quality)
    index = best_of_levels(graph, ranks, dense.level_sizes, len(lengths), rule.nms_pre)
    scores, boxes = (graph.op("Gather", name, index, axis=0) for name in found[:2])
    quality = None if dense.quality is None else graph.op("Gather", dense.quality, index, axis=0)
    return scores, boxes, quality


def _best_pairs(
    graph: Graph, rule: PairPostprocess, dense: Dense, lengths: Sequence[int]
) -> tuple[str, str, str | None]:
    found = []
    for level in _levels(graph, dense.scores, dense.level_sizes, len(lengths)):
        flat = graph.op("Reshape", level, [-1])
        limit = limited(graph, flat, rule.nms_pre)
        if rule.cap_at_cells:
            limit = graph.op("Min", limit, graph.op("Shape", level, start=0, end=1))
        best, _ = graph.op("TopK", flat, limit, outputs=2)
        least = graph.op("ReduceMin", best, [0], keepdims=0)
        found.append(graph.op("Where", graph.op("GreaterOrEqual", level, least), level, 0.0))
    return graph.op("Concat", *found, axis=0), dense.boxes, dense.quality


def _fitted(graph: Graph, rule: Postprocess, boxes: str, sides: tuple[str, str]) -> str:
    """See `Postprocess.fit_into`."""
    height, width = sides
    if not isinstance(rule, RotatedPostprocess):
        return clipped(graph, boxes, sides)
    if not rule.clamp_centers:
        return boxes
    last = _pair(graph, graph.op("Sub", width, 1.0), graph.op("Sub", height, 1.0))
    centers, rest = graph.op("Split", boxes, [2, 3], axis=1, outputs=2)
    centers = graph.op("Min", graph.op("Max", centers, 0.0), last)
    return graph.op("Concat", centers, rest, axis=1)


def clipped(graph: Graph, boxes: str, sides: tuple[str, str]) -> str:
    """Boxes [..., 4] within an image of these (height, width)."""
    pair = _pair(graph, sides[1], sides[0])
    return graph.op("Min", graph.op("Max", boxes, 0.0), graph.op("Concat", pair, pair, axis=0))


def _pair(graph: Graph, first: str, second: str) -> str:
    return graph.op("Concat", *(graph.op("Unsqueeze", side, [0]) for side in (first, second)), axis=0)


def suppressed(
    graph: Graph,
    rule: Postprocess,
    boxes: str,
    scores: str,
    sides: tuple[str, str],
    *,
    per_class: bool = False,
) -> dict[str, str]:
    """{"boxes" [D, 4], "scores" [D], "labels" [D]} after suppression inside every class, best first.

    Args:
        rule: its `nms` is a `ClasswiseNMS`.
        boxes, scores: see `candidates`.
        per_class: boxes are [K, C, 4], one for every class.
    """
    suppression: Any = rule.nms
    by_class = graph.op("Transpose", scores, perm=[1, 0])  # [C, K]
    # Every class has the same boxes, or is taken for an image of its own.
    shown = graph.op("Transpose", boxes, perm=[1, 0, 2]) if per_class else graph.op("Unsqueeze", boxes, [0])
    picked = graph.op(
        "NonMaxSuppression",
        shown,
        graph.op("Unsqueeze", by_class, [1 if per_class else 0]),
        limited(graph, graph.op("ReduceMax", scores, [1], keepdims=0), rule.max_per_image),
        np.array([suppression.iou_threshold], np.float32),
        np.array([0.0], np.float32),
    )  # [M, 3] image, class, row
    pairs = graph.op("Gather", picked, [0 if per_class else 1, 2], axis=1)
    values = graph.op("GatherND", by_class, pairs)
    best, order = graph.op("TopK", values, limited(graph, values, rule.max_per_image), outputs=2)
    pairs = graph.op("Gather", pairs, order, axis=0)
    labels, rows = (
        graph.op("Squeeze", part, [1]) for part in graph.op("Split", pairs, [1, 1], axis=1, outputs=2)
    )
    kept = graph.op("GatherND", shown, pairs) if per_class else graph.op("Gather", boxes, rows, axis=0)
    found = {"boxes": kept, "scores": best, "labels": labels}
    if isinstance(rule, PairPostprocess):
        found["boxes"] = clipped(graph, found["boxes"], sides)
        low, high = graph.op("Split", found["boxes"], [2, 2], axis=1, outputs=2)
        is_proper = graph.op("Cast", graph.op("Greater", high, low), to=6)  # int32: all of two
        is_left = graph.op("Cast", graph.op("ReduceMin", is_proper, [1], keepdims=0), to=9)
        found = {name: graph.op("Compress", value, is_left, axis=0) for name, value in found.items()}
    return found


def rows_left(graph: Graph, boxes: str, scores: str) -> dict[str, str]:
    """{"boxes" [K, 4 or 5], "scores" [K, C]} of the candidates that have a score above 0."""
    best = graph.op("ReduceMax", scores, [1], keepdims=0)
    kept = graph.op("Greater", best, 0.0)
    return {
        "boxes": graph.op("Compress", boxes, kept, axis=0),
        "scores": graph.op("Compress", scores, kept, axis=0),
    }
