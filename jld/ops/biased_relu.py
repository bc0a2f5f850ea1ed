"""ReLU of a map and a bias, of some images of a batch, on the CPU as one operator each way."""

from __future__ import annotations

from jld.toolchain import jittor as jt

# in0: map [N, D, H, W], in1: bias [D], in2: [N] images that count; out0: the result, 0 in the others.
_FORWARD = """
    const long channels = in0_shape1, area = (long)in0_shape2 * in0_shape3;
    #pragma omp parallel for
    for (long plane = 0; plane < in0_shape0 * channels; plane++) {
        const float *in = in0_p + plane * area, bias = in1_p[plane % channels];
        float* out = out0_p + plane * area;
        const bool live = in2_p[plane / channels] > 0;
        for (long i = 0; i < area; i++) out[i] = live && in[i] + bias > 0 ? in[i] + bias : 0;
    }
"""
# in0: the result, in1: its gradient, in2: [N] images that count.
# out0: gradient of the map, out1: [N, D] its sums.
_BACKWARD = """
    const long channels = in0_shape1, area = (long)in0_shape2 * in0_shape3;
    #pragma omp parallel for
    for (long plane = 0; plane < in0_shape0 * channels; plane++) {
        const float *y = in0_p + plane * area, *dy = in1_p + plane * area;
        float *dx = out0_p + plane * area, sum = 0;
        const bool live = in2_p[plane / channels] > 0;
        for (long i = 0; live && i < area; i++) sum += dx[i] = y[i] > 0 ? dy[i] : 0;
        if (!live) std::fill(dx, dx + area, 0.f);
        out1_p[plane] = sum;
    }
"""


class _BiasedRelu(jt.Function):
    """The operator with gradients to map and bias."""

    def execute(self, x: jt.Var, bias: jt.Var, live: jt.Var) -> jt.Var:
        y = jt.code(x.shape, "float32", [x, bias, live], cpu_src=_FORWARD)
        self.saved = y, live
        return y

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        y, live = self.saved
        dx, sums = jt.code(
            [y.shape, y.shape[:2]], ["float32", "float32"], [y, dy, live],
            cpu_header="#include <algorithm>", cpu_src=_BACKWARD,
        )  # fmt: skip
        return dx, sums.sum(0), None


def biased_relu(x: jt.Var, bias: jt.Var, live: jt.Var | None = None) -> jt.Var:
    """max(x + bias, 0).

    Args:
        x: [N, D, H, W] float32.
        bias: [D]
        live: [N] see `jld.ops.conv2d`; on the CPU the others' results are 0.
    """
    if live is None or jt.flags.use_cuda:
        return jt.nn.relu(x + bias.broadcast(x, [0, 2, 3]))
    return _BiasedRelu.apply(x, bias, live)
