"""ResNet and ResNeXt with frozen stages, fixed statistics and deformable stages; variants override steps.

Source: arXiv:1512.03385 (ResNet), arXiv:1611.05431 (ResNeXt), arXiv:1703.06211 and arXiv:1811.11168
(deformable convolution, versions 1 and 2).
Parameter names are torchvision's (`conv1.weight`, `layer1.0.bn1.weight`, `layer2.0.downsample.0.weight`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from jld.errors import ConfigError, one_of
from jld.models.layers import BatchNorm, init_kaiming_normal
from jld.models.pretrained import load_backbone_weights
from jld.ops.conv2d import Conv2d
from jld.ops.deform_conv import DCN, DeformConv
from jld.registry import BACKBONES
from jld.toolchain import jittor as jt

nn = jt.nn

STAGE_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STYLES = ("pytorch", "caffe")


class BasicBlock(jt.Module):
    """Two 3x3 convolutions and the shortcut; the second may be deformable."""

    expansion = 1

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
        style: str,
        groups: int,
    ):
        # width, style and groups exist only in a bottleneck; both blocks are built by one function.
        self.conv1 = Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm(channels, fixed_statistics=fixed_statistics)
        self.conv2 = conv3x3(channels, 1, 1, dcn)
        self.bn2 = BatchNorm(channels, fixed_statistics=fixed_statistics)
        self.downsample = downsample

    @property
    def last_norm(self) -> BatchNorm:
        """The normalisation before the shortcut is added."""
        return self.bn2

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to [N, D', H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x), relu=True)
        return self.bn2(self.conv2(x), shortcut=shortcut, relu=True)


class Bottleneck(jt.Module):
    """1x1, 3x3 and 1x1 convolutions and the shortcut; the 3x3 may be grouped or deformable."""

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
        style: str,
        groups: int,
    ):
        first, second = (1, stride) if style == "pytorch" else (stride, 1)
        self.conv1 = Conv2d(in_channels, width, 1, stride=first, bias=False)
        self.bn1 = BatchNorm(width, fixed_statistics=fixed_statistics)
        self.conv2 = conv3x3(width, second, groups, dcn)
        self.bn2 = BatchNorm(width, fixed_statistics=fixed_statistics)
        self.conv3 = Conv2d(width, channels * self.expansion, 1, bias=False)
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
        x = self.bn2(self.conv2(x), relu=True)
        return self.bn3(self.conv3(x), shortcut=shortcut, relu=True)


def conv3x3(channels: int, stride: int, groups: int, dcn: DCN | None) -> jt.Module:
    """3x3 convolution of a block without bias, deformable where `dcn` is given."""
    if dcn is None:
        return Conv2d(channels, channels, 3, stride=stride, padding=1, groups=groups, bias=False)
    return DeformConv(
        channels,
        channels,
        3,
        stride=stride,
        padding=1,
        groups=groups,
        deform_groups=dcn.deform_groups,
        modulated=dcn.modulated,
    )


@BACKBONES.register(aliases=("ResNeXt",))
class ResNet(jt.Module):
    """Residual network with four stages; with `groups` above 1 a ResNeXt.

    Args:
        depth: 18, 34, 50, 101 or 152.
        groups, base_width: of the 3x3 convolutions, 32 and 4 for ResNeXt 32x4d; depth 50 and more.
        out_indices: stages whose maps are returned, 0 = stride 4 ... 3 = stride 32.
        frozen_stages: -1: everything learns; 0: the stem is fixed; k: also the first k stages.
        norm_eval: fixed statistics in every normalisation, also while training.
        norm_trainable: whether weight and bias of the normalisations learn.
        style: "pytorch" puts a bottleneck's stride on its 3x3 convolution, "caffe" on the first 1x1.
        base_channels: width of the stem, 64 in the papers; smaller for tests.
        dcn: the deformable convolutions, `DCN` or `DCNv2` (modulated) with their `deform_groups`; a dict
            without `type` stands for `DCN`; None: there are none.
        stage_with_dcn: stages whose 3x3 convolutions are deformable when `dcn` is given.
        zero_init_residual: without pretrained weights every block starts as the identity.
        pretrained: path of a checkpoint, or "torchvision://resnet18" and the like; read by
            `load_pretrained` only, so that building a model for given weights needs no other file.
    Raises:
        ConfigError: an option is unknown or does not fit the depth.
    Source: arXiv:1512.03385 and arXiv:1611.05431; training habits (frozen stem and first stage, fixed
        statistics with a learning affine part) as in mmDetection.
    """

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        depth: int,
        *,
        groups: int = 1,
        base_width: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = 1,
        norm_eval: bool = True,
        norm_trainable: bool = True,
        style: str = "pytorch",
        base_channels: int = 64,
        dcn: DCN | Mapping[str, int] | None = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        zero_init_residual: bool = True,
        pretrained: str | None = None,
    ):
        _check_options(depth, style, groups)
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.pretrained = pretrained
        deformable = _as_dcn(dcn)
        stem = self._build_stem(base_channels, norm_eval or frozen_stages >= 0)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        block = self._block(depth)
        in_channels = base_channels
        for stage, num_blocks in enumerate(STAGE_BLOCKS[depth]):
            channels = base_channels * 2**stage
            options = {
                "fixed_statistics": norm_eval or stage < frozen_stages,
                "style": style,
                "dcn": deformable if stage_with_dcn[stage] else None,
                **self._inner_options(channels, groups, base_width),
            }
            layer = self._stage(block, in_channels, channels, num_blocks, 1 if stage == 0 else 2, options)
            setattr(self, f"layer{stage + 1}", layer)
            in_channels = channels * block.expansion
        self._init_weights(zero_init_residual)
        self._freeze(stem, norm_trainable)

    def execute(self, images: jt.Var) -> tuple[jt.Var, ...]:
        """One map per entry of `out_indices`.

        Args:
            images: [N, 3, H, W]
        Returns:
            of stage s: [N, D_s, H / 2^(s + 2), W / 2^(s + 2)], sizes rounded up.
        """
        # Without a graph Jittor drops the maps of what does not learn, the largest ones, at once.
        with jt.no_grad() if self.frozen_stages >= 0 else nullcontext():
            x = self.maxpool(self._stem(images))
        maps = []
        for stage in range(max(self.out_indices) + 1):
            with jt.no_grad() if stage < self.frozen_stages else nullcontext():
                x = getattr(self, f"layer{stage + 1}")(x)
            if stage in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def load_pretrained(self) -> None:
        """Reads the weights that `pretrained` names; does nothing without it.

        Raises:
            CheckpointError: the file is missing or does not fit; says which file goes where.
        """
        if self.pretrained is not None:
            load_backbone_weights(self, self.pretrained)

    def _build_stem(self, channels: int, fixed_statistics: bool) -> list[jt.Module]:
        """Makes the layers of `_stem` and returns them."""
        self.conv1 = Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm(channels, fixed_statistics=fixed_statistics)
        return [self.conv1, self.bn1]

    def _stem(self, images: jt.Var) -> jt.Var:
        """[N, 3, H, W] to [N, D, H / 2, W / 2]."""
        return self.bn1(self.conv1(images), relu=True)

    @staticmethod
    def _block(depth: int) -> type[jt.Module]:
        """The class of all residual blocks."""
        return BasicBlock if depth < 50 else Bottleneck

    def _inner_options(self, channels: int, groups: int, base_width: int) -> dict[str, int]:
        """Arguments of the blocks that say what happens between their two 1x1 convolutions."""
        return {"groups": groups, "width": channels * base_width // 64 * groups if groups > 1 else channels}

    def _stage(
        self,
        block: type[jt.Module],
        in_channels: int,
        channels: int,
        num_blocks: int,
        stride: int,
        options: dict[str, Any],
    ) -> jt.nn.Sequential:
        out_channels = channels * block.expansion
        downsample = None
        if stride != 1 or in_channels != out_channels:
            downsample = self._shortcut(in_channels, out_channels, stride, options["fixed_statistics"])
        blocks = [block(in_channels, channels, stride=stride, downsample=downsample, **options)]
        blocks += [
            block(out_channels, channels, stride=1, downsample=None, **options) for _ in range(num_blocks - 1)
        ]
        return nn.Sequential(*blocks)

    @staticmethod
    def _shortcut(
        in_channels: int, out_channels: int, stride: int, fixed_statistics: bool
    ) -> jt.nn.Sequential:
        """What fits the input of a stage to its output."""
        return nn.Sequential(
            Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
            BatchNorm(out_channels, fixed_statistics=fixed_statistics),
        )

    def _init_weights(self, zero_init_residual: bool) -> None:
        for name, module in self.named_modules():
            # Offset convolutions stay at zero: a deformable convolution starts as the ordinary one.
            if isinstance(module, Conv2d | DeformConv) and not name.endswith("conv_offset"):
                init_kaiming_normal(module)
            elif zero_init_residual and hasattr(module, "last_norm"):
                module.last_norm.weight = jt.zeros(module.last_norm.weight.shape)

    def _freeze(self, stem: list[jt.Module], norm_trainable: bool) -> None:
        frozen = list(stem) if self.frozen_stages >= 0 else []
        frozen += [getattr(self, f"layer{stage + 1}") for stage in range(self.frozen_stages)]
        if not norm_trainable:
            frozen += [module for module in self.modules() if isinstance(module, BatchNorm)]
        for module in frozen:
            for parameter in module.parameters():
                parameter.stop_grad()


def _check_options(depth: int, style: str, groups: int) -> None:
    if depth not in STAGE_BLOCKS:
        raise ConfigError(f"ResNet has no depth {depth}: use one of {', '.join(map(str, STAGE_BLOCKS))}.")
    one_of(style, STYLES, f"ResNet style {style!r}")
    if depth < 50 and groups != 1:
        raise ConfigError(
            f"ResNet depth {depth} has no grouped convolutions: use depth 50 or more with groups={groups}."
        )


def _as_dcn(dcn: DCN | Mapping[str, int] | None) -> DCN | None:
    if dcn is None or isinstance(dcn, DCN):
        return dcn
    unknown = set(dcn) - {"deform_groups"}
    if unknown:
        raise ConfigError(f"ResNet dcn takes only deform_groups, not {', '.join(sorted(unknown))}.")
    return DCN(**dcn)
