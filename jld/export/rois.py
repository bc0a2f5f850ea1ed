"""What detectors of two stages write between their stages: proposals, their levels, their crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from jld.boxes.formats import split_corners
from jld.boxes.places import Places
from jld.export.graph import Graph, Symbol
from jld.export.selection import best_of_levels, clipped, limited, rows_per_level
from jld.models.heads.rpn_head import Proposals, RPNHead
from jld.models.rois import RoIPooler
from jld.models.trace import Stage
from jld.ops.roi_align import pyramid_levels
from jld.toolchain import jittor as jt

# Logits of anchors that are none of their level's candidates, and what suppression leaves out.
NOWHERE, LEAST = -1e38, -1e37
SLOTS_TRACED = 100


def _proposals(graph: Graph, head: RPNHead, stage: Stage, sides: tuple[str, str]) -> Proposals:
    """As `RPNHead.proposals` for one image, without empty slots."""
    limits, places = head.test_limits, stage.places
    logits = graph.op("Reshape", stage.predictions["cls_logits"], [-1])
    level_sizes = rows_per_level(graph, places)
    index = best_of_levels(graph, logits, level_sizes, places.num_levels, limits.nms_pre)
    logits = graph.op("Gather", logits, index)
    boxes = graph.op("Gather", graph.op("Squeeze", stage.boxes(), [0]), index, axis=0)
    boxes = clipped(graph, boxes, sides)
    low, high = graph.op("Split", boxes, [2, 2], axis=1, outputs=2)
    smallest = graph.op("ReduceMin", graph.op("Sub", high, low), [1], keepdims=0)
    is_large = graph.op("Greater", smallest, float(limits.min_size_px))
    strides = graph.op("Gather", graph.op("Squeeze", places.strides, [0]), index)
    of_level = graph.op("Equal", strides, np.array(places.level_strides, np.float32)[:, None])  # [L, K]
    scores = graph.op("Where", graph.op("And", of_level, is_large), logits, NOWHERE)
    picked = graph.op(
        "NonMaxSuppression",
        graph.op("Unsqueeze", boxes, [0]),
        graph.op("Unsqueeze", scores, [0]),
        graph.op("Shape", logits),
        np.array([limits.nms_threshold], np.float32),
        np.array([LEAST], np.float32),
    )
    rows = graph.op("Squeeze", graph.op("Slice", picked, [2], [3], [1]), [1])
    values = graph.op("Gather", logits, rows)
    best, order = graph.op("TopK", values, limited(graph, values, limits.max_count), outputs=2)
    rows = graph.op("Gather", rows, order)
    kept = graph.op("Unsqueeze", graph.op("Gather", boxes, rows, axis=0), [0])
    scores = graph.op("Unsqueeze", graph.op("Sigmoid", best), [0])
    shape = (1, limits.max_count)
    boxes_left: Any = Symbol(graph, kept, jt.zeros((*shape, 4)))
    scores_left: Any = Symbol(graph, scores, jt.zeros(shape))
    return Proposals(boxes_left, scores_left, jt.ones(shape))


def _rois(graph: Graph, pooler: RoIPooler, boxes: Any, mask: Any) -> Places:
    x1, y1, x2, y2 = split_corners(boxes)
    levels: Any = pyramid_levels(boxes, pooler.strides, pooler.canonical_px)
    index = graph.op("Cast", levels, to=7)
    strides: Any = Symbol(
        graph, graph.op("Gather", np.array(pooler.strides, np.float32), index), levels.var.float32()
    )
    centers = jt.stack([(x1 + x2) * 0.5, (y1 + y2) * 0.5], -1)
    return Places(
        boxes=boxes, centers=centers, strides=strides, levels=levels, level_strides=pooler.strides, mask=mask
    )


def _crops(graph: Graph, pooler: RoIPooler, features: Sequence[Any], rois: Any, size: int) -> Symbol:
    boxes, levels = (graph.op("Squeeze", value, [0]) for value in (rois.boxes, rois.levels))
    crops, rows = [], []
    for level, (x, stride) in enumerate(zip(features, pooler.strides, strict=False)):
        own = graph.op(
            "Squeeze", graph.op("NonZero", graph.op("Equal", levels, np.array(level, np.int32))), [0]
        )
        rows.append(own)
        crops.append(
            graph.op(
                "RoiAlign",
                x,
                graph.op("Gather", boxes, own, axis=0),
                graph.op("Mul", own, np.array(0)),  # all of one image
                output_height=size,
                output_width=size,
                sampling_ratio=pooler.sampling_ratio,
                spatial_scale=1.0 / stride,
                coordinate_transformation_mode="half_pixel" if pooler.aligned else "output_half_pixel",
            )
        )
    joined = graph.op("Concat", *rows, axis=0)
    _, order = graph.op("TopK", joined, graph.op("Shape", joined), largest=0, outputs=2)
    name = graph.op("Gather", graph.op("Concat", *crops, axis=0), order, axis=0)
    count, channels = int(rois.boxes.shape[1]), int(features[0].shape[1])
    return Symbol(graph, name, jt.zeros((count, channels, size, size)))


def masks_of(graph: Graph, head: Any, features: Sequence[Any], boxes: str, labels: str) -> str:
    """[D, S, S] probabilities in the frames of boxes [D, 4], each in the mask of its own class [D].

    Args:
        head: a `RoIHead` with masks, while `writing_rois` holds.
        features: pyramid maps, symbols.
    """
    slots = (1, SLOTS_TRACED)
    shown: Any = Symbol(graph, graph.op("Unsqueeze", boxes, [0]), jt.zeros((*slots, 4)))
    places = head.pooler.places(shown, jt.ones(slots))
    crops = head.pooler.crops(features, places, head.mask_head.roi_feat_size)
    logits = graph.op("Squeeze", head.mask_head(crops, 1)["mask_logits"], [0])  # [D, C or 1, S, S]
    own = graph.op("Mul", labels, np.array(0)) if head.mask_head.class_agnostic else labels
    return graph.op("Sigmoid", graph.op("GatherND", logits, graph.op("Unsqueeze", own, [1]), batch_dims=1))


@contextmanager
def writing_rois(graph: Graph, sides: tuple[str, str]) -> Iterator[None]:
    """While this holds, two-stage detectors called with symbols write what lies between their stages.

    Args:
        sides: names of height and width of the image in px, scalars.
    """

    def proposals(head: RPNHead, stage: Stage, *rest: Any) -> Proposals:
        return _proposals(graph, head, stage, sides)

    def rois(pooler: RoIPooler, boxes: Any, mask: Any) -> Places:
        return _rois(graph, pooler, boxes, mask)

    def crops(pooler: RoIPooler, features: Sequence[Any], places: Places, size: int) -> Symbol:
        return _crops(graph, pooler, features, places, size)

    with (
        mock.patch.object(RPNHead, "proposals", proposals),
        mock.patch.object(RoIPooler, "places", rois),
        mock.patch.object(RoIPooler, "crops", crops),
    ):
        yield
