"""A dataset of rotated boxes that draws itself: ships, vehicles and piers from above, for tests and first
runs.

The rules of `drawn.py` hold: soft, faded and covered edges make it a matter of judgement where an object
ends; the ground truth is the box of the whole object with sharp edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from jld.boxes.rotated import pairwise_rbox_iou, rboxes_to_polys, regularize_rboxes
from jld.data.aerial_shapes import KINDS, LENGTHS, WIDTHS, AerialObject
from jld.data.oriented import OrientedDataset, OrientedTable, oriented_table
from jld.data.painting import REFERENCE_SIDE, DrawnPictures, finish_picture, paint, paint_bar
from jld.data.shapes import cloud, rational_rotation
from jld.data.transforms import Transform
from jld.errors import ConfigError
from jld.registry import DATASETS

PLACEMENT_TRIES = 20
# Share of the smaller object that a later one may hide.
MAX_COVERED = 0.25
# Of `length_scale`: the longest pier still fits.
LARGEST_SCALE = 1.3
EMPTY_SHARE, GROUP_SHARE, LARGEST_GROUP = 0.06, 0.5, 4
# Blue, green, red: least and most of the mean colour below.
GROUNDS = {"water": ((90, 150), (70, 120), (30, 90)), "land": ((60, 150), (80, 160), (80, 170))}
KINDS_ON = {"water": ("ship", "ship", "pier"), "land": ("large-vehicle", "small-vehicle", "small-vehicle")}


@DATASETS.register
class DrawnOrientedDataset(DrawnPictures, OrientedDataset):
    """Drawn aerial images of ships, piers and vehicles, thin objects at any angle, alone or side by side.

    Every image is a function of (seed, split, index); pictures and boxes are the same on every machine.
    About one image in sixteen has no object.

    Args:
        split: "train", "val" or "test": different images.
        num_images: how many.
        image_size: (height, width) or one number for both, px; objects grow with the shorter side.
        seed: of the whole dataset.
        transforms: built transforms, in order; those of `jld.data.rotated_transforms` where boxes move.
        angle_version: of the boxes in the samples.
        max_objects: images hold 1 to this many objects (where there is room), or none.
        blur_scale: multiplies the width of the soft edges; 0 leaves them one pixel wide.
        length_scale: multiplies lengths and widths of the objects.
        box_noise: an annotator's error: every edge of every box is off by a number of its own, fixed for
            good, with a standard deviation of this share of the box's length or width, and the angle by
            this share of width over length. Pictures stay.
        cache: keep drawn images in memory (49 kB each at 128 x 128); each worker process keeps its own.
        times: how often one epoch visits each image.
    Raises:
        ConfigError: unknown split or angle version, or sizes too small to draw in.
    """

    has_files = False

    def __init__(
        self,
        split: str = "train",
        num_images: int = 1000,
        image_size: int | Sequence[int] = REFERENCE_SIDE,
        seed: int = 0,
        *,
        transforms: Iterable[Transform] | None = None,
        angle_version: str = "le135",
        max_objects: int = 8,
        blur_scale: float = 1.0,
        length_scale: float = 1.0,
        box_noise: float = 0.0,
        cache: bool = False,
        times: int = 1,
    ):
        self.set_up_pictures(split, image_size, seed, cache)
        if min(self.image_size) < 32 or min(num_images, max_objects) < 1 or min(blur_scale, box_noise) < 0:
            raise ConfigError(
                "DrawnOrientedDataset needs sides of at least 32 px, num_images and max_objects of at least "
                f"1 and blur_scale and box_noise >= 0; got {self.image_size}, {num_images}, {max_objects}, "
                f"{blur_scale} and {box_noise}."
            )
        if not 0 < length_scale <= LARGEST_SCALE:
            raise ConfigError(
                f"DrawnOrientedDataset.length_scale is {length_scale}: above 0, up to {LARGEST_SCALE}."
            )
        self.max_objects, self.blur_scale = max_objects, blur_scale
        self.length_scale, self.box_noise = length_scale, box_noise
        self.scenes = [self._scene(index) for index in range(num_images)]
        super().__init__(
            self._table(angle_version), KINDS, transforms, angle_version=angle_version, times=times
        )

    def draw(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """See `DrawnPictures`."""
        ground, objects = self.scenes[row]
        height, width = self.image_size
        base = np.array([rng.integers(*limits) for limits in GROUNDS[ground]], np.float64)
        canvas = base + cloud(rng, height, width, 4, 35) + cloud(rng, height, width, 24, 14)
        for each in objects:
            paint(canvas, each, rng, self.unit * self.blur_scale)
            _paint_parts(canvas, each, rng)
        for _ in range(int(rng.integers(0, 3))):
            paint_bar(canvas, rng)
        return finish_picture(canvas, rng)

    def _scene(self, index: int) -> tuple[str, list[AerialObject]]:
        rng = self.rng(index, 0)
        ground = "water" if rng.random() < 0.5 else "land"
        objects: list[AerialObject] = []
        if rng.random() < EMPTY_SHARE:
            return ground, objects
        wanted = int(rng.integers(1, self.max_objects + 1))
        for _ in range(wanted):
            if len(objects) < wanted:
                objects += self._group(ground, objects, wanted - len(objects), rng)
        return ground, objects

    def _group(
        self, ground: str, others: list[AerialObject], room: int, rng: np.random.Generator
    ) -> list[AerialObject]:
        """One object, or a few of the same kind side by side."""
        first = self._place(ground, others, rng)
        if first is None:
            return []
        group = [first]
        is_group = rng.random() < GROUP_SHARE and first.kind != "pier"
        count = int(rng.integers(2, LARGEST_GROUP + 1)) if is_group else 1
        step = 2 * first.half_axes[1] * (1.15 + 0.6 * rng.random())
        for number in range(1, min(count, room)):
            along = first.half_axes[1] * (rng.random() - 0.5)
            neighbour = first.moved(along, number * step)
            if self._fits(neighbour, [*others, *group]):
                group.append(neighbour)
        return group

    def _place(
        self, ground: str, others: list[AerialObject], rng: np.random.Generator
    ) -> AerialObject | None:
        height, width = self.image_size
        for _ in range(PLACEMENT_TRIES):
            kind = KINDS_ON[ground][int(rng.integers(3))]
            (shortest, longest), (thinnest, widest) = LENGTHS[kind], WIDTHS[kind]
            half = 0.5 * self.unit * self.length_scale * (shortest + (longest - shortest) * rng.random())
            half_axes = (half, half * (thinnest + (widest - thinnest) * rng.random()))
            center = (width * rng.random(), height * rng.random())
            cosine, sine = rational_rotation(int(rng.integers(-1000, 1001)), 1000)
            # The rational rotations reach half a turn: -90 to 90 degrees; the sign makes it a whole one.
            sign = 2 * int(rng.integers(0, 2)) - 1
            placed = AerialObject(kind, center, half_axes, (sign * cosine, sign * sine))
            if self._fits(placed, others):
                return placed
        return None

    def _fits(self, placed: AerialObject, others: list[AerialObject]) -> bool:
        x1, y1, x2, y2 = placed.box()
        if not (x1 >= 0 and y1 >= 0 and x2 <= self.image_size[1] and y2 <= self.image_size[0]):
            return False
        if not others:
            return True
        own, rest = np.array([placed.rbox()]), np.array([other.rbox() for other in others])
        return bool(
            max(
                pairwise_rbox_iou(own, rest, "iof").max(),
                pairwise_rbox_iou(rest, own, "iof").max(),
            )
            < MAX_COVERED
        )

    def _misjudged(self, index: int, objects: list[AerialObject]) -> list[AerialObject]:
        """An image's objects as somebody drew them who was off by `box_noise` of a side at every edge."""
        errors = self.errors(index, (len(objects), 5), self.box_noise)
        return [each.misjudged(*error) for each, error in zip(objects, errors, strict=True)]

    def _table(self, angle_version: str) -> OrientedTable:
        rows, columns = [], {"polys": [], "labels": [], "flags": [], "rboxes": []}
        for index, (_, objects) in enumerate(self.scenes):
            seen = self._misjudged(index, objects) if self.box_noise else objects
            rboxes = np.array([each.rbox() for each in seen], np.float64).reshape(-1, 5)
            rows.append((index, f"{self.split}_{index:06d}.png", self.image_size))
            columns["polys"].append(rboxes_to_polys(rboxes))
            columns["rboxes"].append(regularize_rboxes(rboxes, angle_version))
            columns["labels"].append(np.array([KINDS.index(each.kind) for each in objects], np.int64))
            columns["flags"].append(np.zeros(len(objects), np.int64))
        return oriented_table(rows, **columns, angle_version=angle_version)


def _paint_parts(canvas: np.ndarray, each: AerialObject, rng: np.random.Generator) -> None:
    x1, y1, x2, y2 = each.box()
    left, top = max(int(x1) - 1, 0), max(int(y1) - 1, 0)
    right, bottom = min(int(x2) + 2, canvas.shape[1]), min(int(y2) + 2, canvas.shape[0])
    xs, ys = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    part = canvas[top:bottom, left:right]
    for alpha in each.part_coverages(xs, ys):
        # Darker or lighter than the object, never gone and never the whole difference.
        shade = (rng.integers(20, 60)) * (2 * int(rng.integers(0, 2)) - 1)
        part += (0.8 * shade) * alpha[:, :, None]
