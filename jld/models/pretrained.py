"""Weights from disk into a model: whole detectors and ImageNet backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jld.checkpoint import ConvertOptions, convert_state, read_checkpoint, require_complete
from jld.checkpoint.class_layer import PARAMETER
from jld.checkpoint.weights import available, how_to_get, weights_folder
from jld.errors import CheckpointError
from jld.models.boxes import DistributionBoxes
from jld.toolchain import jittor as jt

# {names that an ImageNet file cannot hold: how the files of detectors spell them}
_ADDED = {
    r"\.conv_offset\.": r"\.conv2?_offset\.",
    r"^backbone\.norm\d\.": r"^(backbone\.)?(bottom_up\.)?norm\d\.",
}


def find_pretrained(source: str) -> Path:
    """The file behind a path or behind "scheme://name"; a published one is fetched if that was asked for.

    Raises:
        CheckpointError: it is not there, with its address and the place to put it to, or cannot be fetched.
    """
    published = available(source)
    if published is not None:
        return published
    scheme, separator, name = source.partition("://")
    if not separator:
        if not Path(source).is_file():
            raise CheckpointError(
                f"pretrained weights {source} do not exist; give the path of a checkpoint file."
            )
        return Path(source)
    folder = weights_folder()
    found = sorted(
        path for suffix in ("pth", "pt", "safetensors", "pkl") for path in folder.glob(f"{name}*.{suffix}")
    )
    if not found:
        cure = how_to_get(source) or f"; get it from {scheme} and put it there"
        raise CheckpointError(
            f"pretrained weights {source!r}: no file {name}*.pth in {folder}{cure}, set JLD_WEIGHTS to its "
            "folder, or set model.backbone.pretrained to its path or None."
        )
    return found[0]


def load_backbone_weights(backbone: jt.Module, source: str) -> None:
    """Fills a backbone from a path or "scheme://name": a classifier's or a whole detector's file.

    What an ImageNet file cannot hold keeps its initial values: offset convolutions, and the normalisations of
    the maps that a Swin transformer returns.

    Raises:
        CheckpointError: missing file, missing or misshapen parameters.
    """
    path = find_pretrained(source)
    checkpoint = read_checkpoint(path)
    own = {f"backbone.{name}": var for name, var in backbone.state_dict().items()}
    for ours, theirs in _ADDED.items():
        if not any(re.search(theirs, name) for name in checkpoint.state):
            own = {name: var for name, var in own.items() if not re.search(ours, name)}
    _fill(own, checkpoint.state, checkpoint.origin, "the backbone", path, ConvertOptions(only="backbone."))


def load_weights(
    model: jt.Module,
    path: str | Path,
    *,
    what: str = "checkpoint",
    class_layer: str = "load",
    classes: Sequence[str] = (),
) -> None:
    """Fills a detector from a file of any kind that `jld.checkpoint` reads, and takes over its class names.

    Args:
        what: how messages call the file, for example the config key that names it.
        class_layer: "load"; "leave_out" keeps the model's own; "by_name" takes the classes of the same names.
        classes: names of the model's classes, in the order of the labels; for "by_name".
    Raises:
        CheckpointError: unreadable file, missing or misshapen parameters, parameters the model lacks, a
            distribution over other values, classes that have no name or share none, weights of torchvision's
            for a model that crops and lays its anchors otherwise.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.origin == "torchvision":
        _require_torchvision(model, f"{what} {path}")
    options = ConvertOptions(
        supports=named_supports(model),
        constants=named_constants(model),
        class_layer=class_layer,
        initial=initial_class_layer(model) if class_layer == "by_name" else {},
        file_classes=checkpoint.classes or (),
        model_classes=tuple(classes),
    )
    _fill(model.state_dict(), checkpoint.state, checkpoint.origin, "the model", f"{what} {path}", options)
    if checkpoint.classes and class_layer == "load":
        model.classes = tuple(checkpoint.classes)


def _require_torchvision(model: jt.Module, what: str) -> None:
    """What its shapes do not tell: with other crops and anchors the same weights find other boxes."""
    head, rpn = getattr(model, "roi_head", None), getattr(model, "rpn_head", None)
    if head is not None and rpn is not None and (head.pooler.aligned or rpn.priors.grid != "torchvision"):
        raise CheckpointError(
            f"{what}: torchvision's detectors read crops and anchors of another kind. Set "
            "model.roi_head.aligned=False, model.roi_head.sampling_ratio=2 and "
            "model.rpn_head.priors.grid='torchvision', as configs/_base_/models/"
            "faster_rcnn_r50_torchvision_fpn.py does."
        )


def assign_state(model: jt.Module, state: Mapping[str, np.ndarray], *, what: str) -> None:
    """Copies arrays into the parameters of the same names, running statistics included.

    Args:
        state: {parameter name: array}; names of other frameworks are recognised and translated.
        what: how messages call the source.
    Raises:
        CheckpointError: a parameter is missing, has another shape, or a name is unknown to the model.
    """
    _fill(model.state_dict(), state, None, "the model", what, ConvertOptions(supports=named_supports(model)))


def initial_class_layer(model: jt.Module) -> dict[str, np.ndarray]:
    """{name: values} of the layers that predict classes."""
    return {name: var.numpy() for name, var in model.state_dict().items() if PARAMETER.fullmatch(name)}


def named_supports(model: jt.Module) -> dict[str, np.ndarray]:
    """{name in published files: values} of the constants over which a detector's distributions run.

    Files of rotated heads state them; weights trained over other values would be loaded without any error and
    detect nonsense. Empty where the bins are 0, 1, 2, ..., which is checked without them.
    """
    boxes = getattr(getattr(model, "bbox_head", None), "boxes", None)
    if not isinstance(boxes, DistributionBoxes) or boxes.ranges is None:
        return {}
    return {
        "bbox_head.integral.project": boxes.supports[0],
        "bbox_head.integral_angle.project": boxes.supports[-1],
    }


def named_constants(model: jt.Module) -> dict[str, np.ndarray]:
    """{name in detectron2's files: values} of a detector's input statistics and of its anchors."""
    constants, statistics = {}, getattr(model, "normalisation", None)
    if statistics is not None:
        constants = {"pixel_mean": np.array(statistics.mean), "pixel_std": np.array(statistics.std)}
    head = getattr(model, "rpn_head", None) or getattr(model, "bbox_head", None)
    priors = getattr(head, "priors", None)
    if priors is not None and hasattr(priors, "base_anchors"):
        constants |= {
            f"cell_anchors.{level}": priors.base_anchors(stride)
            for level, stride in enumerate(priors.strides)
        }
    return constants


def _fill(
    own: Mapping[str, jt.Var],
    state: Mapping[str, np.ndarray],
    origin: str | None,
    model: str,
    what: str | Path,
    options: ConvertOptions | None = None,
) -> None:
    shapes = {name: tuple(var.shape) for name, var in own.items()}
    converted, report = convert_state(state, shapes, origin, options)
    require_complete(report, model, what)
    for name, values in converted.items():
        own[name].assign(jt.array(np.ascontiguousarray(values)))
