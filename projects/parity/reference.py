"""The reference package (HikariTJU/LD, a fork of mmDetection 2.10) made importable on today's PyTorch.

It was written for PyTorch 1.7 and mmcv-full 1.2; here it runs unchanged on mmcv 1.7, whose interface is the
same, with or without mmcv's compiled operators.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NEEDED = ("torch", "torchvision", "mmcv", "pycocotools", "terminaltables")
# What the package's own check of mmcv's version admits.
ADMITTED_MMCV = "1.3"


def why_missing(folder: str | Path | None) -> str | None:
    """One sentence on what the reference lacks on this machine, or None when it can run.

    Args:
        folder: a checkout of the reference package, which holds `mmdet/`.
    """
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        return f"the reference needs the packages {', '.join(absent)}"
    if folder is None or not (Path(folder) / "mmdet" / "models" / "dense_heads" / "ld_head.py").is_file():
        return f"{folder or 'no folder'} is no checkout of HikariTJU/LD; name one with --reference"
    return None


def import_reference(folder: str | Path) -> types.ModuleType:
    """The package `mmdet` of a checkout, ready to build models."""
    sys.path.insert(0, str(Path(folder).resolve()))
    import mmcv

    if importlib.util.find_spec("mmcv._ext") is None:
        from projects.parity import operators

        operators.install()
    own_version, mmcv.__version__ = mmcv.__version__, ADMITTED_MMCV
    try:
        importlib.import_module("mmdet.models")
        return importlib.import_module("mmdet")
    finally:
        mmcv.__version__ = own_version


def build_reference(meta: dict, tag: str, *, salt: str) -> Any:
    """A detector of `meta["model"]` in training mode, its weights filled by the formula of `golden_fill`.

    Args:
        meta: gets what was filled under `params[tag]`: names, shapes and salt.
        tag: "model", "student" or "teacher"; the section `tag` of `meta` is built, or "model".
        salt: of the formula; other salts give other weights.
    """
    import golden_fill as fill  # tests/golden, which the scripts of this project put on the path
    import torch
    from mmcv import ConfigDict
    from mmdet.models import build_detector

    model = build_detector(
        ConfigDict(meta.get(tag, meta["model"])), ConfigDict(meta["train_cfg"]), ConfigDict(meta["test_cfg"])
    )
    shapes = {name: list(values.shape) for name, values in model.state_dict().items()}
    meta.setdefault("params", {})[tag] = {"salt": salt, "shapes": shapes}
    filled = {name: torch.as_tensor(values) for name, values in fill.state_dict(meta, tag).items()}
    absent, unknown = model.load_state_dict(filled, strict=False)
    assert not unknown and all(name.endswith(".project") for name in absent), (absent, unknown)
    return model.train()


def image_inputs(arrays: Mapping[str, np.ndarray], count: int) -> tuple[list, list, list[dict]]:
    """(boxes, labels, image descriptions) of a case in the reference's words."""
    import torch

    boxes = [torch.from_numpy(arrays[f"in/gt_bboxes/{i}"]) for i in range(count)]
    labels = [torch.from_numpy(arrays[f"in/gt_labels/{i}"]) for i in range(count)]
    metas = [
        {
            "img_shape": tuple(arrays[f"in/img_shape/{i}"].tolist()),
            "pad_shape": tuple(arrays[f"in/pad_shape/{i}"].tolist()),
            "scale_factor": arrays[f"in/scale_factor/{i}"],
        }
        for i in range(count)
    ]
    return boxes, labels, metas


def total_of(losses: Mapping[str, Any]) -> Any:
    """The sum of all terms over all levels, as the reference's runner adds them up."""
    return sum(value.mean() for levels in losses.values() for value in levels)


def versions() -> dict[str, str]:
    """What computed the numbers."""
    import mmcv
    import torch

    ops = "compiled operators" if importlib.util.find_spec("mmcv._ext") else "operators in plain PyTorch"
    return {
        "reference": "HikariTJU/LD (mmdet 2.10.0 fork)",
        "mmcv": f"{mmcv.__version__}, {ops}",
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
