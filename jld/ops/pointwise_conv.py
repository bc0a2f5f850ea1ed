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
    for (long n = 0; n < in0_shape0; n++)
        dnnl_sgemm(transposed ? 'T' : 'N', 'N', out0_shape1, area, in0_shape1, 1, in1_p, in1_shape1,
                   in0_p + n * in0_shape1 * area, area, 0, out0_p + n * out0_shape1 * area, area);
"""


class _PointwiseConv(jt.Function):
    """The operator with gradients to both inputs."""

    def execute(self, x: jt.Var, weight: jt.Var) -> jt.Var:
        self.saved = x, weight
        shape = x.shape[0], weight.shape[0], *x.shape[2:]
        return product_operator(shape, [x, weight], _CONVOLVE, transposed=0)

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, weight = self.saved
        dx = product_operator(x.shape, [dy, weight], _CONVOLVE, transposed=1)
        # Here oneDNN's own layout wins: its products sum along an axis as long as the map.
        return dx, weight_gradient(x, dy, (1, 1), (1, 1, 0, 0, 1, 1, 1))


def pointwise_conv(x: jt.Var, weight: jt.Var) -> jt.Var:
    """1x1 convolution with stride 1, on the CPU.

    Args:
        x: [N, I, H, W] float32.
        weight: [O, I, 1, 1] float32.
    Returns:
        [N, O, H, W]
    Raises:
        ValueError: the shapes do not fit.
    """
    if len(x.shape) != 4 or tuple(weight.shape[1:]) != (x.shape[1], 1, 1):
        raise ValueError(
            f"pointwise_conv: map {tuple(x.shape)} and weights {tuple(weight.shape)} do not fit."
        )
    return _PointwiseConv.apply(x, weight)
