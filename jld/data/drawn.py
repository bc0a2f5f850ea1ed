"""A dataset that draws itself: figures with soft, faded and covered edges, for the quick start and for tests.

Where an edge lies is meant to be a matter of judgement: every figure is blurred by a width of its own, some
fade out towards one side, later figures and translucent bars cover earlier ones. The ground truth is always
the extent of the whole figure with sharp edges, and its mask what later figures leave of that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from jld.boxes.masks import from_bitmap, outline, to_bitmap
from jld.data.dataset import DetectionDataset
from jld.data.instance_masks import Polygons
from jld.data.mask_table import EMPTY, MaskTable
from jld.data.painting import REFERENCE_SIDE, DrawnPictures, finish_picture, paint, paint_bar
from jld.data.shapes import KINDS, Figure, cloud, rational_rotation
from jld.data.tables import AnnotationTable
from jld.data.transforms import Transform
from jld.errors import ConfigError, suggestion
from jld.registry import DATASETS

LENGTHS = (14, 68)
"""Of a figure's longer axis, in px of an image with a short side of `REFERENCE_SIDE`."""
PLACEMENT_TRIES = 20
MAX_COVERED = 0.4
EMPTY_SHARE = 0.06


@DATASETS.register
class DrawnDataset(DrawnPictures, DetectionDataset):
    """Drawn images of discs, rings, squares, triangles and crosses whose edges are hard to place.

    Every image is a function of (seed, split, index); pictures and boxes are the same on every machine.
    About one image in sixteen has no object.

    Args:
        split: "train", "val" or "test": different images.
        num_images: how many.
        image_size: (height, width) or one number for both, px; figures grow with the shorter side.
        seed: of the whole dataset.
        transforms: built transforms, in order.
        max_objects: images hold 1 to this many figures (where there is room), or none.
        blur_scale: multiplies the width of the soft edges; 0 leaves them one pixel wide.
        kinds: which figures, and so the classes.
        lengths: least and greatest length of a figure's longer axis, px at a short side of 128 px.
        box_noise: an annotator's error: every edge of every box is off by a number of its own, fixed for
            good, with a standard deviation of this share of the box's width or height. Pictures stay.
        cache: keep drawn images in memory (49 kB each at 128 x 128); each worker process keeps its own.
        times: how often one epoch visits each image.
        with_masks: give the samples instance masks, see `COCODataset`.
    Raises:
        ConfigError: unknown split or kind, or sizes too small to draw in.
    """

    has_files = False

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        split: str = "train",
        num_images: int = 1000,
        image_size: int | Sequence[int] = REFERENCE_SIDE,
        seed: int = 0,
        *,
        transforms: Iterable[Transform] | None = None,
        max_objects: int = 6,
        blur_scale: float = 1.0,
        kinds: Sequence[str] = KINDS,
        lengths: Sequence[float] = LENGTHS,
        box_noise: float = 0.0,
        cache: bool = False,
        times: int = 1,
        with_masks: bool | str = False,
    ):
        self.set_up_pictures(split, image_size, seed, cache)
        unknown = next((kind for kind in kinds if kind not in KINDS), None)
        if unknown is not None or not kinds:
            raise ConfigError(f"DrawnDataset knows no kind {unknown!r}: {suggestion(str(unknown), KINDS)}")
        if min(self.image_size) < 32 or min(num_images, max_objects) < 1 or min(blur_scale, box_noise) < 0:
            raise ConfigError(
                "DrawnDataset needs sides of at least 32 px, num_images and max_objects of at least 1 and "
                f"blur_scale and box_noise >= 0; got {self.image_size}, {num_images}, {max_objects}, "
                f"{blur_scale} and {box_noise}."
            )
        if len(lengths) != 2 or not 0 < lengths[0] <= lengths[1] < REFERENCE_SIDE:
            raise ConfigError(
                f"DrawnDataset.lengths is {lengths}: give least and greatest, below {REFERENCE_SIDE} px."
            )
        self.max_objects, self.blur_scale = max_objects, blur_scale
        self.kinds, self.lengths = tuple(kinds), lengths
        self.scenes = [self._scene(index) for index in range(num_images)]
        table = self._table()
        if with_masks:
            table = replace(table, masks=self._visible())
        if box_noise:
            table = replace(table, boxes=self._misjudged(table, box_noise))
        super().__init__(table, self.kinds, transforms, times=times, with_masks=with_masks)

    def draw(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """See `DrawnPictures`."""
        return _draw(self.scenes[row], self.image_size, rng, self.unit * self.blur_scale)[0]

    def unclear_edges(self) -> list[np.ndarray]:
        """Which edges cannot be seen where they are: faded out, or under a later figure.

        Draws every picture.

        Returns:
            per image bool [G, 4], in the order of its ground truth and of (x1, y1, x2, y2).
        """
        softness = self.unit * self.blur_scale
        return [
            _draw(scene, self.image_size, self.rng(row, 1), softness)[1] | _hidden_edges(scene)
            for row, scene in enumerate(self.scenes)
        ]

    def to_coco(self, folder: str | Path) -> Path:
        """Writes the dataset in COCO layout.

        Images become `<folder>/<split>/*.png`, boxes and masks `<folder>/annotations/<split>.json`.

        Returns:
            Path of the json file; `COCODataset(root=<folder>/<split>, anno_file=<json>)` reads it.
        """
        images_dir, annotations = (
            Path(folder) / self.split,
            Path(folder) / "annotations" / f"{self.split}.json",
        )
        images_dir.mkdir(parents=True, exist_ok=True)
        annotations.parent.mkdir(parents=True, exist_ok=True)
        for index in range(len(self.table)):
            cv2.imwrite(str(images_dir / self.table.image_files[index]), self.read_image(index))
        annotations.write_text(json.dumps(self._coco_content()), encoding="utf-8")
        return annotations

    def _scene(self, index: int) -> list[Figure]:
        rng = self.rng(index, 0)
        if rng.random() < EMPTY_SHARE:
            return []
        figures: list[Figure] = []
        for _ in range(int(rng.integers(1, self.max_objects + 1))):
            figure = self._place(figures, rng)
            if figure is not None:
                figures.append(figure)
        return figures

    def _place(self, others: list[Figure], rng: np.random.Generator) -> Figure | None:
        (height, width), (shortest, longest) = self.image_size, self.lengths
        for _ in range(PLACEMENT_TRIES):
            draw = rng.random()
            half = 0.5 * self.unit * (shortest + (longest - shortest) * draw * (0.5 + 0.5 * draw))
            half_axes = (half, half * (0.65 + 0.35 * rng.random()))
            center = (width * rng.random(), height * rng.random())
            rotation = rational_rotation(int(rng.integers(-1000, 1001)), 1000)
            figure = Figure(self.kinds[int(rng.integers(len(self.kinds)))], center, half_axes, rotation)
            x1, y1, x2, y2 = figure.box()
            is_inside = x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height
            if is_inside and all(_covered(figure.box(), other.box()) < MAX_COVERED for other in others):
                return figure
        return None

    def _table(self) -> AnnotationTable:
        counts = [len(scene) for scene in self.scenes]
        figures = [figure for scene in self.scenes for figure in scene]
        boxes = np.array([figure.box() for figure in figures], np.float64).reshape(-1, 4)
        none = np.zeros(len(boxes), bool)
        return AnnotationTable(
            image_ids=tuple(range(len(self.scenes))),
            image_files=tuple(f"{self.split}_{index:06d}.png" for index in range(len(self.scenes))),
            sizes=np.tile(np.array(self.image_size, np.int64), (len(self.scenes), 1)),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            boxes=boxes,
            labels=np.array([self.kinds.index(figure.kind) for figure in figures], np.int64),
            areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
            is_crowd=none,
            is_difficult=none,
            is_usable=~none,
        )

    def _misjudged(self, table: AnnotationTable, share: float) -> np.ndarray:
        """[T, 4] boxes as somebody drew them who was off by `share` of a side at every edge."""
        counts = np.diff(table.offsets)
        errors = np.concatenate([self.errors(row, (count, 4), share) for row, count in enumerate(counts)])
        height, width = self.image_size
        sides = table.boxes[:, 2:] - table.boxes[:, :2]
        return np.clip(table.boxes + errors * np.tile(sides, 2), 0, [width, height, width, height])

    def _visible(self) -> MaskTable:
        """Of every figure the pixels of which it covers at least half, and no later figure does."""
        height, width = self.image_size
        xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
        texts, is_hidden = [], []
        for scene in self.scenes:
            hidden, visible = np.zeros(self.image_size, bool), []
            for figure in reversed(scene):
                covered = figure.coverage(xs, ys) >= 0.5
                visible.append(covered & ~hidden)
                hidden |= covered
            texts += [from_bitmap(mask)["counts"] for mask in reversed(visible)]
            is_hidden += [not mask.any() for mask in reversed(visible)]
        return MaskTable.of(Polygons.of([[]] * len(texts)), texts, np.array(is_hidden, bool) * EMPTY)

    def _coco_content(self) -> dict[str, list]:
        images, annotations = [], []
        masks = iter(self._visible().rles(np.tile(self.image_size, (len(self.table.boxes), 1))))
        for truth in self.ground_truth():
            size = {"width": truth["width"], "height": truth["height"]}
            images.append({"id": truth["img_id"], "file_name": truth["img_file"], **size})
            for box, label, area in zip(truth["boxes"], truth["labels"], truth["areas"], strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": truth["img_id"],
                        "category_id": int(label) + 1,
                        "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                        "area": float(area),
                        "iscrowd": 0,
                        "segmentation": _polygon(to_bitmap(next(masks))),
                    }
                )
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(self.kinds)]
        return {"images": images, "annotations": annotations, "categories": categories}


def _polygon(mask: np.ndarray) -> list[list[int]]:
    vertices = outline(mask).astype(int)
    return [vertices.reshape(-1).tolist()] if len(vertices) else []


def _covered(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    # Share of the smaller box that the other one may hide.
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(width, 0) * max(height, 0) / min(areas)


def _draw(
    figures: list[Figure], size: tuple[int, int], rng: np.random.Generator, softness: float
) -> tuple[np.ndarray, np.ndarray]:
    # The picture, and bool [G, 4]: the sides at which figures fade out.
    height, width = size
    is_faded = np.zeros((len(figures), 4), bool)
    base = rng.integers(50, 206, 3).astype(np.float64)
    canvas = base + cloud(rng, height, width, 4, 45) + cloud(rng, height, width, 16, 18)
    for sides, figure in zip(is_faded, figures, strict=True):
        side = paint(canvas, figure, rng, softness)
        if side is not None:
            sides[side] = True
    for _ in range(int(rng.integers(0, 4))):
        paint_bar(canvas, rng)
    return finish_picture(canvas, rng), is_faded


def _hidden_edges(figures: list[Figure]) -> np.ndarray:
    # Bool [G, 4]: at the place where a figure touches an edge of its box lies a later figure.
    hidden = np.zeros((len(figures), 4), bool)
    for row, figure in enumerate(figures):
        for side, (x, y) in enumerate(touching_points(figure)):
            here = np.array([x]), np.array([y])
            hidden[row, side] = any(other.coverage(*here)[0, 0] >= 0.5 for other in figures[row + 1 :])
    return hidden


def touching_points(figure: Figure) -> list[tuple[float, float]]:
    """Where (x, y) a figure touches the edges (x1, y1, x2, y2) of its box, half a pixel inside."""
    x1, y1, x2, y2 = figure.box()
    xs, ys = np.arange(x1, x2, 0.5), np.arange(y1, y2, 0.5)
    along = [figure.coverage(np.array([x]), ys)[:, 0] for x in (x1 + 0.5, x2 - 0.5)]
    across = [figure.coverage(xs, np.array([y]))[0] for y in (y1 + 0.5, y2 - 0.5)]
    (left, right), (top, bottom) = (
        [float(np.average(places, weights=shares + 1e-9)) for shares in both]
        for places, both in ((ys, along), (xs, across))
    )
    return [(x1 + 0.5, left), (top, y1 + 0.5), (x2 - 0.5, right), (bottom, y2 - 0.5)]
