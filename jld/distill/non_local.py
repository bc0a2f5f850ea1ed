"""Dot-product non-local block, whose output at a place looks at the whole map."""

from __future__ import annotations

from jld.models.layers import mean_of_channels
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt


class NonLocalBlock(jt.Module):
    """x + BN(W (f g)), f the dot products of every place with all pooled places, divided by their number.

    Without a softmax the products may be taken in either order: (theta^T phi) g^T = theta^T (phi g^T). The
    second one needs a matrix of D' x D' instead of one entry per pair of places. The normalisation uses the
    batch's statistics, always: the block only exists in training. Its factor and shift start at 0, so that
    the block starts as the identity.

    Args:
        channels: D of the map.
        inner_channels: D' of the three projections.
        pooling: side and step of the maximum pooling of the places that are looked at.
    Source: arXiv:1711.07971, dot-product version with pooling; as used by FBKD.
    """

    def __init__(self, channels: int, inner_channels: int, pooling: int):
        self.theta = Conv2d(channels, inner_channels, 1)
        self.phi = Conv2d(channels, inner_channels, 1)
        self.g = Conv2d(channels, inner_channels, 1)
        self.out = Conv2d(inner_channels, channels, 1)
        self.bn_weight, self.bn_bias = jt.zeros((channels,)), jt.zeros((channels,))
        self.pooling = pooling

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to the same."""
        n, _, h, w = x.shape
        theta = self.theta(x).reshape(n, -1, h * w)
        phi, g = (self._pooled(conv(x)) for conv in (self.phi, self.g))  # [N, D', places]
        mixing = jt.matmul(g, phi.transpose(0, 2, 1)) / phi.shape[2]  # [N, D', D']
        y = jt.matmul(mixing, theta).reshape(n, -1, h, w)
        return x + self._normalised(self.out(y))

    def _pooled(self, x: jt.Var) -> jt.Var:
        n, d, h, w = x.shape
        side = max(1, min(self.pooling, h, w))  # small images have maps below one window
        rows, columns = h // side, w // side
        windows = x[:, :, : rows * side, : columns * side].reshape(n, d, rows, side, columns, side)
        return windows.max([3, 5]).reshape(n, d, rows * columns)

    def _normalised(self, x: jt.Var, eps: float = 1e-5) -> jt.Var:
        mean = mean_of_channels(x)
        var = (mean_of_channels(x * x) - mean * mean).maximum(0.0)
        scale = self.bn_weight / jt.sqrt(var + eps)
        shift = self.bn_bias - mean * scale
        return x * scale.broadcast(x, [0, 2, 3]) + shift.broadcast(x, [0, 2, 3])
