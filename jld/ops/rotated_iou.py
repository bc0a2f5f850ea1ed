"""Exact overlap of rotated boxes, pairwise and aligned, on CPU and CUDA.

The slow reference, which shares no arithmetic with it, is `jld.boxes.rotated.polygon_iou`.
"""

from __future__ import annotations

import numpy as np

from jld.errors import one_of
from jld.ops.rotated_geometry import cpu_header, cuda_header
from jld.toolchain import jittor as jt

MODES = ("iou", "iof")

_CPU_HEADER = cpu_header()
_CUDA_HEADER = cuda_header("""
// One thread per pair; `row_stride` 0 compares row i with row i, otherwise all pairs of `columns` columns.
__global__ void rotated_overlap_kernel(const float* first, const float* second, float* out, long pairs,
                                       long columns, bool aligned, bool of_first) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= pairs) return;
    const float* a = first + 5 * (aligned ? i : i / columns);
    const float* b = second + 5 * (aligned ? i : i % columns);
    out[i] = rotated_far(a, b) ? 0.f : rotated_overlap(rotated_box(a), rotated_box(b), of_first);
}
""")
_CUDA_LAUNCH = """
    const long pairs = out0->num;
    rotated_overlap_kernel<<<(pairs + 255) / 256, 256>>>(
        in0_p, in1_p, out0_p, pairs, in1_shape0, %s, data["of_first"] != 0);
"""
_PAIRWISE = {
    "cpu_header": _CPU_HEADER,
    "cpu_src": """
    const bool of_first = data["of_first"] != 0;
    const std::vector<RotatedBox> first = rotated_boxes(in0_p, in0_shape0);
    const std::vector<RotatedBox> second = rotated_boxes(in1_p, in1_shape0);
    const std::vector<RotatedGroup> groups = rotated_groups(second);
    const long tasks = (long)first.size() * groups.size();
    #pragma omp parallel for schedule(dynamic, 64)
    for (long task = 0; task < tasks; task++) {
        const RotatedBox& box = first[task / groups.size()];
        const RotatedGroup& group = groups[task % groups.size()];
        float* out = out0_p + task / groups.size() * second.size() + group.start;
        const bool near = rotated_near(box, group);
        for (int i = 0; i < group.count; i++)
            out[i] = near ? rotated_overlap(box, second[group.start + i], of_first) : 0.f;
    }
""",
    "cuda_header": _CUDA_HEADER,
    "cuda_src": _CUDA_LAUNCH % "false",
}
_ALIGNED = {
    "cpu_header": _CPU_HEADER,
    "cpu_src": """
    const bool of_first = data["of_first"] != 0;
    #pragma omp parallel for
    for (long i = 0; i < in0_shape0; i++)
        out0_p[i] = rotated_overlap(rotated_box(in0_p + 5 * i), rotated_box(in1_p + 5 * i), of_first);
""",
    "cuda_header": _CUDA_HEADER,
    "cuda_src": _CUDA_LAUNCH % "true",
}


def pairwise_rotated_iou(first: jt.Var, second: jt.Var, mode: str = "iou") -> jt.Var:
    """Overlap of every rotated box of one set with every one of another; no gradient.

    Args:
        first: [..., A, 5] centre x, y, width, height in px, angle in radians, any angle.
        second: [B, 5] likewise.
        mode: `iou`: shared over joint area; `iof`: shared area over that of `first`.
    Returns:
        [..., A, B] in [0, 1], 0 where a box has no area.
    Raises:
        ConfigError: unknown mode.
    """
    shape = [*first.shape[:-1], second.shape[0]]
    flat = first.reshape(-1, 5)
    return _overlaps([flat.shape[0], second.shape[0]], flat, second, mode, _PAIRWISE).reshape(shape)


def aligned_rotated_iou(first: jt.Var, second: jt.Var, mode: str = "iou") -> jt.Var:
    """Overlap of rotated boxes that broadcast against each other; no gradient.

    Args:
        first: [..., 5] as for `pairwise_rotated_iou`.
        second: [..., 5], of a shape that broadcasts with `first`.
        mode: likewise.
    Returns:
        [...] in [0, 1].
    Raises:
        ConfigError: unknown mode.
    """
    shape = list(np.broadcast_shapes(tuple(first.shape), tuple(second.shape)))
    first, second = (boxes.broadcast(shape).reshape(-1, 5) for boxes in (first, second))
    return _overlaps([first.shape[0]], first, second, mode, _ALIGNED).reshape(shape[:-1])


def _overlaps(shape: list[int], first: jt.Var, second: jt.Var, mode: str, kernel: dict[str, str]) -> jt.Var:
    one_of(mode, MODES, f"unknown overlap mode {mode!r}")
    if 0 in shape:
        return jt.zeros(shape)
    inputs = [first.float32(), second.float32()]
    with jt.no_grad():
        return jt.code(shape, "float32", inputs, data={"of_first": float(mode == "iof")}, **kernel)
