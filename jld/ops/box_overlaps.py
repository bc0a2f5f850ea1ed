"""Overlaps of predicted with target boxes, value and gradient of each pair in one pass.

The formulas are those of `jld.boxes.overlaps`; as a chain of small operators their gradient costs many
kernels.
"""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

MODES = ("iou", "giou")

_SHARED = """
// Overlap of boxes a and b, its gradient with respect to a in `slope`. Of equal coordinates a's counts.
JLD_FUNCTION float box_overlap(const float* a, const float* b, float eps, bool is_giou, float* slope) {
    float length[2], shared[2], outer[2];
    for (int k = 0; k < 2; k++) {
        length[k] = a[k + 2] - a[k];
        shared[k] = (a[k + 2] <= b[k + 2] ? a[k + 2] : b[k + 2]) - (a[k] >= b[k] ? a[k] : b[k]);
        outer[k] = (a[k + 2] >= b[k + 2] ? a[k + 2] : b[k + 2]) - (a[k] <= b[k] ? a[k] : b[k]);
    }
    const float width = shared[0] > 0 ? shared[0] : 0, height = shared[1] > 0 ? shared[1] : 0;
    const float inner = width * height;
    const float both = length[0] * length[1] + (b[2] - b[0]) * (b[3] - b[1]) - inner;
    const float base = both > eps ? both : eps, frame = outer[0] * outer[1];
    const float around = frame > eps ? frame : eps;
    // Derivatives of the result by the shared area, by both areas together and by the enclosing one.
    const float by_both = both >= eps ? (is_giou ? 1 / around : 0.f) - inner / (base * base) : 0;
    const float by_inner = 1 / base - by_both;
    const float by_frame = is_giou && frame >= eps ? -base / (around * around) : 0;
    for (int k = 0; k < 2; k++) {
        const float across = shared[1 - k] > 0 ? shared[1 - k] : 0;
        const float grown = by_both * length[1 - k], wider = by_frame * outer[1 - k];
        const float overlap = shared[k] >= 0 ? by_inner * across : 0;
        slope[k] = -grown - (a[k] >= b[k] ? overlap : 0) - (a[k] <= b[k] ? wider : 0);
        slope[k + 2] = grown + (a[k + 2] <= b[k + 2] ? overlap : 0) + (a[k + 2] >= b[k + 2] ? wider : 0);
    }
    return inner / base - (is_giou ? (around - base) / around : 0.f);
}
"""
_CPU_SOURCE = """
    const float eps = data["eps"];
    const bool is_giou = data["is_giou"] != 0;
    #pragma omp parallel for
    for (long i = 0; i < out0->num; i++)
        out0_p[i] = box_overlap(in0_p + 4 * i, in1_p + 4 * i, eps, is_giou, out1_p + 4 * i);
"""
_CUDA_HEADER = """
__global__ void box_overlap_kernel(const float* boxes, const float* targets, long pairs, float eps,
                                   bool is_giou, float* values, float* slopes) {
    const long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < pairs) values[i] = box_overlap(boxes + 4 * i, targets + 4 * i, eps, is_giou, slopes + 4 * i);
}
"""
_CUDA_SOURCE = """
    const long pairs = out0->num;
    if (pairs == 0) return;
    box_overlap_kernel<<<(pairs + 255) / 256, 256>>>(
        in0_p, in1_p, pairs, (float)data["eps"], data["is_giou"] != 0, out0_p, out1_p);
"""
_KERNEL = shared_headers(_SHARED, _CUDA_HEADER) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}


class _BoxOverlaps(jt.Function):
    """[R, 4] boxes and [R, 4] targets to [R], with the gradient to the boxes."""

    def execute(self, boxes: jt.Var, targets: jt.Var, settings: dict[str, float]) -> jt.Var:
        values, self.slope = jt.code(
            (boxes.shape[:1], boxes.shape), ("float32", "float32"), [boxes, targets], data=settings, **_KERNEL
        )
        return values

    def grad(self, values_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        return values_grad.unsqueeze(1) * self.slope, None, None


def box_overlaps(boxes: jt.Var, targets: jt.Var, mode: str = "iou", eps: float = 1e-6) -> jt.Var:
    """`jld.boxes.overlaps.aligned_overlaps` of predicted boxes, with its gradient to them.

    Args:
        boxes: [..., 4] corners.
        targets: [..., 4] of the same shape; no gradient flows into them.
        mode: one of `MODES`.
        eps: floor of every divisor.
    Returns:
        [...]
    Raises:
        ValueError: unknown mode, or the shapes differ.
    """
    if mode not in MODES:
        raise ValueError(f"unknown overlap mode {mode!r}, those with a gradient are {', '.join(MODES)}.")
    shape = boxes.shape
    if tuple(targets.shape) != tuple(shape):
        raise ValueError(f"boxes have shape {tuple(shape)} and their targets {tuple(targets.shape)}.")
    rows = [x.float32().reshape((-1, 4)) for x in (boxes, targets.detach())]
    settings = {"eps": eps, "is_giou": float(mode == "giou")}
    return _BoxOverlaps.apply(*rows, settings).reshape(shape[:-1] or (1,))
