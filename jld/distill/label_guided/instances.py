"""The objects of a batch as the label-guided teacher knows them: rows of numbers, and cells of every level.

Owns what is read from labels; what is learned of it is in `encoder.py` and `painter.py`. No gradient flows
through it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jld.models.targets import Targets
from jld.ops.mask_maps import mask_maps, pixels_of_cells
from jld.ops.mask_targets import mask_targets
from jld.toolchain import jittor as jt

MASK_SIDE = 7
UPRIGHT = 4
# Divisor of the sides of boxes without any, whose cells are left out anyway.
SMALLEST_SIDE = 1e-12


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
        masked: ground truth whose masks the cells follow; None where an object's cells are those of its box.
        has_context: whether the last row is a context.
    """

    boxes: jt.Var
    descriptors: jt.Var
    real: jt.Var
    paints: jt.Var
    image_size: tuple[int, int]
    masked: Targets | None = None
    has_context: bool = False

    def cells(self, height: int, width: int) -> jt.Var:
        """[N, S, height, width] 1 where a cell of a map over the batch belongs to the row.

        A cell is where its index times the stride is, not its centre; both borders of a box count. A box
        without width or height has no cell. Masks are sampled at the nearest pixel, see `mask_maps`.

        Source: megvii-research/LGD, dynamic_teacher.py.
        """
        if self.masked is not None:
            objects = mask_maps(self.masked, self.image_size, height, width)
            context = _own_cells(self.masked.img_shapes, self.image_size, (height, width)) & self.has_context
            return jt.concat([objects, jt.array(context.astype(np.float32))], dim=1)
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


def _within(distance: jt.Var, side: jt.Var) -> jt.Var:
    """1 where a distance from the centre is at most half a side. Divided, as released: no cell at 0 / 0."""
    inside = jt.abs(distance) / side.maximum(SMALLEST_SIDE) <= 0.5
    return inside.float32() * (side > 0).float32()


def mask_crops(targets: Targets) -> jt.Var:
    """[N, G, 49] 0/1: the mask of every object inside its own box on 7 x 7 cells, row by row.

    Raises:
        ValueError: the targets hold no masks.
    """
    num_images, count = targets.mask.shape
    own = jt.arange(count).unsqueeze(0).broadcast([num_images, count])
    return mask_targets(targets, targets.boxes, own, MASK_SIDE).reshape(num_images, count, -1)


def descriptor_size(num_classes: int, num_sides: int, *, with_masks: bool = False) -> int:
    """K, the numbers that describe an object whose box is of `num_sides` numbers."""
    return num_sides + num_classes + with_masks * MASK_SIDE**2


def instances_of(
    targets: Targets,
    num_classes: int,
    image_size: tuple[int, int],
    *,
    context_box: bool,
    with_masks: bool = False,
) -> Instances:
    """The objects of a batch, see `Instances`.

    Upright boxes are clamped to (0, 0, W - 1, H - 1) and divided by the batch's W and H. Of a rotated box the
    centre is treated so, width and height are divided by the batch's longer side (at most 1), and the angle
    counts modulo half a turn, in half turns: an option of jld, the released code knows upright boxes.

    Args:
        targets: boxes and labels; `masks` and `img_shapes` too with masks.
        num_classes: C.
        image_size: (H, W) of the padded batch in px.
        context_box: whether the whole image is a row of its own.
        with_masks: objects are also described by their masks, and their cells follow them.
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
    if with_masks:
        crops = mask_crops(targets)
        shares.append(jt.concat([crops, whole.unsqueeze(2).broadcast(crops[:, :1])], dim=1))
    return Instances(
        boxes=boxes.detach(),
        descriptors=(jt.concat(shares, dim=2) * 2.0 - 1.0).detach(),
        real=jt.concat([targets.mask, present], dim=1).detach(),
        paints=jt.concat([targets.mask, jt.zeros(present.shape) if context_box else present], dim=1).detach(),
        image_size=image_size,
        masked=targets if with_masks else None,
        has_context=context_box,
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


def _own_cells(
    image_shapes: np.ndarray | None, image_size: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
    """NumPy [N, 1, *cells], true where a cell of a map lies inside the image itself, not in its padding."""
    if image_shapes is None:
        raise ValueError("masks need Targets.img_shapes, the sizes of the images before padding.")
    shapes = np.asarray(image_shapes)[:, :, None]
    pixels = (pixels_of_cells(*each) for each in zip(cells, image_size, strict=True))
    rows, columns = (places < shapes[:, axis] for axis, places in enumerate(pixels))
    return (rows[:, :, None] & columns[:, None, :])[:, None]
