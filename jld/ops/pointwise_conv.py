"""1x1 convolution on the CPU as matrix products on the maps as they lie in memory.

oneDNN's convolution copies every map into a layout of its own and its result back, which costs as much as
the few multiplications of a 1x1 filter.
"""

from __future__ import annotations

from jld.ops.onednn_conv import weight_gradient
from jld.ops.sgemm import product_operator
from jld.toolchain import jittor as jt

# in0: map [N, D, H, W], in1: weights [O, I], transposed for the gradient of the map; out0: [N, D', H, W].
_CONVOLVE = """
    const bool transposed = data["transposed"];
    const long area = (long)in0_shape2 * in0_shape3;
    for (long n : images.numbers)
        dnnl_sgemm(transposed ? 'T' : 'N', 'N', out0_shape1, area, in0_shape1, 1, in1_p, in1_shape1,
                   in0_p + n * in0_shape1 * area, area, 0, out0_p + n * out0_shape1 * area, area);
    images.clear_others(out0_p, out0_shape1 * area);
"""
# in0: map [N, I, H, W], in1: gradient of the results [N, O, H, W], out0: that of the weights [O, I, 1, 1].
_WEIGHT_GRADIENT = """
    const long inputs = in0_shape1, outputs = in1_shape1, area = (long)in0_shape2 * in0_shape3;
    std::fill(out0_p, out0_p + outputs * inputs, 0.f);
    for (long n : images.numbers)
        dnnl_sgemm('N', 'T', outputs, inputs, area, 1, in1_p + n * outputs * area, area,
                   in0_p + n * inputs * area, area, 1, out0_p, inputs);
"""


class _PointwiseConv(jt.Function):
    """The operator with gradients to both inputs."""

    def execute(self, x: jt.Var, weight: jt.Var, live: jt.Var | None) -> jt.Var:
        self.saved = x, weight, live
        shape = x.shape[0], weight.shape[0], *x.shape[2:]
        return product_operator(shape, [x, weight], _CONVOLVE, live=live, transposed=0)

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, weight, live = self.saved
        dx = product_operator(x.shape, [dy, weight], _CONVOLVE, live=live, transposed=1)
        if live is not None:
            return dx, product_operator(weight.shape, [x, dy], _WEIGHT_GRADIENT, live=live), None
        # Here oneDNN's own layout wins: its products sum along an axis as long as the map.
        return dx, weight_gradient(x, dy, (1, 1), (1, 1, 0, 0, 1, 1, 1)), None


def pointwise_conv(x: jt.Var, weight: jt.Var, live: jt.Var | None = None) -> jt.Var:
    """1x1 convolution with stride 1, on the CPU.

    Args:
        x: [N, I, H, W] float32.
        weight: [O, I, 1, 1] float32.
        live: see `conv2d`.
    Returns:
        [N, O, H, W]
    Raises:
        ValueError: the shapes do not fit.
    """
    if len(x.shape) != 4 or tuple(weight.shape[1:]) != (x.shape[1], 1, 1):
        raise ValueError(
            f"pointwise_conv: map {tuple(x.shape)} and weights {tuple(weight.shape)} do not fit."
        )
    return _PointwiseConv.apply(x, weight, live)
