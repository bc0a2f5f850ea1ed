"""The two compiled operators of mmcv that GFL needs, NMS and deformable convolution, in plain PyTorch.

Slow, and written from their definitions: they let the reference package run where mmcv's extension cannot be
built. Every other operator is a name that cannot be called.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types

import torch
from torch import nn


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """([K, 5] boxes with their score, [K] kept rows), greedy from the highest score on."""
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order]
    top_left = torch.maximum(sorted_boxes[:, None, :2], sorted_boxes[None, :, :2])
    bottom_right = torch.minimum(sorted_boxes[:, None, 2:], sorted_boxes[None, :, 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(-1)
    area = (sorted_boxes[:, 2:] - sorted_boxes[:, :2]).prod(-1)
    collides = (overlap / (area[:, None] + area - overlap) > iou_threshold).numpy()
    alive = torch.ones(len(boxes), dtype=torch.bool).numpy()
    for row in range(len(boxes)):
        if alive[row]:
            alive[row + 1 :] &= ~collides[row, row + 1 :]
    keep = order[torch.from_numpy(alive)]
    return torch.cat([boxes[keep], scores[keep, None]], 1), keep


def batched_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    idxs: torch.Tensor,
    nms_cfg: dict,
    class_agnostic: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """NMS within each class: every class is moved to a place of its own first."""
    options = dict(nms_cfg)
    if options.pop("type", "nms") != "nms" or set(options) != {"iou_threshold"}:
        raise NotImplementedError(f"only plain NMS is written out here, not {nms_cfg}")
    apart = 0 if class_agnostic else idxs.to(boxes)[:, None] * (boxes.max() + 1)
    _, keep = nms(boxes + apart, scores, options["iou_threshold"])
    return torch.cat([boxes[keep], scores[keep, None]], 1), keep


class DeformConv2d(nn.Module):
    """Deformable convolution of version 1: offsets (y, x) per tap from a plain convolution, no modulation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
    ):
        super().__init__()
        if bias or deform_groups != 1:
            raise NotImplementedError("only one group of offsets and no bias are written out here")
        self.kernel_size, self.groups = kernel_size, groups
        self.where = {"stride": stride, "padding": padding, "dilation": dilation}
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.conv_offset = nn.Conv2d(in_channels, 2 * kernel_size**2, kernel_size, **self.where)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, O, H', W'] from [N, I, H, W]."""
        offsets = self.conv_offset(x)
        height, width = offsets.shape[2:]
        stride, padding, dilation = (self.where[key] for key in ("stride", "padding", "dilation"))
        rows = torch.arange(height)[:, None] * stride - padding
        columns = torch.arange(width)[None, :] * stride - padding
        taps = []
        for tap in range(self.kernel_size**2):
            y = rows + tap // self.kernel_size * dilation + offsets[:, 2 * tap]
            x_at = columns + tap % self.kernel_size * dilation + offsets[:, 2 * tap + 1]
            taps.append(_sample(x, y, x_at))
        gathered = torch.stack(taps, 2).unflatten(
            1, (self.groups, -1)
        )  # [N, groups, I / groups, taps, H', W']
        weight = self.weight.flatten(2).unflatten(0, (self.groups, -1))
        return torch.einsum("ngithw,goit->ngohw", gathered, weight).flatten(1, 2)


def _sample(x: torch.Tensor, y_at: torch.Tensor, x_at: torch.Tensor) -> torch.Tensor:
    """[N, D, H', W'] bilinear values of a map that is zero outside, at positions [N, H', W'] in pixels."""
    height, width = x.shape[2:]
    result = 0
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = y_at.floor() + dy, x_at.floor() + dx
            share = (1 - (y_at - row).abs()) * (1 - (x_at - column).abs())
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            values = x.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, x.shape[1], -1))
            result = result + values.unflatten(2, index.shape[1:]) * (share * inside)[:, None]
    return result


OPERATORS = {"nms": nms, "batched_nms": batched_nms, "DeformConv2d": DeformConv2d}


class OperatorModules:
    """Finds `mmcv.ops` and everything below it here; to be put before `sys.meta_path`."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """The specification of a module of that name, or None when it is another package's."""
        if name != "mmcv.ops" and not name.startswith("mmcv.ops."):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)

    def create_module(self, spec: object) -> types.ModuleType:
        """An empty module in which every operator has a name."""
        return _AnyOperator(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Puts the operators that have a body into the module."""
        module.__dict__.update(OPERATORS)


class _AnyOperator(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _without_body(name)


@functools.cache
def _without_body(name: str) -> type:
    def refuse(self: object, *_: object, **__: object) -> None:
        raise NotImplementedError(f"mmcv.ops.{name} needs mmcv's compiled operators")

    return type(name, (nn.Module,), {"__init__": refuse})


def install() -> None:
    """Makes `import mmcv.ops` give this module's operators and registers deformable convolution with mmcv."""
    from mmcv.cnn import CONV_LAYERS

    sys.meta_path.insert(0, OperatorModules())
    CONV_LAYERS.register_module("DCN", module=DeformConv2d, force=True)
