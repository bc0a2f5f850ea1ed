"""The way from dense predictions to detections as nodes: what `jld.models.postprocess` does with arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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


def _levels(graph: Graph, values: str, dense: Dense, count: int, axis: int = 0) -> tuple[str, ...]:
    parts = graph.op("Split", values, dense.level_sizes, axis=axis, outputs=count)
    return parts if count > 1 else (parts,)


def _limited(graph: Graph, values: str, most: int | str) -> str:
    """[1] int64 the smaller one of a limit and the number of values [n]."""
    length = graph.op("Shape", values)
    return graph.op("Min", length, np.array([most], np.int64) if isinstance(most, int) else most)


def _best_rows(
    graph: Graph, rule: Postprocess, dense: Dense, lengths: Sequence[int]
) -> tuple[str, str, str | None]:
    found: tuple[str, str, str | None] = (dense.scores, dense.boxes, dense.quality)
    if rule.nms_pre <= 0 or (not graph.any_size and max(lengths) <= rule.nms_pre):
        return found
    ranks = graph.op("ReduceMax", dense.scores, [1], keepdims=0)
    ranks = ranks if dense.quality is None else graph.op("Mul", ranks, dense.quality)
    # [P] numbers of the rows, split like the ranks, so that no level needs to know where it starts.
    rows = graph.op("Range", np.array(0), graph.op("Squeeze", graph.op("Shape", ranks), [0]), np.array(1))
    kept = []
    for level, numbers in zip(
        _levels(graph, ranks, dense, len(lengths)), _levels(graph, rows, dense, len(lengths)), strict=True
    ):
        _, best = graph.op("TopK", level, _limited(graph, level, rule.nms_pre), outputs=2)
        kept.append(graph.op("Gather", numbers, best))
    index = graph.op("Concat", *kept, axis=0)
    # In the order of the rows, as equal scores are told apart by it.
    index, _ = graph.op("TopK", index, graph.op("Shape", index), largest=0, outputs=2)
    scores, boxes = (graph.op("Gather", name, index, axis=0) for name in found[:2])
    quality = None if dense.quality is None else graph.op("Gather", dense.quality, index, axis=0)
    return scores, boxes, quality


def _best_pairs(
    graph: Graph, rule: PairPostprocess, dense: Dense, lengths: Sequence[int]
) -> tuple[str, str, str | None]:
    found = []
    for level in _levels(graph, dense.scores, dense, len(lengths)):
        flat = graph.op("Reshape", level, [-1])
        limit: str = _limited(graph, flat, rule.nms_pre or 2**62)
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
        return _clipped(graph, boxes, sides)
    if not rule.clamp_centers:
        return boxes
    last = _pair(graph, graph.op("Sub", width, 1.0), graph.op("Sub", height, 1.0))
    centers, rest = graph.op("Split", boxes, [2, 3], axis=1, outputs=2)
    centers = graph.op("Min", graph.op("Max", centers, 0.0), last)
    return graph.op("Concat", centers, rest, axis=1)


def _clipped(graph: Graph, boxes: str, sides: tuple[str, str]) -> str:
    pair = _pair(graph, sides[1], sides[0])
    return graph.op("Min", graph.op("Max", boxes, 0.0), graph.op("Concat", pair, pair, axis=0))


def _pair(graph: Graph, first: str, second: str) -> str:
    return graph.op("Concat", *(graph.op("Unsqueeze", side, [0]) for side in (first, second)), axis=0)


def suppressed(
    graph: Graph, rule: Postprocess, boxes: str, scores: str, sides: tuple[str, str]
) -> dict[str, str]:
    """{"boxes" [D, 4], "scores" [D], "labels" [D]} after suppression inside every class, best first.

    Args:
        rule: its `nms` is a `ClasswiseNMS`.
        boxes, scores: see `candidates`.
    """
    suppression: Any = rule.nms
    by_class = graph.op("Transpose", scores, perm=[1, 0])
    most = graph.op("Shape", scores, start=0, end=1)
    picked = graph.op(
        "NonMaxSuppression",
        graph.op("Unsqueeze", boxes, [0]),
        graph.op("Unsqueeze", by_class, [0]),
        graph.op("Min", most, np.array([rule.max_per_image or 2**62], np.int64)),
        np.array([suppression.iou_threshold], np.float32),
        np.array([0.0], np.float32),
    )  # [M, 3] image, class, row
    pairs = graph.op("Slice", picked, [1], [3], [1])
    values = graph.op("GatherND", by_class, pairs)
    best, order = graph.op("TopK", values, _limited(graph, values, rule.max_per_image or 2**62), outputs=2)
    labels, rows = (
        graph.op("Squeeze", part, [1])
        for part in graph.op("Split", graph.op("Gather", pairs, order), [1, 1], axis=1, outputs=2)
    )
    found = {"boxes": graph.op("Gather", boxes, rows), "scores": best, "labels": labels}
    if isinstance(rule, PairPostprocess):
        found["boxes"] = _clipped(graph, found["boxes"], sides)
        low, high = graph.op("Split", found["boxes"], [2, 2], axis=1, outputs=2)
        is_proper = graph.op("Cast", graph.op("Greater", high, low), to=6)  # int32: all of two
        kept = graph.op("Cast", graph.op("ReduceMin", is_proper, [1], keepdims=0), to=9)
        found = {name: graph.op("Compress", value, kept, axis=0) for name, value in found.items()}
    return found


def rows_left(graph: Graph, boxes: str, scores: str) -> dict[str, str]:
    """{"boxes" [K, 4 or 5], "scores" [K, C]} of the candidates that have a score above 0."""
    best = graph.op("ReduceMax", scores, [1], keepdims=0)
    kept = graph.op("Greater", best, 0.0)
    return {
        "boxes": graph.op("Compress", boxes, kept, axis=0),
        "scores": graph.op("Compress", scores, kept, axis=0),
    }
