"""A detector as an ONNX file that is compared with the detector before it is kept.

The file takes one image, resized but not padded, and gives detections in px of that image: boxes, scores and
labels where ONNX has the suppression, else the candidates for it (rotated boxes, other suppressions). What a
program must know besides, such as class names and how to resize, stands in the file's metadata under `jld`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import jld
from jld.boxes.places import on_grid
from jld.errors import ConfigError
from jld.export.graph import Graph, Symbol
from jld.export.layers import writing
from jld.export.rois import masks_of, writing_rois
from jld.export.selection import (
    THRESHOLD,
    Dense,
    candidates,
    clipped,
    rows_left,
    rows_per_level,
    suppressed,
)
from jld.models import Detector, Stage, Trace
from jld.models.backbones import SwinTransformer
from jld.models.postprocess import PairPostprocess
from jld.models.trace import DENSE, MASK, ROI, RPN
from jld.ops.nms import ClasswiseNMS
from jld.toolchain import jittor as jt
from jld.utils.extras import require

Outputs = dict[str, str]
"""{name of an output: name of the value}."""
METADATA = "jld"
INPUT = "image"
OUTPUTS = ("boxes", "scores", "labels", "masks")
DENSE_OUTPUTS = ("dense_scores", "dense_boxes", "dense_quality")
# Sides that a graph for any size is traced with; what it computes from them shows at the sizes of the check.
TRACED = (160, 224)
FLOAT, UINT8, INT64 = 1, 2, 7
# (operators, format) of files: read by ONNX Runtime 1.14 and newer, and those with deformable convolutions.
VERSIONS, DEFORMABLE_VERSIONS = (18, 8), (19, 9)


@dataclass(frozen=True)
class ExportSettings:
    """What a file takes and gives.

    Attributes:
        size: (height, width) in px of the image; None: any.
        raw_input: the image is uint8 [H, W, 3] BGR as OpenCV reads it, and is normalised inside; otherwise
            float32 [1, 3, H, W], normalised.
        suppress: suppression inside, where standard operators have it.
        size_divisor: the image is padded inside to multiples of this, at its right and bottom.
    """

    size: tuple[int, int] | None = None
    raw_input: bool = True
    suppress: bool = True
    size_divisor: int = 32


def to_onnx(detector: Detector, settings: ExportSettings, metadata: dict[str, Any]) -> Any:
    """The `onnx.ModelProto` of a detector in evaluation mode, with its predictions as further outputs.

    They are `dense_scores` [P, C], `dense_boxes` [P, 4 or 5] and, where the head has it, `dense_quality` [P];
    of two stages `rpn_scores` [P, 1], `rpn_boxes` [P, 4], `rois` [R, 4], `roi_scores` [R, C] and `roi_boxes`
    [R, 1 or C, 4]. `detections_only` takes them away. Detectors of masks give `masks` [D, S, S], the
    probabilities in the frames of the D boxes.

    Args:
        metadata: stored as JSON, with what the file itself is.
    Raises:
        ConfigError: the detector has a part without an ONNX form, or says nothing of its normalisation.
    """
    onnx = require("onnx", "export")
    if settings.size is None and isinstance(getattr(detector, "backbone", None), SwinTransformer):
        raise ConfigError(
            "a SwinTransformer lays out its windows for one size of images: export with --size, such as "
            "--size 800x1333."
        )
    names = {id(var): name for name, var in detector.state_dict().items()}
    # How many proposals there are is never known before.
    is_staged = ROI in detector.interface.stages
    graph = Graph(names, any_size=settings.size is None or is_staged)
    image, sides = _input(graph, detector, settings)
    with _explained(detector), writing(graph), writing_rois(graph, sides):
        trace = detector(image)
        dense_outputs, outputs, rule = (_of_rois if is_staged else _of_grid)(graph, trace, sides, settings)
        if MASK in detector.interface.stages:
            head = detector.roi_head
            outputs["masks"] = masks_of(graph, head, trace.features, outputs["boxes"], outputs["labels"])
    about = {**_about(detector, settings, rule, "labels" in outputs), **metadata}
    model = _model(graph, detector, settings, outputs | dense_outputs, rule)
    onnx.helper.set_model_props(model, {METADATA: json.dumps(about)})
    return model


def detections_only(model: Any) -> Any:
    """The model without the outputs that only the check reads."""
    for output in [each for each in model.graph.output if each.name not in OUTPUTS]:
        model.graph.output.remove(output)
        (node,) = [each for each in model.graph.node if each.output[0] == output.name]
        model.graph.node.remove(node)
    return model


def _of_grid(
    graph: Graph, trace: Trace, sides: tuple[str, str], settings: ExportSettings
) -> tuple[Outputs, Outputs, Any]:
    """Dense outputs, outputs and the rule of a single-stage detector."""
    stage = trace.stages[DENSE]
    quality = stage.predictions.get("centerness_logits")
    values = (stage.probabilities(), stage.boxes(), None if quality is None else jt.sigmoid(quality))
    names = [None if value is None else graph.op("Squeeze", value, [0]) for value in values]
    assert names[0] is not None and names[1] is not None
    rule, places = _head(stage).postprocess, on_grid(stage.places)
    found = Dense(names[0], names[1], names[2], rows_per_level(graph, places))
    lengths = [level.stop - level.start for level in places.level_slices]
    boxes, scores = candidates(graph, rule, found, lengths, sides)
    dense = {key: name for key, name in zip(DENSE_OUTPUTS, names, strict=True) if name is not None}
    if settings.suppress and isinstance(rule.nms, ClasswiseNMS):
        return dense, suppressed(graph, rule, boxes, scores, sides), rule
    return dense, rows_left(graph, boxes, scores), rule


def _of_rois(
    graph: Graph, trace: Trace, sides: tuple[str, str], settings: ExportSettings
) -> tuple[Outputs, Outputs, Any]:
    """The same of a two-stage detector."""
    rpn, roi = trace.stages[RPN], trace.stages[ROI]
    head, rule = _head(roi), _head(roi).postprocess
    if not settings.suppress or not isinstance(rule.nms, ClasswiseNMS):
        raise ConfigError("a two-stage detector is exported with its suppression inside, by ClasswiseNMS.")
    values = {
        "rpn_scores": jt.sigmoid(rpn.predictions["cls_logits"]),
        "rpn_boxes": rpn.boxes(),
        "rois": roi.places.boxes,
        "roi_scores": roi.probabilities(),
        "roi_boxes": head.decode_all(roi.predictions, roi.places),
    }
    dense = {key: graph.op("Squeeze", value, [0]) for key, value in values.items()}
    boxes = graph.op("Expand", dense["roi_boxes"], [1, head.num_classes, 1])
    is_seen = graph.op("Greater", dense["roi_scores"], THRESHOLD)
    scores = graph.op("Where", is_seen, dense["roi_scores"], 0.0)
    boxes = clipped(graph, boxes, sides)
    return dense, suppressed(graph, rule, boxes, scores, sides, per_class=True), rule


def _head(stage: Stage) -> Any:
    """The head of a stage, which has a rule for detections beside what terms may ask of it."""
    return stage.head


def _input(graph: Graph, detector: Detector, settings: ExportSettings) -> tuple[Symbol, tuple[str, str]]:
    """The normalised and padded image, and the names of its own height and width (float, scalars)."""
    height, width = settings.size or TRACED
    axis, name = 2, INPUT
    if settings.raw_input:
        axis, name = 0, _normalised(graph, detector)
    sizes = graph.op("Shape", INPUT, start=axis, end=axis + 2)
    if settings.size is not None:
        sizes = graph.constant(np.array(settings.size, np.int64))
    step = settings.size_divisor
    missing = graph.op("Mod", graph.op("Neg", sizes), np.array([step], np.int64))
    pads = graph.op("Concat", np.zeros(6, np.int64), missing, axis=0)
    padded = graph.op("Pad", name, pads, 0.0)
    whole = [-(-side // step) * step for side in (height, width)]
    sides = graph.op("Split", graph.op("Cast", sizes, to=FLOAT), [1, 1], axis=0, outputs=2)
    as_scalars = tuple(graph.op("Squeeze", side, [0]) for side in sides)
    return Symbol(graph, padded, jt.zeros((1, 3, *whole))), (as_scalars[0], as_scalars[1])


def _normalised(graph: Graph, detector: Detector) -> str:
    """[1, 3, H, W] of the input uint8 [H, W, 3] BGR."""
    statistics = detector.normalisation
    if statistics is None:
        raise ConfigError(
            "the config has no Normalize step, so the file cannot normalise: export with --float-input."
        )
    name = graph.op("Cast", INPUT, to=FLOAT)
    if statistics.is_rgb:
        name = graph.op("Gather", name, [2, 1, 0], axis=2)
    mean, std = (np.array(values, np.float32) for values in (statistics.mean, statistics.std))
    name = graph.op("Mul", graph.op("Sub", name, mean), 1 / std)
    return graph.op("Unsqueeze", graph.op("Transpose", name, perm=[2, 0, 1]), [0])


@contextmanager
def _explained(detector: Detector) -> Iterator[None]:
    """Names the part of a detector that symbols cannot pass."""
    try:
        yield
    except ConfigError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        part, step = type(detector).__name__, error.__traceback__
        while step is not None:
            owner = step.tb_frame.f_locals.get("self")
            part = type(owner).__name__ if isinstance(owner, jt.Module) else part
            step = step.tb_next
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{part} cannot be exported to ONNX: {reason[0]}.") from error


def _about(detector: Detector, settings: ExportSettings, rule: Any, is_inside: bool) -> dict[str, Any]:
    statistics, interface = detector.normalisation, detector.interface
    return {
        "jld_version": jld.__version__,
        "classes": list(interface.classes),
        "strides": list(interface.strides),
        "input": "uint8 [H, W, 3] BGR" if settings.raw_input else "float32 [1, 3, H, W]",
        "mean": statistics and list(statistics.mean),
        "std": statistics and list(statistics.std),
        "is_rgb": statistics and statistics.is_rgb,
        "size": settings.size and list(settings.size),
        "boxes": "x1, y1, x2, y2" if interface.stage().boxes.num_sides == 4 else "cx, cy, w, h, angle (rad)",
        "outputs": "detections" if is_inside else "candidates",
        "suppression": type(rule.nms).__name__,
        "iou_threshold": getattr(rule.nms, "iou_threshold", None),
        "score_threshold": rule.score_threshold,
        "max_per_image": rule.max_per_image,
        # Whether boxes are clipped to the image, and empty ones dropped, after suppression.
        "clip_at_end": isinstance(rule, PairPostprocess),
    }


def _model(
    graph: Graph, detector: Detector, settings: ExportSettings, outputs: dict[str, str], rule: Any
) -> Any:
    onnx, helper = require("onnx", "export"), graph.helper
    height, width = settings.size or ("height", "width")
    kind, shape = (UINT8, (height, width, 3)) if settings.raw_input else (FLOAT, (1, 3, height, width))
    stage = list(detector.interface.stages.values())[-1]
    sides, classes = stage.boxes.num_sides, stage.num_classes
    is_inside = "labels" in outputs
    shapes = {
        "boxes": ("found", sides),
        "scores": ("found",) if is_inside else ("found", classes),
        "labels": ("found",),
        "masks": ("found", "mask_height", "mask_width"),
        **dict(zip(DENSE_OUTPUTS, (("places", classes), ("places", sides), ("places",)), strict=True)),
        "rpn_scores": ("places", 1),
        "rpn_boxes": ("places", 4),
        "rois": ("rois", 4),
        "roi_scores": ("rois", classes),
        "roi_boxes": ("rois", "boxes", 4),
    }
    given = [helper.make_node("Identity", [name], [key]) for key, name in outputs.items()]
    graph.constant(np.array(rule.score_threshold, np.float32), THRESHOLD)
    made = helper.make_graph(
        [*graph.nodes, *given],
        type(detector).__name__,
        [
            helper.make_tensor_value_info(INPUT, kind, shape),
            helper.make_tensor_value_info(THRESHOLD, FLOAT, ()),
        ],
        [
            helper.make_tensor_value_info(key, INT64 if key == "labels" else FLOAT, shapes[key])
            for key in outputs
        ],
        [graph.numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    is_deformable = any(node.op_type == "DeformConv" for node in graph.nodes)
    opset, version = DEFORMABLE_VERSIONS if is_deformable else VERSIONS
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=version)
    model.producer_name, model.producer_version = "jld", jld.__version__
    onnx.checker.check_model(model, full_check=True)
    return model
