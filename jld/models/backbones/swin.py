"""Swin transformer: attention inside windows that are shifted from block to block, in four stages.

Source: arXiv:2103.14030 and its released backbone for detection, whose parameter names are kept
(`layers.0.blocks.1.attn.qkv.weight`). Tokens stay [N, H * W, D] through the blocks; padding, shift and the
cut into windows are one gathering by index, whose gradient is a gathering by the inverse index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.errors import ConfigError
from jld.models.backbones.swin_layouts import merging_layout, relative_position_index, window_layout
from jld.models.pretrained import load_backbone_weights
from jld.ops.conv2d import Conv2d
from jld.ops.layer_norm import layer_norm
from jld.ops.window_attention import window_attention
from jld.registry import BACKBONES
from jld.toolchain import jittor as jt

nn = jt.nn


class _Gather(jt.Function):
    """Rows of [N, T, D] in another order, zeros where the index is -1; no row is taken twice."""

    def execute(self, x: jt.Var, index: jt.Var, inverse: jt.Var) -> jt.Var:
        self.inverse = inverse
        return _taken(x, index)

    def grad(self, grad: jt.Var) -> tuple[jt.Var | None, ...]:
        return _taken(grad, self.inverse), None, None


def _taken(x: jt.Var, index: jt.Var) -> jt.Var:
    return x.reindex([x.shape[0], index.shape[0], x.shape[2]], ["i0", "@e0(i1)", "i2"], extras=[index])


class LayerNorm(jt.Module):
    """Layer normalisation of the last axis, see `layer_norm`; parameters `weight` and `bias`."""

    def __init__(self, width: int):
        self.weight, self.bias = jt.ones((width,)), jt.zeros((width,))

    def execute(self, x: jt.Var) -> jt.Var:
        """[..., D] to the same shape."""
        return layer_norm(x, self.weight, self.bias)


class WindowAttention(jt.Module):
    """Attention of the tokens of a window to each other, with a learned bias per relative position."""

    def __init__(self, width: int, num_heads: int, window: int):
        self.num_heads, self.window = num_heads, window
        self.qkv, self.proj = _linear(width, 3 * width), _linear(width, width)
        self.relative_position_bias_table = jt.randn((2 * window - 1) ** 2, num_heads) * 0.02

    def execute(self, x: jt.Var, regions: jt.Var) -> jt.Var:
        """[B, T, D] to the same shape; `regions` as in `window_attention`."""
        index = jt.array(relative_position_index(self.window))  # [T, T]
        bias = self.relative_position_bias_table.reindex(
            [self.num_heads, *index.shape], ["@e0(i1,i2)", "i0"], extras=[index]
        )
        return self.proj(window_attention(self.qkv(x), bias, regions, self.num_heads))


class MLP(jt.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, width: int, hidden: int):
        self.fc1, self.fc2 = _linear(width, hidden), _linear(hidden, width)

    def execute(self, x: jt.Var) -> jt.Var:
        """[..., D] to the same shape."""
        return self.fc2(nn.gelu(self.fc1(x)))


class SwinBlock(jt.Module):
    """Attention in windows and an MLP, each behind a normalisation and beside a shortcut."""

    def __init__(
        self, width: int, num_heads: int, window: int, shift: int, mlp_ratio: float, drop_path: float
    ):
        self.window, self.shift, self.drop_path = window, shift, drop_path
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attn = WindowAttention(width, num_heads, window)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def execute(self, x: jt.Var, size: tuple[int, int]) -> jt.Var:
        """[N, H * W, D] to the same shape; `size` is (H, W)."""
        images, _, width = x.shape
        tokens, places, regions = map(jt.array, window_layout(*size, self.window, self.shift))
        # Padding comes behind the normalisation: padded tokens are zeros that others attend to, as released.
        windows = _Gather.apply(self.norm1(x), tokens, places).reshape((-1, self.window**2, width))
        attended = self.attn(windows, regions).reshape((images, -1, width))
        x = x + self._kept(_Gather.apply(attended, places, tokens))
        return x + self._kept(self.mlp(self.norm2(x)))

    def _kept(self, x: jt.Var) -> jt.Var:
        """In training some images skip a branch; the others' is scaled up (arXiv:1603.09382)."""
        if not self.drop_path or not self.is_training():
            return x
        # Jittor's generator is seeded from (seed, step): a resumed run draws what it would have drawn.
        keep = (jt.rand((x.shape[0], 1, 1)) >= self.drop_path).float32() / (1.0 - self.drop_path)
        return x * keep.broadcast(x.shape)


class PatchMerging(jt.Module):
    """2 x 2 tokens become one of twice the width."""

    def __init__(self, width: int):
        self.norm = LayerNorm(4 * width)
        self.reduction = _linear(4 * width, 2 * width, bias=False)

    def execute(self, x: jt.Var, size: tuple[int, int]) -> jt.Var:
        """[N, H * W, D] to [N, H/2 * W/2, 2 D], sizes rounded up."""
        tokens, places = map(jt.array, merging_layout(*size))
        return self.reduction(
            self.norm(_Gather.apply(x, tokens, places).reshape((x.shape[0], -1, 4 * x.shape[2])))
        )


class SwinStage(jt.Module):
    """Blocks on one map, every second one with shifted windows, and the merging behind them."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: PatchMerging | None):
        self.blocks, self.downsample = nn.Sequential(*blocks), downsample

    def execute(self, x: jt.Var, size: tuple[int, int]) -> jt.Var:
        """[N, H * W, D] to the same shape; merging is left to the backbone, which also wants this map."""
        for block in self.blocks:
            x = block(x, size)
        return x


class PatchEmbedding(jt.Module):
    """Patches of 4 x 4 px as tokens, normalised."""

    def __init__(self, width: int, patch: int = 4):
        self.patch = patch
        self.proj, self.norm = Conv2d(3, width, patch, stride=patch), LayerNorm(width)

    def execute(self, images: jt.Var) -> tuple[jt.Var, tuple[int, int]]:
        """[N, 3, H, W] to [N, tokens, D] and the size of their map; images are padded to whole patches."""
        missing = [-side % self.patch for side in images.shape[2:]]
        if any(missing):
            images = nn.pad(images, [0, missing[1], 0, missing[0]])
        x = self.proj(images)
        return self.norm(_as_tokens(x)), (x.shape[2], x.shape[3])


@BACKBONES.register(aliases=("Swin",))
class SwinTransformer(jt.Module):
    """Swin transformer with the map of every stage behind a normalisation of its own.

    Args:
        embed_dims: width of the first stage, twice that in every further one; 96 for Swin-T and Swin-S.
        depths: blocks of every stage; (2, 2, 6, 2) for Swin-T.
        num_heads: of every stage.
        window_size: side of a window in tokens.
        mlp_ratio: hidden width of the MLPs divided by the width.
        drop_path_rate: probability that an image skips the last branch, rising evenly from 0 at the first;
            only while training.
        out_indices: stages whose maps are returned, 0 = stride 4 ... 3 = stride 32.
        pretrained: path of a checkpoint, read by `load_pretrained`.
    Raises:
        ConfigError: lists of different lengths, widths that the heads do not divide, an unknown stage.
    Source: arXiv:2103.14030; megvii-research/LGD's copy for detection.
    """

    def __init__(
        self,
        embed_dims: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        *,
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.2,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        pretrained: str | None = None,
    ):
        widths = [embed_dims * 2**stage for stage in range(len(depths))]
        _check_options(widths, num_heads, out_indices, drop_path_rate)
        self.out_indices, self.pretrained, self.widths = tuple(out_indices), pretrained, tuple(widths)
        self.patch_embed = PatchEmbedding(embed_dims)
        rates = iter(np.linspace(0, drop_path_rate, sum(depths)).tolist())
        stages = []
        for stage, (width, depth, heads) in enumerate(zip(widths, depths, num_heads, strict=True)):
            blocks = [
                SwinBlock(width, heads, window_size, index % 2 * (window_size // 2), mlp_ratio, next(rates))
                for index in range(depth)
            ]
            stages.append(SwinStage(blocks, PatchMerging(width) if stage + 1 < len(depths) else None))
        self.layers = nn.Sequential(*stages)
        for stage in self.out_indices:
            setattr(self, f"norm{stage}", LayerNorm(widths[stage]))

    def execute(self, images: jt.Var) -> tuple[jt.Var, ...]:
        """One map per entry of `out_indices`.

        Args:
            images: [N, 3, H, W] of any size.
        Returns:
            of stage s: [N, D * 2^s, H / 2^(s + 2), W / 2^(s + 2)], sizes rounded up.
        """
        x, size = self.patch_embed(images)
        maps = []
        for stage in range(max(self.out_indices) + 1):
            layer = self.layers[stage]
            x = layer(x, size)
            if stage in self.out_indices:
                maps.append(_as_map(getattr(self, f"norm{stage}")(x), size))
            if stage < max(self.out_indices):
                x, size = layer.downsample(x, size), ((size[0] + 1) // 2, (size[1] + 1) // 2)
        return tuple(maps)

    def load_pretrained(self) -> None:
        """Reads the weights that `pretrained` names; does nothing without it.

        A classifier's file lacks the normalisations of the returned maps, which start as they are.

        Raises:
            CheckpointError: the file is missing or does not fit; says which file goes where.
        """
        if self.pretrained is not None:
            load_backbone_weights(self, self.pretrained)


def _linear(width: int, out_width: int, *, bias: bool = True) -> jt.Module:
    layer = nn.Linear(width, out_width, bias=bias)
    layer.weight = jt.randn(out_width, width) * 0.02
    if bias:
        layer.bias = jt.zeros((out_width,))
    return layer


def _as_tokens(x: jt.Var) -> jt.Var:
    """[N, D, H, W] to [N, H * W, D]."""
    return x.reshape((x.shape[0], x.shape[1], -1)).permute(0, 2, 1)


def _as_map(x: jt.Var, size: tuple[int, int]) -> jt.Var:
    """[N, H * W, D] to [N, D, H, W]."""
    return x.permute(0, 2, 1).reshape((x.shape[0], x.shape[2], *size))


def _check_options(
    widths: Sequence[int], num_heads: Sequence[int], out_indices: Sequence[int], drop_path_rate: float
) -> None:
    if len(num_heads) != len(widths):
        raise ConfigError(
            f"SwinTransformer has {len(widths)} depths and {len(num_heads)} num_heads: one per stage."
        )
    for width, heads in zip(widths, num_heads, strict=True):
        if width % heads:
            raise ConfigError(f"SwinTransformer: {heads} heads do not divide a width of {width}.")
    if not out_indices or not set(out_indices) <= set(range(len(widths))):
        raise ConfigError(
            f"SwinTransformer out_indices {tuple(out_indices)}: stages are 0 to {len(widths) - 1}."
        )
    if not 0 <= drop_path_rate < 1:
        raise ConfigError(f"SwinTransformer drop_path_rate must be in [0, 1), not {drop_path_rate}.")
