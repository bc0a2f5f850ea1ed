"""The tools that DOTA users know, where they are there: mmcv, mmRotate's splitter, DOTA_devkit.

Each runs in a process of its own (`peer_rotated.py`, for the interpreter that has its packages) and times
itself; nothing of them is imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.data.dota.labels import PolyAnnotation, write_label_file
from jld.data.dota.submission import write_submission
from projects.benchmark.clock import Timing
from projects.benchmark.rotated_scene import CLASSES

PROGRAM = Path(__file__).with_name("peer_rotated.py")


@dataclass(frozen=True)
class PeerTools:
    """Where competitors are; what is absent does not compete.

    Attributes:
        python: interpreter with mmcv.
        devkit: folder of DOTA_devkit, its `polyiou` compiled for this interpreter.
        mmrotate: folder of mmRotate 0.x.
    """

    python: str = sys.executable
    devkit: Path | None = None
    mmrotate: Path | None = None


def _run(python: str, task: str, given: dict[str, Any]) -> dict[str, Timing]:
    """{name: Timing} as the program printed it; empty where it has not got what it needs.

    Raises:
        subprocess.CalledProcessError: the tool is there but failed; its messages are on stderr.
    """
    command = [python, str(PROGRAM), task, json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return {told["name"]: Timing((told["ms"],), (told["cpu_ms"],))} if told else {}


def run_mmcv(tools: PeerTools, task: str, **arrays: np.ndarray) -> dict[str, Timing]:
    """`iou` of first and second, or `nms` of boxes and scores, by mmcv's CPU operators."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arrays.npz"
        np.savez(file, **arrays)
        return _run(tools.python, task, {"arrays": str(file)})


def run_mmrotate(tools: PeerTools, source: Path, target: Path, size: int, overlap: int) -> dict[str, Timing]:
    """The splitter of mmRotate 0.x in one process."""
    if tools.mmrotate is None:
        return {}
    given = {"folder": str(tools.mmrotate), "source": str(source), "target": str(target)}
    return _run(sys.executable, "split", {**given, "size": size, "overlap": overlap})


def run_devkit(
    tools: PeerTools, task: str, folder: Path, found: Sequence[Detections], truths: Sequence[dict] = ()
) -> dict[str, Timing]:
    """DOTA_devkit's merging (`merge`) or evaluation at one threshold (`evaluate`), from files to files."""
    if tools.devkit is None:
        return {}
    for name in ("detections", "labels", "merged"):
        (folder / name).mkdir()
    with zipfile.ZipFile(write_submission(folder / "detections.zip", found, CLASSES)) as archive:
        archive.extractall(folder / "detections")
    for truth in truths:
        names = [CLASSES[label] for label in truth["labels"]]
        annotation = PolyAnnotation.of(truth["polys"], names, truth["difficult"])
        write_label_file(folder / "labels" / f"{truth['img_id']}.txt", annotation, header=False)
    images = "".join(f"{truth['img_id']}\n" for truth in truths)
    (folder / "images.txt").write_text(images, encoding="utf-8")
    given = {"devkit": str(tools.devkit), "folder": str(folder), "classes": list(CLASSES)}
    return _run(sys.executable, task, given)
