"""Tiny COCO, VOC and DOTA datasets, written where a test wants them: plain grey images with bright boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from jld.data import DrawnOrientedDataset
from jld.data.dota import PolyAnnotation, write_label_file

Box = tuple[float, float, float, float]

# (width, height) and [(class, x1, y1, x2, y2), ...] of each image
TINY_IMAGES: list[tuple[tuple[int, int], list[tuple]]] = [
    ((60, 40), [("cat", 5, 5, 25, 30), ("dog", 30, 10, 55, 38)]),
    ((40, 60), [("dog", 10, 10, 30, 50)]),
    ((50, 50), []),
    ((64, 36), [("cat", 0, 0, 64, 36), ("cat", 20, 8, 28, 20), ("dog", 40, 4, 60, 16)]),
]
TINY_CLASSES = ("cat", "dog")


def paint(size: tuple[int, int], boxes: Sequence[Box]) -> np.ndarray:
    """[H, W, 3] uint8 of value 40, boxes (integer px) of value 200."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[int(y1) : int(y2), int(x1) : int(x2)] = 200
    return image


def write_coco(folder: Path, images: Sequence = TINY_IMAGES, **changes: object) -> tuple[Path, Path]:
    """(image folder, json file); `changes` replace top-level lists of the json."""
    images_dir = folder / "images"
    images_dir.mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 10 * index + 3, "name": name} for index, name in enumerate(TINY_CLASSES)],
    }
    for index, (size, objects) in enumerate(images):
        name = f"{index:03d}.png"
        cv2.imwrite(str(images_dir / name), paint(size, [item[1:5] for item in objects]))
        content["images"].append({"id": 100 + index, "file_name": name, "width": size[0], "height": size[1]})
        for label, x1, y1, x2, y2 in objects:
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": 100 + index,
                    "category_id": 10 * TINY_CLASSES.index(label) + 3,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    path = folder / "instances.json"
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return images_dir, path


def write_voc(folder: Path, images: Sequence = TINY_IMAGES, set_name: str = "trainval") -> Path:
    """Root of a VOC dataset with coordinates counted from 1; a sixth entry marks an object difficult."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, (size, objects) in enumerate(images):
        cv2.imwrite(str(folder / f"JPEGImages/img{index}.png"), paint(size, [item[1:5] for item in objects]))
        (folder / f"Annotations/img{index}.xml").write_text(voc_xml(size, objects), encoding="utf-8")
    ids = "".join(f"img{index}\n" for index in range(len(images)))
    (folder / f"ImageSets/Main/{set_name}.txt").write_text(ids, encoding="utf-8")
    return folder


def voc_xml(size: tuple[int, int], objects: Sequence[tuple]) -> str:
    """Text of one annotation file: object i starts at line 6 + 10 i and its name stands one line below."""
    lines = ["<annotation>", "<size>", f"<width>{size[0]}</width>", f"<height>{size[1]}</height>", "</size>"]
    for name, x1, y1, x2, y2, *difficult in objects:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), (x1, y1, x2, y2), strict=True)
        lines += [
            "<object>",
            f"<name>{name}</name>",
            f"<difficult>{difficult[0] if difficult else 0}</difficult>",
        ]
        lines += [
            "<bndbox>",
            *(f"<{side}>{value + 1}</{side}>" for side, value in sides),
            "</bndbox>",
            "</object>",
        ]
    return "\n".join([*lines, "</annotation>"])


def write_dota(folder: Path, drawn: DrawnOrientedDataset) -> Path:
    """A drawn dataset as `<folder>/images/*.png` and `<folder>/labelTxt/*.txt`; returns the folder."""
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, truth in enumerate(drawn.ground_truth()):
        stem = Path(truth["img_file"]).stem
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), drawn.read_image(index))
        names = [drawn.classes[label] for label in truth["labels"]]
        write_label_file(folder / "labelTxt" / f"{stem}.txt", PolyAnnotation.of(truth["polys"], names))
    return folder
