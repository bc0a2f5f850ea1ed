"""Detections of one image with what a user asks next: names, pictures, crops, files of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from jld.apis.image_sources import Film
from jld.boxes.detections import Detections
from jld.boxes.formats import clip_boxes, xyxy_to_cxcywh
from jld.boxes.rotated import polys_to_xyxy
from jld.checkpoint import atomic_write
from jld.data.classes import COCO_CATEGORIES, COCO_CLASSES
from jld.data.dota import PolyAnnotation, format_objects
from jld.data.images import ImageReader
from jld.data.label_writers import yolo_lines
from jld.data.results import coco_entries, write_plain_results
from jld.errors import DataError, one_of
from jld.visualization.boxes import draw_boxes
from jld.visualization.canvas import write_image
from jld.visualization.masks import draw_masks

DEFAULT_READER = ImageReader()


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Detections):
    """`Detections` that know the names of their labels and the image they were found in.

    Attributes:
        classes: names, in the order of the labels; () where nobody knows them.
        image: what was looked at: a file, an array or a picture of Pillow.
        image_size: (height, width) px of it.
        image_reader: how it is read again for pictures and crops.
        film: of a frame of one.
    """

    classes: tuple[str, ...] = ()
    image: Any = None
    image_size: tuple[int, int] = (0, 0)
    image_reader: ImageReader = DEFAULT_READER
    film: Film | None = None

    @classmethod
    def of(cls, found: Detections, image: Any, pixels: np.ndarray, *, detector: Any) -> Self:
        """Detections with what belongs to them.

        Args:
            found: in `pixels` [H, W, 3], which were made of `image`.
            detector: from `jld.init_detector`; knows the names and how images are read.
        """
        given = {field.name: getattr(found, field.name) for field in fields(Detections)}
        given |= {"classes": tuple(detector.classes), "image_reader": detector.image_reader}
        return cls(**given, image=image, image_size=(pixels.shape[0], pixels.shape[1]))

    @property
    def names(self) -> list[str]:
        """K class names, or the labels as text where there are none."""
        return [self.classes[label] for label in self.labels.tolist()] if self.classes else super().names

    def select(self, threshold: float = 0.0, classes: Sequence[str] | None = None) -> Self:
        """The detections that score at least `threshold`, and of these classes only.

        Raises:
            ConfigError: a class that the detector does not have.
        """
        keep = self.scores >= threshold
        if classes is not None:
            keep &= np.isin(self.labels, [label_of(name, self.classes) for name in classes])
        return self._take(np.flatnonzero(keep))

    def _take(self, rows: np.ndarray) -> Self:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        masks = None if self.masks is None else [self.masks[row] for row in rows]
        given |= {"scores": self.scores[rows], "labels": self.labels[rows], "masks": masks}
        return type(self)(**given | {self.form: self.shapes[rows]})

    def pixels(self) -> np.ndarray:
        """[H, W, 3] uint8 BGR of the image; of a file they are read again.

        Raises:
            DataError: the image is not known, or the file is gone.
        """
        if self.image is None:
            raise DataError(f"the image {self.img_id!r} of these detections is not known.")
        if isinstance(self.image, str | Path):
            return self.image_reader.read(self.image)
        return self.image_reader.pixels(self.image)

    def plot(self, *, with_text: bool = True) -> np.ndarray:
        """[H, W, 3] uint8 BGR: the image with masks, boxes, names and scores."""
        image = self.pixels()
        if self.masks is not None:
            image = draw_masks(image, self.masks, self.labels, self.scores)
        classes = self.classes or None
        return draw_boxes(image, self.shapes, self.labels, self.scores, classes=classes, with_text=with_text)

    def save(self, path: str | Path) -> Path:
        """Writes a file of the kind that its suffix says: .json (plain), .txt (YOLO with scores), a picture.

        Raises:
            DataError: no such format.
        """
        path = Path(path)
        if path.suffix == ".json":
            return write_plain_results([self], self.classes, path)
        if path.suffix == ".txt":
            write_lines(path, self.yolo(with_scores=True))
            return path
        return write_image(path, self.plot())

    def show(self) -> None:
        """Opens the drawn picture in the viewer of the system; notebooks show it by themselves."""
        from PIL import Image

        Image.fromarray(self.plot()[..., ::-1]).show()

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", self.plot())[1].tobytes()

    def to_coco(self, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The objects of a COCO result file; rotated boxes are `segmentation` beside the upright `bbox`.

        Args:
            category_ids: of each label. Default: COCO's own for its 80 classes, otherwise 1, 2, ...
        """
        if category_ids is None:
            ids = {name: number for number, name in COCO_CATEGORIES.items()}
            is_coco = self.classes == COCO_CLASSES
            count = max(len(self.classes), int(self.labels.max(initial=-1)) + 1)
            category_ids = [ids[name] for name in self.classes] if is_coco else range(1, count + 1)
        upright = Detections(self.img_id, self.scores, self.labels, boxes=polys_to_xyxy(self.corners()))
        entries = list(coco_entries([upright], category_ids))
        if self.boxes is None:
            for entry, corners in zip(entries, self.corners(), strict=True):
                entry["segmentation"] = [np.round(corners, 3).tolist()]
        elif self.masks is not None:
            for entry, mask in zip(entries, self.masks, strict=True):
                entry["segmentation"] = dict(mask)
        return entries

    def yolo(self, *, with_scores: bool = False) -> str:
        """Lines of YOLO: `label cx cy w h`, rotated `label x1 y1 ... x4 y4`, in fractions of the image."""
        height, width = self.image_size
        if self.boxes is not None:
            boxes = clip_boxes(self.boxes.astype(np.float64), self.image_size)
            fractions = xyxy_to_cxcywh(boxes) / [width, height, width, height]
        else:
            fractions = self.corners() / ([width, height] * 4)
        return yolo_lines(self.labels, fractions, self.scores if with_scores else None)

    def dota(self) -> str:
        """Lines of a label file of DOTA: four corners in px, class (`_` for spaces), 0."""
        names = ["_".join(name.split()) for name in self.names]
        return format_objects(PolyAnnotation.of(np.round(self.corners(), 2), names))

    def crops(self) -> list[np.ndarray]:
        """K images [h, w, 3] uint8 BGR: what each box shows; rotated ones are turned upright."""
        image, crops = self.pixels(), []
        for corners in self.corners().astype(np.float32).reshape(-1, 4, 2):
            edges = np.linalg.norm(corners[1:3] - corners[:2], axis=1)
            width, height = (max(1, round(float(edge))) for edge in edges)
            if self.boxes is not None:
                x1, y1, x2, y2 = clip_boxes(corners[[0, 2]].reshape(4), self.image_size).round().astype(int)
                crops.append(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])
                continue
            frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            turn = cv2.getPerspectiveTransform(corners, frame)
            crops.append(cv2.warpPerspective(image, turn, (width, height)))
        return crops


def label_of(name: str, classes: Sequence[str]) -> int:
    """The label of a class; without names, of a number.

    Raises:
        ConfigError: the detector has no such class.
    """
    if not classes and name.isdigit():
        return int(name)
    one_of(name, classes, f"the detector has no class {name!r}")
    return list(classes).index(name)


def write_lines(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    atomic_write(path, lambda file: file.write(text.encode()))
