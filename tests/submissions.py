"""Reads what `write_submission` writes, line by line, to compare it with the detections it came from."""

import zipfile
from pathlib import Path

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import shapes_to_polys


def read_submission(
    path: Path, classes: tuple[str, ...], task: int = 1, style: str = "mmrotate"
) -> list[Detections]:
    """Per image its corners (upright ones for task 2), best score first."""
    rows: dict[str, list] = {}
    prefix = f"Task{task}_" if style == "mmrotate" else ""
    with zipfile.ZipFile(path) as archive:
        for label, name in enumerate(classes):
            for line in archive.read(f"{prefix}{name}.txt").decode().splitlines():
                image, *numbers = line.split(" ")
                rows.setdefault(image, []).append((*map(float, numbers), label))
    found = {image: np.array(sorted(each, key=lambda row: -row[0])) for image, each in rows.items()}
    return [
        Detections(image, each[:, 0], each[:, -1].astype(np.int64), polys=shapes_to_polys(each[:, 1:-1]))
        for image, each in found.items()
    ]
