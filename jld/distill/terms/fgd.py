"""FGD: focal imitation of objects and background under the teacher's attention, and global relations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from jld.assign.overlaps import circumscribed
from jld.boxes.formats import cxcywh_to_xyxy
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import channel_attention, spatial_attention
from jld.distill.terms.base import Term
from jld.errors import one_of
from jld.losses.reduction import total
from jld.losses.regression import l1, squared_error
from jld.models.interface import Interface
from jld.ops.conv2d import Conv2d
from jld.registry import TERMS
from jld.toolchain import jittor as jt

nn = jt.nn
BOX_FRAMES = ("padded", "image")


class GlobalContext(jt.Module):
    """x + W2 ReLU(LN(W1 sum_i softmax_i(w x_i) x_i)): a global context block that starts as the identity.

    Args:
        channels: D of the map.
    Source: arXiv:1904.11492, with half the channels inside, as FGD uses it.
    """

    def __init__(self, channels: int):
        self.mask = Conv2d(channels, 1, 1, bias=False)  # a bias would fall out of the softmax
        self.mask.weight = jt.randn(*self.mask.weight.shape) * math.sqrt(2.0 / channels)
        self.inner = nn.Linear(channels, channels // 2)
        self.norm = nn.LayerNorm(channels // 2)
        self.outer = nn.Linear(channels // 2, channels)
        self.outer.weight = jt.zeros(self.outer.weight.shape)
        self.outer.bias = jt.zeros(self.outer.bias.shape)

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to the same."""
        n, d, h, w = x.shape
        weights = nn.softmax(self.mask(x).reshape(n, 1, h * w), dim=2)
        context = (x.reshape(n, d, h * w) * weights).sum(2)  # [N, D]
        added = self.outer(nn.relu(self.norm(self.inner(context))))
        return x + added.unsqueeze(2).unsqueeze(3)


@TERMS.register
class FGD(Term):
    """Focal and global distillation; levels added. Reads `features`.

    With the teacher's spatial and channel attention A_s, A_c, D = (S - T)^2 A_s A_c, the objects' mask M
    (1 / cells of the smallest box that covers the cell) and the background's (1 / its cells),
    L = (fg_weight sum D M + bg_weight sum D M_bg
      + attention_weight (sum |A_c(S) - A_c(T)| + sum |A_s(S) - A_s(T)|)
      + global_weight sum (G_s(S) - G_t(T))^2) / N, G two trained `GlobalContext` blocks per level.

    Args:
        weight: factor of the whole term.
        fg_weight, bg_weight, attention_weight, global_weight: 1e-3, 5e-4, 5e-4 and 5e-6 for GFL and
            RetinaNet; 1.6e-3, 8e-4, 8e-4 and 8e-6 for FCOS; 5e-5, 2.5e-5, 5e-5 and 5e-7 for two-stage
            detectors.
        temperature: of the attentions, 0.5; for FCOS 0.8.
        box_frame: what a box's place on a map is a share of: the `padded` batch that the map covers, or the
            unpadded `image`, as released, which stretches masks on padded images.
        per_cell: each level's sums are divided by its cells; released sums let fine levels dominate.
        levels: numbers of the student's levels that are read, 0 is the finest; None: all. Rows of two-stage
            detectors leave out the coarsest.
        adapter: None, "1x1" or "3x3": a convolution per level on the student's maps; needed where the widths
            differ.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `box_frame`.
    Source: arXiv:2111.11837; yzd-v/FGD. The published rows also start from the teacher's neck and head
        (`distill.init_from_teacher`).
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 1.0,
        *,
        fg_weight: float = 1e-3,
        bg_weight: float = 5e-4,
        attention_weight: float = 5e-4,
        global_weight: float = 5e-6,
        temperature: float = 0.5,
        box_frame: str = "padded",
        per_cell: bool = False,
        levels: Sequence[int] | None = None,
        adapter: str | int | None = None,
        name: str = "loss_fgd",
    ):
        one_of(box_frame, BOX_FRAMES, f"FGD: unknown box_frame {box_frame!r}")
        super().__init__(weight, name, adapters=ConvAdapters(adapter), levels=levels)
        self.fg_weight, self.bg_weight = fg_weight, bg_weight
        self.attention_weight, self.global_weight = attention_weight, global_weight
        self.temperature, self.box_frame, self.per_cell = temperature, box_frame, per_cell
        self.blocks: dict[str, GlobalContext] = {}

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; makes the two global blocks of every shared level."""
        super().bind(student, teacher)
        self.blocks = {
            f"{side}.{level}": GlobalContext(teacher.channels)
            for level in self.read_levels(student, teacher)
            for side in ("student", "teacher")
        }

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Term`."""
        return {**self.adapters.convs, **self.blocks}

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        losses = []
        for level, student, teacher in context.feature_levels(self.levels):
            masks = object_masks(context, teacher.shape, self.box_frame)
            value = self.level_loss(level, self.adapters(level, student), teacher, *masks)
            cells = teacher.shape[2] * teacher.shape[3] if self.per_cell else 1
            losses.append(value / (teacher.shape[0] * cells))
        return sum(losses[1:], losses[0])

    def level_loss(
        self, level: int, student: jt.Var, teacher: jt.Var, objects: jt.Var, background: jt.Var
    ) -> jt.Var:
        """Scalar Var of one level's maps [N, D, H, W] and masks [N, H, W], summed over images."""
        attentions = [
            (spatial_attention(x, self.temperature), channel_attention(x, self.temperature))
            for x in (student, teacher)
        ]
        (own_places, own_channels), (places, channels) = attentions
        weighted = squared_error(student, teacher) * places.unsqueeze(1) * channels.unsqueeze(2).unsqueeze(3)
        per_cell = weighted.sum(1)  # [N, H, W]
        both = [self.blocks[f"{side}.{level}"](x) for side, x in (("student", student), ("teacher", teacher))]
        return (
            self.fg_weight * total(per_cell * objects)
            + self.bg_weight * total(per_cell * background)
            + self.attention_weight * (total(l1(own_channels, channels)) + total(l1(own_places, places)))
            + self.global_weight * total(squared_error(*both))
        )


def object_masks(context: StepContext, shape: tuple[int, ...], box_frame: str) -> tuple[jt.Var, jt.Var]:
    """Two masks [N, H, W]: 1 / cells of the smallest box over the cell, 1 / cells of an image without a box.

    A box covers the cells from floor(x1) to ceil(x2), both included; rotated boxes count by the upright box
    around them.

    Args:
        shape: of the map, [N, D, H, W].
        box_frame: see `FGD`.
    """
    targets, (height, width) = context.targets, shape[2:]
    boxes = (
        targets.boxes
        if targets.boxes.shape[2] == 4
        else cxcywh_to_xyxy(circumscribed(targets.boxes)[:, :, :4])
    )
    pads = np.asarray(targets.pad_shapes)
    sizes = targets.img_shapes if box_frame == "image" else np.broadcast_to(pads.max(0), pads.shape)
    scale = np.array([height, width], np.float32) / np.asarray(sizes, np.float32)  # [N, 2] cells per px
    cells = boxes * jt.array(np.tile(scale[:, None, ::-1], (1, 1, 2)).astype(np.float32))  # [N, G, 4]
    left, top, right, bottom = (cells[:, :, side].unsqueeze(2).unsqueeze(3) for side in range(4))
    left, top, right, bottom = jt.floor(left), jt.floor(top), jt.ceil(right), jt.ceil(bottom)
    column, row = jt.arange(width).float32(), jt.arange(height).float32().unsqueeze(1)
    across = (column >= left).float32() * (column <= right).float32()  # [N, G, 1, W]
    along = (row >= top).float32() * (row <= bottom).float32()
    inside = across * along * targets.mask.unsqueeze(2).unsqueeze(3)
    objects = (inside / ((right - left + 1.0) * (bottom - top + 1.0))).max(1).detach()  # [N, H, W]
    free = (objects <= 0).float32()
    return objects, free / free.sum([1, 2]).maximum(1.0).unsqueeze(1).unsqueeze(2)
