"""Lay a file's state over a model: rename, drop, check every shape, and say what happened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import jld
from jld.checkpoint.class_layer import PARAMETER, check_choice, classes_by_name, require_names
from jld.checkpoint.export import write_weights
from jld.checkpoint.names import detect_origin, map_name, note_of, prepared, student_part
from jld.checkpoint.names.jdet import POINTWISE_KERNELS, embed_pointwise
from jld.checkpoint.reader import Checkpoint, read_checkpoint
from jld.checkpoint.report import Report, Shape, require_complete

_SUPPORT = re.compile(r"(^|\.)integral(_\w+)?\.project$")
# What detectron2's files say about the input and the anchors.
_CONSTANT = re.compile(r"^(pixel_(mean|std)|cell_anchors\.\d+)$")
# What a training remembers besides its weights: files may lack it, models may not need it.
_MEMORY = re.compile(r"\.loss_normalizer$")
_SUPPORT_TOLERANCE = 1e-4  # float32 rounding of linspace in either framework


@dataclass(frozen=True)
class ConvertOptions:
    """What a conversion needs beyond names and shapes.

    Attributes:
        supports: name such as `bbox_head.integral.project` -> values the model integrates over; a file that
            states others was trained for another head. A support that is not listed here is compared with
            0, 1, 2, ... only if it is called `integral.project` and nothing is listed at all.
        constants: name (`pixel_mean`, `pixel_std`, `cell_anchors.0`) -> values of the model, for files that
            state them; one that is not listed is not compared.
        only: keep names with this prefix (`backbone.`) and drop the rest.
        class_layer: "load"; "leave_out" keeps the model's own; "by_name" takes the classes of the same names.
        initial: the model's class layer, name -> values; needed by "by_name".
        file_classes, model_classes: names in the order of the labels; needed by "by_name".
    """

    supports: Mapping[str, np.ndarray] = field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    only: str = ""
    class_layer: str = "load"
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    file_classes: tuple[str, ...] = ()
    model_classes: tuple[str, ...] = ()


def convert_state(
    state: Mapping[str, np.ndarray],
    target_shapes: Mapping[str, Shape],
    origin: str | None = None,
    options: ConvertOptions | None = None,
) -> tuple[dict[str, np.ndarray], Report]:
    """The part of a file's state that fits a model, in the model's names, and the report.

    Args:
        state: names to arrays as `read_checkpoint` gives them.
        target_shapes: our parameter and buffer names -> shapes; constants such as supports are not listed.
        origin: family of the names; None detects it.
        options: see `ConvertOptions`.
    Returns:
        (converted, report): floats have become float32, shapes are the model's.
    Raises:
        CheckpointError: the origin is not known, or classes are to be found by names that are not there.
    """
    options = options or ConvertOptions()
    if check_choice(options.class_layer) == "by_name":
        require_names(options.file_classes, options.model_classes)
    targets = {
        name: tuple(int(size) for size in shape)
        for name, shape in target_shapes.items()
        if name.startswith(options.only)
    }
    report = Report(origin or detect_origin(state), model_shapes=targets)
    converted: dict[str, np.ndarray] = {}
    state, report.dropped = student_part(state)
    for source_name, values in prepared(state, report.origin).items():
        mapped = map_name(source_name, report.origin)
        if mapped.name is None:
            report.dropped[source_name] = mapped.reason
        elif options.class_layer == "leave_out" and PARAMETER.fullmatch(mapped.name):
            report.dropped[source_name] = "class layer, left out as asked"
            targets.pop(mapped.name, None)
        elif _CONSTANT.search(mapped.name):
            _check_constant(mapped.name, values, options, report)
        elif not mapped.name.startswith(options.only):
            report.dropped[source_name] = f"only {options.only}* is wanted"
        elif _MEMORY.search(mapped.name) and mapped.name not in targets:
            report.dropped[source_name] = "moving average of a training that this model does not keep"
        elif _SUPPORT.search(mapped.name) and mapped.name not in targets:
            _check_support(mapped.name, values, options, report)
        else:
            _place(mapped.name, values, targets, converted, report, options)
    report.loaded = sorted(converted)
    missing = set(targets) - set(converted) - set(report.shape_mismatch)
    report.missing = sorted(name for name in missing if not _MEMORY.search(name))
    return converted, report


def _place(
    name: str,
    values: np.ndarray,
    targets: Mapping[str, Shape],
    converted: dict[str, np.ndarray],
    report: Report,
    options: ConvertOptions,
) -> None:
    report.file_shapes[name] = values.shape
    if name not in targets:
        report.unexpected.append(name)
        return
    if options.class_layer == "by_name" and PARAMETER.fullmatch(name):
        classes = {"file_classes": options.file_classes, "model_classes": options.model_classes}
        fitted = classes_by_name(name, values, options.initial[name], **classes)
        shared = len(require_names(**classes))
        note = f"{shared} of {len(options.model_classes)} classes taken by their names"
    else:
        fitted, note = fit(name, values, targets[name])
        note = note or note_of(name, report.origin)
    if fitted is None:
        report.shape_mismatch[name] = (values.shape, targets[name])
        return
    if note:
        report.adapted[name] = note
    is_float = fitted.dtype.kind == "f"
    converted[name] = fitted.astype(np.float32, copy=False) if is_float else fitted
    if is_float and not np.isfinite(converted[name]).all():
        report.not_finite.append(name)


def fit(name: str, values: np.ndarray, shape: Shape) -> tuple[np.ndarray | None, str]:
    """The values in a shape that means the same, and what was done; (None, "") if there is none.

    Args:
        name: our name, which tells prediction kernels from others.
        shape: the model's shape.
    """
    if values.shape == shape:
        return values, ""
    if {values.shape, shape} == {(), (1,)}:  # Jittor has no arrays without axes
        return values.reshape(shape), "scalar stored with or without an axis"
    is_pointwise = values.ndim == 4 and values.shape[2:] == (1, 1) and shape[2:] == (3, 3)
    if is_pointwise and values.shape[:2] == shape[:2] and re.search(POINTWISE_KERNELS, name):
        return embed_pointwise(values), "1x1 kernel put into the centre of a 3x3 one"
    return None, ""


def _check_support(name: str, values: np.ndarray, options: ConvertOptions, report: Report) -> None:
    expected = options.supports.get(name)
    starts_at_zero = values.ndim == 1 and values.size > 0 and values[0] == 0
    if expected is None and not options.supports and name.endswith("integral.project") and starts_at_zero:
        expected = np.arange(values.size)
    if expected is None:
        report.dropped[name] = "support of a distribution, which our head computes (not compared)"
        return
    expected = np.asarray(expected, np.float64).reshape(-1)
    actual = np.asarray(values, np.float64).reshape(-1)
    if actual.shape == expected.shape and np.allclose(actual, expected, rtol=0, atol=_SUPPORT_TOLERANCE):
        report.dropped[name] = "support of a distribution, equal to the one our head computes"
        return
    report.support_mismatch[name] = (
        f"{name} in the file is {_span(actual)}, the model integrates over {_span(expected)}"
    )


def _check_constant(name: str, values: np.ndarray, options: ConvertOptions, report: Report) -> None:
    expected, said = options.constants.get(name), _listed(values)
    if expected is None:
        report.dropped[name] = f"constant {said}, not compared with the model's"
    elif values.size == expected.size and np.allclose(values.ravel(), expected.ravel(), rtol=1e-3, atol=1e-3):
        report.dropped[name] = "statistics of the input and anchors, equal to the model's"
    else:
        hint = "the priors (cell_order)" if name.startswith("cell") else "Normalize (BGR: to_rgb=False)"
        report.support_mismatch[name] = (
            f"{name} in the file is {said}, the model has {_listed(expected)}; change {hint}"
        )


def _listed(values: np.ndarray, limit: int = 12) -> str:
    return ", ".join(f"{value:g}" for value in values.ravel()[:limit])


def _span(values: np.ndarray) -> str:
    return f"{values.size} bins from {values[0]:g} to {values[-1]:g}" if values.size else "empty"


def convert_file(
    source: str | Path,
    destination: str | Path,
    target_shapes: Mapping[str, Shape] | None = None,
    layout: str = "jld",
    strict: bool = True,
    options: ConvertOptions | None = None,
) -> Report:
    """Read a checkpoint, convert its names, write it, and return the report.

    Args:
        source: any checkpoint `read_checkpoint` reads.
        destination: `.safetensors`, `.pth` or `.pt`.
        target_shapes: names and shapes of the model; None takes the file's own, so that nothing can mismatch
            (JDet's 1x1 prediction kernels still become 3x3).
        layout: "jld" or "mmdet".
        strict: refuse a file that fits the model only in part.
        options: see `ConvertOptions`; its supports are also what the "mmdet" layout states.
    Raises:
        CheckpointError: the source cannot be read, does not fit, or the destination cannot be written.
    """
    checkpoint = read_checkpoint(source)
    options = replace(options or ConvertOptions(), file_classes=checkpoint.classes or ())
    shapes = _own_shapes(checkpoint) if target_shapes is None else target_shapes
    converted, report = convert_state(checkpoint.state, shapes, checkpoint.origin, options)
    if target_shapes is not None:
        require_complete(report, "the model", source, strict)
    # The class layer is that of the model where it was not loaded as it is.
    classes = options.model_classes if options.class_layer != "load" else checkpoint.classes
    meta = {"jld_version": jld.__version__} | ({"classes": list(classes)} if classes else {})
    write_weights(destination, converted, meta, layout, supports=options.supports or None)
    return report


def _own_shapes(checkpoint: Checkpoint) -> dict[str, Shape]:
    """The shapes the converted file will have when no model says otherwise."""
    shapes = {}
    for source_name, values in prepared(student_part(checkpoint.state)[0], checkpoint.origin).items():
        name = map_name(source_name, checkpoint.origin).name
        if name is None or _SUPPORT.search(name) or _CONSTANT.search(name):
            continue
        is_pointwise = values.ndim == 4 and values.shape[2:] == (1, 1) and re.search(POINTWISE_KERNELS, name)
        shapes[name] = (
            (*values.shape[:2], 3, 3) if is_pointwise and checkpoint.origin == "jdet" else values.shape
        )
    return shapes
