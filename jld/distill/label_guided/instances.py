"""The objects of a batch as the label-guided teacher knows them: rows of numbers, and cells of every level.

Owns what is read from labels; what is learned of it is in `encoder.py` and `painter.py`. No gradient flows
through it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jld.models.targets import Targets
from jld.toolchain import jittor as jt

MASK_SIDE = 7
UPRIGHT = 4
# Divisor of the sides of boxes without any, whose cells are left out anyway.
SMALLEST_SIDE = 1e-12


@dataclass(frozen=True)
class InstanceMasks:
    """Masks of the G objects of every image.

    Attributes:
        crops: [N, G, 49] 0/1, the mask inside its own box on 7 x 7 cells, row by row.
        bitmaps: [N, G, H, W] 0/1 over the padded batch.
    """

    crops: jt.Var
    bitmaps: jt.Var


class Bitmaps(NamedTuple):
    """Cells in px of the padded batch.

    Attributes:
        objects: [N, G, H, W] 0/1.
        context: NumPy [N, H, W] bool of the last row of `Instances`.
    """

    objects: jt.Var
    context: np.ndarray


@dataclass(frozen=True)
class Instances:
    """N images with S = G + 1 rows: the G slots of the targets, and one of the image itself.

    The last row is the context, the whole image, where a context box is asked for. In an image without
    objects it is the box (0, 0, 1, 1), with a context box or without; in one with objects and without a
    context box it is not there.

    Attributes:
        boxes: [N, S, 4 or 5] in px, inside the padded batch.
        descriptors: [N, S, K] in [-1, 1]: the box relative to the batch, one number per class (1 or -1), and
            49 of the mask where there are masks. No object is known by anything else.
        real: [N, S] 1 where there is an object or a context.
        paints: [N, S] 1 for the rows that are painted into their cells; the context is not.
        image_size: (H, W) of the padded batch in px.
        bitmaps: None where an object's cells are those of its box.
    """

    boxes: jt.Var
    descriptors: jt.Var
    real: jt.Var
    paints: jt.Var
    image_size: tuple[int, int]
    bitmaps: Bitmaps | None = None

    def cells(self, height: int, width: int) -> jt.Var:
        """[N, S, height, width] 1 where a cell of a map over the batch belongs to the row.

        A cell is where its index times the stride is, not its centre; both borders of a box count. A box
        without width or height has no cell. Bitmaps are sampled at the nearest pixel.

        Source: megvii-research/LGD, dynamic_teacher.py.
        """
        if self.bitmaps is not None:
            return _sampled(self.bitmaps, height, width)
        if self.boxes.shape[2] == UPRIGHT:
            return self._inside_upright(height, width)
        return self._inside_rotated(height, width)

    def _inside_upright(self, height: int, width: int) -> jt.Var:
        rows, columns = self.image_size
        inside = []
        for low, cells, px in ((0, width, columns), (1, height, rows)):
            start, stop = (self.boxes[:, :, side].unsqueeze(2) * (cells / px) for side in (low, low + 2))
            inside.append(_within(jt.arange(cells).float32() - (start + stop) / 2, stop - start))
        across, along = inside
        return along.unsqueeze(3) * across.unsqueeze(2)

    def _inside_rotated(self, height: int, width: int) -> jt.Var:
        rows, columns = self.image_size
        x, y, w, h, angle = (self.boxes[:, :, side].unsqueeze(2).unsqueeze(3) for side in range(5))
        dx = jt.arange(width).float32() * (columns / width) - x  # [N, S, 1, W]
        dy = jt.arange(height).float32().unsqueeze(1) * (rows / height) - y  # [N, S, H, 1]
        cos, sin = jt.cos(angle), jt.sin(angle)
        return _within(dx * cos + dy * sin, w) * _within(dy * cos - dx * sin, h)


def _sampled(bitmaps: Bitmaps, height: int, width: int) -> jt.Var:
    """[N, S, height, width] of the nearest pixels above and left."""
    picks = []
    for cells, px in zip((height, width), bitmaps.objects.shape[2:], strict=True):
        places = np.arange(cells, dtype=np.float32) * np.float32(px / cells)
        picks.append(np.minimum(places.astype(np.int32), px - 1))
    y, x = map(jt.array, picks)
    context = bitmaps.context[:, picks[0]][:, :, picks[1]].astype(np.float32)
    objects = bitmaps.objects[:, :, y][:, :, :, x].float32()
    return jt.concat([objects, jt.array(context).unsqueeze(1)], dim=1)


def _within(distance: jt.Var, side: jt.Var) -> jt.Var:
    """1 where a distance from the centre is at most half a side. Divided, as released: no cell at 0 / 0."""
    inside = jt.abs(distance) / side.maximum(SMALLEST_SIDE) <= 0.5
    return inside.float32() * (side > 0).float32()


def descriptor_size(num_classes: int, num_sides: int, *, with_masks: bool = False) -> int:
    """K, the numbers that describe an object whose box is of `num_sides` numbers."""
    return num_sides + num_classes + with_masks * MASK_SIDE**2


def instances_of(
    targets: Targets,
    num_classes: int,
    image_size: tuple[int, int],
    *,
    context_box: bool,
    masks: InstanceMasks | None = None,
) -> Instances:
    """The objects of a batch, see `Instances`.

    Upright boxes are clamped to (0, 0, W - 1, H - 1) and divided by the batch's W and H. Of a rotated box the
    centre is treated so, width and height are divided by the batch's longer side (at most 1), and the angle
    counts modulo half a turn, in half turns: an option of jld, the released code knows upright boxes.

    Args:
        targets: boxes and labels; `img_shapes` too where there are masks.
        num_classes: C.
        image_size: (H, W) of the padded batch in px.
        context_box: whether the whole image is a row of its own.
        masks: of the same G objects, or None.
    Source: megvii-research/LGD, label_encoder.py (`box_descriptor_encode`).
    """
    has_objects = (targets.mask.sum(1, keepdims=True) > 0).float32()  # [N, 1]
    present = jt.ones(has_objects.shape) if context_box else 1.0 - has_objects
    whole = has_objects if context_box else jt.zeros(has_objects.shape)
    dummy, context, lower, upper = _special_boxes(targets.boxes.shape[2], image_size)
    last = dummy + whole.unsqueeze(2) * (context - dummy)  # [N, 1, 4 or 5]
    boxes = jt.concat([targets.boxes.maximum(lower).minimum(upper), last], dim=1)
    one_hot = (targets.labels.unsqueeze(2) == jt.arange(num_classes)).float32() * targets.mask.unsqueeze(2)
    shares = [_relative(boxes, image_size), jt.concat([one_hot, jt.zeros_like(one_hot[:, :1])], dim=1)]
    bitmaps = None
    if masks is not None:
        crops = masks.crops.float32()
        shares.append(jt.concat([crops, whole.unsqueeze(2).broadcast(crops[:, :1])], dim=1))
        bitmaps = Bitmaps(masks.bitmaps, _own_pixels(targets.img_shapes, image_size) & context_box)
    return Instances(
        boxes=boxes.detach(),
        descriptors=(jt.concat(shares, dim=2) * 2.0 - 1.0).detach(),
        real=jt.concat([targets.mask, present], dim=1).detach(),
        paints=jt.concat([targets.mask, jt.zeros(present.shape) if context_box else present], dim=1).detach(),
        image_size=image_size,
        bitmaps=bitmaps,
    )


def _special_boxes(num_sides: int, image_size: tuple[int, int]) -> tuple[jt.Var, ...]:
    """The box of an image without objects, that of the context, and the limits of a box's numbers."""
    height, width = image_size
    right, bottom = width - 1, height - 1
    if num_sides == UPRIGHT:
        rows: list[list[float]] = [
            [0, 0, 1, 1],
            [0, 0, right, bottom],
            [0, 0, 0, 0],
            [right, bottom, right, bottom],
        ]
    else:
        far = height + width  # beyond every side
        rows = [
            [0.5, 0.5, 1, 1, 0],
            [width / 2, height / 2, width, height, 0],
            [0, 0, 0, 0, -far],
            [right, bottom, far, far, far],
        ]
    return tuple(map(jt.array, np.array(rows, np.float32)))


def _relative(boxes: jt.Var, image_size: tuple[int, int]) -> jt.Var:
    """[N, S, 4 or 5] boxes as numbers between 0 and 1."""
    height, width = image_size
    if boxes.shape[2] == UPRIGHT:
        return boxes / jt.array(np.array([width, height, width, height], np.float32))
    longer = max(height, width)
    shares = boxes / jt.array(np.array([width, height, longer, longer, math.pi], np.float32))
    turns = shares[:, :, 4:]
    return jt.concat([shares[:, :, :4].minimum(1.0), turns - jt.floor(turns)], dim=2)


def _own_pixels(image_shapes: np.ndarray | None, image_size: tuple[int, int]) -> np.ndarray:
    """NumPy [N, H, W], true inside the images themselves, false in their padding."""
    if image_shapes is None:
        raise ValueError("masks need Targets.img_shapes, the sizes of the images before padding.")
    shapes = np.asarray(image_shapes)[:, :, None]
    rows, columns = (np.arange(px) < shapes[:, axis] for axis, px in enumerate(image_size))
    return rows[:, :, None] & columns[:, None, :]
