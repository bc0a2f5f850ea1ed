"""Our weights in the layouts of mmDetection, mmRotate and detectron2, as safetensors, `.pth` or `.pkl`."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jld.checkpoint.atomic import atomic_write
from jld.checkpoint.names import detectron2
from jld.checkpoint.names.jdet import POINTWISE_KERNELS, embed_pointwise
from jld.checkpoint.safetensors_files import write_safetensors
from jld.checkpoint.torch_writer import write_torch
from jld.errors import CheckpointError, suggestion

LAYOUTS = ("jld", "mmdet", "detectron2")
_ANCHORS_PER_CELL = 9
_ROTATED_SIDES = 5
_DELTA_SPAN, _ANGLE_SPAN = (-2.0, 2.0), (-5.0, 2.0)  # rotated localization distillation's supports


def to_mmdet(
    state: Mapping[str, np.ndarray], supports: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """The state with everything mmDetection or mmRotate expects beside our parameters.

    Batch normalisation gets its counter (int64, zero), scales lose their axis, JDet's 1x1 prediction kernels
    become 3x3 ones, and a head that predicts distributions gets the support it integrates over. Moving
    averages of a training are left out.

    Args:
        state: our names to arrays.
        supports: name -> support; None derives it from the width of the box layer: 0, 1, 2, ... for four
            sides, the rotated release's two supports for five.
    """
    result = {}
    for name, values in state.items():
        if name.endswith(".loss_normalizer"):
            continue  # of no use to others, whose strict loading would refuse it
        if name.endswith(".scale") and values.shape == (1,):
            values = values.reshape(())
        elif values.ndim == 4 and values.shape[2:] == (1, 1) and re.search(POINTWISE_KERNELS, name):
            values = embed_pointwise(values)
        result[name] = np.asarray(values)
        if name.endswith(".running_var"):
            result[f"{name.removesuffix('running_var')}num_batches_tracked"] = np.zeros((), np.int64)
    return result | dict(_supports_of(state) if supports is None else supports)


def _supports_of(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The constants of the distribution head, or none for a plain one."""
    for layer in ("gfl_reg", "atss_reg", "conv_reg"):
        kernel = state.get(f"bbox_head.{layer}.weight")
        if kernel is not None:
            num_bins = _num_bins(kernel.shape[0], layer)
            return (
                {"bbox_head.integral.project": np.arange(num_bins, dtype=np.float32)} if num_bins > 1 else {}
            )
    kernel = state.get("bbox_head.retina_reg.weight")
    num_bins = 1 if kernel is None else kernel.shape[0] // (_ANCHORS_PER_CELL * _ROTATED_SIDES)
    if num_bins < 2:
        return {}
    return {
        "bbox_head.integral.project": np.linspace(*_DELTA_SPAN, num_bins, dtype=np.float32),
        "bbox_head.integral_angle.project": np.linspace(*_ANGLE_SPAN, num_bins, dtype=np.float32),
    }


def _num_bins(width: int, layer: str) -> int:
    per_side = width // 4
    # A RetinaNet with distributions calls its layers atss_* and has nine anchors per cell.
    is_nine = layer == "atss_reg" and per_side % _ANCHORS_PER_CELL == 0
    return per_side // _ANCHORS_PER_CELL if is_nine else per_side


def write_weights(
    path: str | Path,
    state: Mapping[str, np.ndarray],
    meta: Mapping | None = None,
    layout: str = "jld",
    supports: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write weights; the suffix says how: `.safetensors`, `.pth` / `.pt` for PyTorch, `.pkl` for detectron2.

    Args:
        state: our names to arrays.
        meta: plain data; text in a safetensors file, kept as it is in a `.pth`.
        layout: "jld" for our names, "mmdet" to add what mmDetection and mmRotate expect, "detectron2" for its
            names and its dictionary with a `model`.
        supports: of the distributions, for the "mmdet" layout; None derives them, see `to_mmdet`.
    Raises:
        CheckpointError: unknown suffix or layout, or the disk is full.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise CheckpointError(f"Unknown layout {layout!r}: {suggestion(layout, LAYOUTS)}")
    arrays = to_mmdet(state, supports) if layout == "mmdet" else dict(state)
    if layout == "detectron2":
        arrays = detectron2.exported(state)
    if layout == "detectron2" and path.suffix == ".pkl":
        content = pickle.dumps({"model": arrays, "__author__": "jld"}, protocol=2)
        atomic_write(path, lambda stream: stream.write(content))
    elif path.suffix == ".safetensors":
        write_safetensors(path, arrays, text_metadata(meta or {}))
    elif path.suffix in (".pth", ".pt"):
        write_torch(path, arrays, meta, key="model" if layout == "detectron2" else "state_dict")
    else:
        raise CheckpointError(
            f"{path}: weights are written as .safetensors, .pth or .pt, not as {path.suffix!r} (.pkl is for "
            "detectron2's names)."
        )


def text_metadata(meta: Mapping) -> dict[str, str]:
    """The metadata as text: strings as they are, everything else as JSON.

    Raises:
        CheckpointError: a value has no JSON form.
    """
    try:
        return {
            str(key): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in meta.items()
        }
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"Metadata must be text, numbers, lists and dictionaries ({error}).") from error
