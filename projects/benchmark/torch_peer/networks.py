"""ResNet, FPN and the GFL head; parameter names as in mmDetection, so jld's weights load as they are.

What is frozen, trained and normalised by running statistics is the same as in jld.
Source: arXiv:1512.03385, arXiv:1612.03144, arXiv:2006.04388.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

STAGE_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STRIDES = (8, 16, 32, 64, 128)
NUM_BINS = 17


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut; `deep`: 1x1, 3x3 and 1x1 to four times the channels.

    `caffe` puts the stride on the first convolution, not on the first of 3x3.
    """

    def __init__(self, inputs: int, channels: int, stride: int, deep: bool, caffe: bool = False):
        super().__init__()
        self.outputs = channels * expansion(deep)
        kernels, widths = ((1, 3, 1), (channels, channels)) if deep else ((3, 3), (channels,))
        self.downsample = None
        if stride != 1 or inputs != self.outputs:
            shortcut = nn.Conv2d(inputs, self.outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(self.outputs))
        strided = 0 if caffe else kernels.index(3)
        self.num_convs = len(kernels)
        for index, (kernel, width) in enumerate(zip(kernels, (*widths, self.outputs))):
            step = stride if index == strided else 1
            conv = nn.Conv2d(inputs, width, kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{index + 1}", conv)
            setattr(self, f"bn{index + 1}", nn.BatchNorm2d(width))
            inputs = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, D, H, W] to [N, D', H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for index in range(1, self.num_convs + 1):
            x = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(x))
            x = functional.relu(x if index < self.num_convs else x + shortcut, inplace=True)
        return x


def expansion(deep: bool) -> int:
    """Output channels of a block over its width."""
    return 4 if deep else 1


class ResNet(nn.Module):
    """Residual network whose stem and first stage are frozen."""

    def __init__(self, depth: int, base: int, *, caffe: bool = False):
        super().__init__()
        deep = depth >= 50
        self.conv1 = nn.Conv2d(3, base, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = base
        for stage, count in enumerate(STAGE_BLOCKS[depth]):
            width, blocks = base * 2**stage, []
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Block(inputs, width, stride, deep, caffe))
                inputs = blocks[-1].outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.channels = [base * expansion(deep) * 2**stage for stage in range(1, 4)]
        for part in (self.conv1, self.bn1, self.layer1):
            part.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps of strides 8, 16 and 32."""
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        maps = []
        for stage in (self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


class ConvModule(nn.Module):
    """A convolution, with group normalisation and ReLU where `groups` is given."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not groups)
        self.gn = nn.GroupNorm(groups, outputs) if groups else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, D, H, W] to [N, D', H / stride, W / stride]."""
        x = self.conv(x)
        return x if self.gn is None else functional.relu(self.gn(x), inplace=True)


class FPN(nn.Module):
    """Feature pyramid of five levels, the last two by stride from the output before.

    `from_backbone`: the first of the two from the backbone's last map, the second behind a ReLU.
    """

    def __init__(self, inputs: Sequence[int], channels: int, *, from_backbone: bool = False):
        super().__init__()
        self.from_backbone = from_backbone
        self.lateral_convs = nn.ModuleList(ConvModule(width, channels, 1) for width in inputs)
        self.fpn_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, stride=2 if level >= len(inputs) else 1)
            for level in range(len(STRIDES))
        )
        if from_backbone:
            self.fpn_convs[len(inputs)] = ConvModule(inputs[-1], channels, 3, stride=2)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Five maps [N, D, H_l, W_l], fine to coarse."""
        last = maps[-1]
        maps = [lateral(x) for lateral, x in zip(self.lateral_convs, maps)]
        for level in range(len(maps) - 1, 0, -1):
            finer = maps[level - 1]
            maps[level - 1] = finer + functional.interpolate(maps[level], finer.shape[2:], mode="nearest")
        levels = [conv(x) for conv, x in zip(self.fpn_convs, maps)]
        first, second = self.fpn_convs[len(maps) :]
        levels.append(first(last if self.from_backbone else levels[-1]))
        levels.append(second(functional.relu(levels[-1]) if self.from_backbone else levels[-1]))
        return levels


class Scale(nn.Module):
    """One learnable factor."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` times the factor."""
        return x * self.scale


class GFLHead(nn.Module):
    """Two towers, class scores that stand for quality, box sides as distributions."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.num_classes, groups = num_classes, min(32, channels // 4)
        self.cls_convs = nn.Sequential(*(ConvModule(channels, channels, 3, groups=groups) for _ in range(4)))
        self.reg_convs = nn.Sequential(*(ConvModule(channels, channels, 3, groups=groups) for _ in range(4)))
        self.gfl_cls = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.gfl_reg = nn.Conv2d(channels, 4 * NUM_BINS, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in STRIDES)

    def forward(self, levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits [N, P, C] and box logits [N, P, 4, B] of all levels."""
        cls = [_rows(self.gfl_cls(self.cls_convs(x))) for x in levels]
        box = [_rows(scale(self.gfl_reg(self.reg_convs(x)))) for scale, x in zip(self.scales, levels)]
        return torch.cat(cls, 1), torch.cat(box, 1).unflatten(2, (4, NUM_BINS))


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H * W, D]


class Detector(nn.Module):
    """Backbone, neck and head."""

    def __init__(self, depth: int, base: int, channels: int, num_classes: int):
        super().__init__()
        self.backbone = ResNet(depth, base)
        self.neck = FPN(self.backbone.channels, channels)
        self.bbox_head = GFLHead(channels, num_classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits [N, P, C] and box logits [N, P, 4, B] of images [N, 3, H, W]."""
        return self.bbox_head(self.neck(self.backbone(images)))


def load_state(detector: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Weights by name; every one must be there.

    Raises:
        ValueError: a name is unknown or missing.
    """
    missing, unknown = detector.load_state_dict(state, strict=False)
    # A counter that only moving averages of another kind would read.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ValueError(f"these weights do not fit: missing {missing[:3]}, unknown {unknown[:3]}.")
