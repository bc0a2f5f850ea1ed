"""Res2Net: residual blocks whose 3x3 convolution is a cascade over parts of the channels.

The variant of the public detector weights, called v1b by its authors and v1d by mmDetection: three 3x3
convolutions as stem, shortcuts that average before their 1x1 convolution. Parameter names are mmDetection's
(`stem.0.weight`, `layer1.0.convs.2.weight`, `layer1.0.bns.2.bias`, `layer2.0.downsample.1.weight`).
Source: arXiv:1904.01169.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jld.errors import ConfigError
from jld.models.backbones.resnet import ResNet, conv3x3
from jld.models.layers import BatchNorm
from jld.ops.conv2d import Conv2d
from jld.ops.deform_conv import DCN
from jld.registry import BACKBONES
from jld.toolchain import jittor as jt

nn = jt.nn


class Bottle2neck(jt.Module):
    """Bottleneck that splits its inner channels into parts of `width`, each seeing the one before it.

    The parts go through a 3x3 convolution one after the other, each first adding the previous result; the
    last part is passed on as it is. In the first block of a stage, which changes the resolution, the parts
    are not added and the last one is averaged.

    Source: arXiv:1904.01169, section 3.1.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int,
        downsample: jt.Module | None,
        fixed_statistics: bool,
        dcn: DCN | None,
        width: int,
        scales: int,
        style: str,
    ):
        # style exists only in a ResNet; here the stride is always on the 3x3 convolutions.
        self.is_first, self.width = downsample is not None, width
        self.conv1 = Conv2d(in_channels, width * scales, 1, bias=False)
        self.bn1 = BatchNorm(width * scales, fixed_statistics=fixed_statistics)
        parts = range(scales - 1)
        self.convs = nn.Sequential(*(conv3x3(width, stride, 1, dcn) for _ in parts))
        self.bns = nn.Sequential(*(BatchNorm(width, fixed_statistics=fixed_statistics) for _ in parts))
        self.pool = None if stride == 1 else nn.AvgPool2d(3, stride, padding=1)
        self.conv3 = Conv2d(width * scales, channels * self.expansion, 1, bias=False)
        self.bn3 = BatchNorm(channels * self.expansion, fixed_statistics=fixed_statistics)
        self.downsample = downsample

    @property
    def last_norm(self) -> BatchNorm:
        """The normalisation before the shortcut is added."""
        return self.bn3

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to [N, D', H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x), relu=True)
        results: list[jt.Var] = []
        for index, (conv, norm) in enumerate(zip(self.convs, self.bns, strict=True)):
            part = self._part(x, index)
            if results and not self.is_first:
                part = part + results[-1]
            results.append(norm(conv(part), relu=True))
        last = self._part(x, len(results))
        results.append(last if self.pool is None else self.pool(last))
        return self.bn3(self.conv3(jt.concat(results, dim=1)), shortcut=shortcut, relu=True)

    def _part(self, x: jt.Var, index: int) -> jt.Var:
        return x[:, index * self.width : (index + 1) * self.width]


@BACKBONES.register
class Res2Net(ResNet):
    """Res2Net v1d: cascaded 3x3 convolutions, three convolutions as stem, averaging shortcuts.

    Args:
        depth: 50, 101 or 152.
        scales: parts of the inner channels, 4 in the published weights.
        base_width: channels of a part in the first stage, 26 in the published weights.
        out_indices, frozen_stages, norm_eval, norm_trainable, base_channels, dcn, stage_with_dcn,
            zero_init_residual, pretrained: see `ResNet`.
    Raises:
        ConfigError: an option is unknown or does not fit the depth.
    Source: arXiv:1904.01169; mmDetection's Res2Net.
    """

    def __init__(
        self,
        depth: int,
        *,
        scales: int = 4,
        base_width: int = 26,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = 1,
        norm_eval: bool = True,
        norm_trainable: bool = True,
        base_channels: int = 64,
        dcn: DCN | Mapping[str, int] | None = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        zero_init_residual: bool = True,
        pretrained: str | None = None,
    ):
        if depth in (18, 34):
            raise ConfigError(
                f"Res2Net has no depth {depth}: its blocks are bottlenecks, use 50, 101 or 152."
            )
        if scales < 2:
            raise ConfigError(f"Res2Net with scales={scales} splits nothing: use 4, or a ResNet.")
        self.scales = scales
        super().__init__(
            depth,
            base_width=base_width,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            norm_trainable=norm_trainable,
            base_channels=base_channels,
            dcn=dcn,
            stage_with_dcn=stage_with_dcn,
            zero_init_residual=zero_init_residual,
            pretrained=pretrained,
        )

    def _build_stem(self, channels: int, fixed_statistics: bool) -> list[jt.Module]:
        layers = []
        for in_channels, out_channels, stride in (
            (3, channels // 2, 2),
            (channels // 2, channels // 2, 1),
            (channels // 2, channels, 1),
        ):
            layers += [
                Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
                BatchNorm(out_channels, fixed_statistics=fixed_statistics),
                nn.ReLU(),
            ]
        self.stem = nn.Sequential(*layers)
        return [self.stem]

    def _stem(self, images: jt.Var) -> jt.Var:
        return self.stem(images)

    @staticmethod
    def _block(depth: int) -> type[jt.Module]:
        return Bottle2neck

    def _inner_options(self, channels: int, groups: int, base_width: int) -> dict[str, int]:
        return {"scales": self.scales, "width": channels * base_width // 64}

    @staticmethod
    def _shortcut(
        in_channels: int, out_channels: int, stride: int, fixed_statistics: bool
    ) -> jt.nn.Sequential:
        # Also with stride 1, where it averages nothing: the numbers in the parameter names count it.
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(
            pool,
            Conv2d(in_channels, out_channels, 1, bias=False),
            BatchNorm(out_channels, fixed_statistics=fixed_statistics),
        )
