"""Program: times a public tool on given data and prints one line of JSON; imports nothing of jld.

python peer_rotated.py <iou | nms | split | merge | evaluate> '{"arrays": ...}'
Prints {"name", "ms", "cpu_ms"}, or null where the tool is not installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def timed(name: str, function: Callable[[], Any]) -> dict[str, Any]:
    """What is printed about one run; CPU time includes that of child processes."""
    start, before = time.perf_counter(), _cpu_seconds()
    with contextlib.redirect_stdout(io.StringIO()):
        function()
    cpu = _cpu_seconds() - before
    return {"name": name, "ms": (time.perf_counter() - start) * 1e3, "cpu_ms": cpu * 1e3}


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def mmcv_task(task: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """`box_iou_rotated` or `nms_rotated` on the CPU."""
    try:
        import mmcv
        import torch
        from mmcv.ops import box_iou_rotated, nms_rotated
    except ImportError:
        return None
    arrays = {key: torch.from_numpy(value) for key, value in np.load(given["arrays"]).items()}
    name = f"mmcv {mmcv.__version__}"
    if task == "iou":
        return timed(name, lambda: box_iou_rotated(arrays["first"], arrays["second"]))
    threshold = float(arrays["threshold"])
    return timed(name, lambda: nms_rotated(arrays["boxes"], arrays["scores"], threshold))


def _load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mmrotate_split(given: dict[str, Any]) -> dict[str, Any]:
    """`tools/data/dota/split/img_split.py` with one process."""
    program = _load(Path(given["folder"]) / "tools" / "data" / "dota" / "split" / "img_split.py")
    source = Path(given["source"])
    sys.argv = [
        "img_split.py", "--nproc", "1", "--img-dirs", str(source / "images"), "--ann-dirs",
        str(source / "labelTxt"), "--sizes", str(given["size"]), "--gaps", str(given["overlap"]),
        "--img-rate-thr", "0.6", "--iof-thr", "0.7", "--padding-value", "104", "116", "124",
        "--save-dir", given["target"],
    ]  # fmt: skip
    return timed("mmRotate", program.main)


def devkit_merge(given: dict[str, Any]) -> dict[str, Any]:
    """`mergebase` with the faster of its two suppressions."""
    sys.path.insert(0, given["devkit"])
    import ResultMerge_multi_process as merging

    folder = Path(given["folder"])
    call = (str(folder / "detections"), str(folder / "merged"), merging.py_cpu_nms_poly_fast)
    return timed("DOTA_devkit", lambda: merging.mergebase(*call))


def devkit_evaluate(given: dict[str, Any]) -> dict[str, Any]:
    """`voc_eval` of every class at IoU 0.5, 11 points."""
    sys.path.insert(0, given["devkit"])
    if "bool" not in vars(np):
        np.bool = bool  # it was written before NumPy 1.24
    import dota_evaluation_task1 as evaluation

    folder = Path(given["folder"])
    paths = [str(folder / part) for part in ("detections/Task1_{:s}.txt", "labels/{:s}.txt", "images.txt")]

    def evaluate() -> None:
        for name in given["classes"]:
            evaluation.voc_eval(*paths, name, ovthresh=0.5, use_07_metric=True)

    return timed("DOTA_devkit", evaluate)


def main() -> None:
    """Runs the task of the command line."""
    task, given = sys.argv[1], json.loads(sys.argv[2])
    if task in ("iou", "nms"):
        told = mmcv_task(task, given)
    else:
        told = {"split": mmrotate_split, "merge": devkit_merge, "evaluate": devkit_evaluate}[task](given)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
