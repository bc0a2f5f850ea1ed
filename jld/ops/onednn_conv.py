"""Convolution by oneDNN on the CPU, called as such.

Jittor recognises a convolution in its own layer's products and sums, and calls oneDNN for it as well, but
compiles a kernel for every combination of products and sums first. For Jittor 1.3.11.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt


class _OneDnnConv(jt.Function):
    """The operator with gradients to both inputs."""

    def execute(self, x: jt.Var, weight: jt.Var, geometry: tuple[int, ...]) -> jt.Var:
        self.saved = x, weight, geometry
        return jt.mkl_ops.mkl_conv(x, weight, *geometry)

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, weight, geometry = self.saved
        dx = jt.mkl_ops.mkl_conv_backward_x(weight, dy, *x.shape[2:], *geometry)
        return dx, weight_gradient(x, dy, weight.shape[2:], geometry), None


def weight_gradient(x: jt.Var, dy: jt.Var, filter_size: tuple[int, int], geometry: tuple[int, ...]) -> jt.Var:
    """Gradient of the weights [O, I / groups, h, w] from the map and the gradient of the results.

    Args:
        x: [N, I, H, W] float32.
        dy: [N, O, H', W'] float32.
        filter_size: (h, w)
        geometry: see `onednn_conv`.
    """
    return jt.mkl_ops.mkl_conv_backward_w(x, dy, *filter_size, *geometry)


def onednn_conv(x: jt.Var, weight: jt.Var, geometry: tuple[int, ...]) -> jt.Var:
    """Convolution of a map.

    Args:
        x: [N, I, H, W] float32.
        weight: [O, I / groups, h, w] float32.
        geometry: stride, padding and dilation, two numbers each for rows and columns, then groups.
    Returns:
        [N, O, H', W']
    Raises:
        ValueError: the shapes do not fit.
    """
    shapes, groups = [tuple(v.shape) for v in (x, weight)], geometry[-1]
    if [len(shape) for shape in shapes] != [4, 4] or shapes[0][1] != shapes[1][1] * groups:
        raise ValueError(f"onednn_conv: map, weights of shapes {shapes} and {groups} groups do not fit.")
    return _OneDnnConv.apply(x, weight, geometry)
