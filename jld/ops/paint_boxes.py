"""Rectangles painted over each other on a map of cells, in their order."""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

_SHARED = """
// What a cell shows: a rectangle replaces what is there; one without a cell of its own keeps the larger
// value at its corner.
JLD_FUNCTION float painted_cell(const int* boxes, const float* values, int count, int column, int row,
                                int width, int height) {
    float shown = 0;
    for (int k = 0; k < count; k++) {
        const int* box = boxes + 4 * k;
        if (values[k] < 0) continue;
        if (box[2] > box[0] && box[3] > box[1]) {
            if (column >= box[0] && column < box[2] && row >= box[1] && row < box[3]) shown = values[k];
        } else {
            const int left = box[0] < width ? box[0] : width - 1, top = box[1] < height ? box[1] : height - 1;
            if (column == left && row == top && values[k] > shown) shown = values[k];
        }
    }
    return shown;
}
"""
_CPU_SOURCE = """
    const int height = out0_shape1, width = out0_shape2, count = in0_shape1;
    #pragma omp parallel for
    for (int line = 0; line < (int)(out0_shape0 * height); line++) {
        const long first = (long)(line / height) * count;
        for (int x = 0; x < width; x++)
            out0_p[(long)line * width + x] = painted_cell(
                in0_p + 4 * first, in1_p + first, count, x, line % height, width, height);
    }
"""
_CUDA_HEADER = """
__global__ void paint_kernel(const int* boxes, const float* values, int images, int count, int height,
                             int width, float* out) {
    const long task = blockIdx.x * (long)blockDim.x + threadIdx.x, cells = (long)height * width;
    if (task >= images * cells) return;
    const long image = task / cells;
    const int cell = task % cells;
    out[task] = painted_cell(boxes + 4 * image * count, values + image * count, count, cell % width,
                             cell / width, width, height);
}
"""
_CUDA_SOURCE = """
    paint_kernel<<<(out0->num + 255) / 256, 256>>>(in0_p, in1_p, (int)out0_shape0, (int)in0_shape1,
        (int)out0_shape1, (int)out0_shape2, out0_p);
"""
_KERNEL = shared_headers(_SHARED, _CUDA_HEADER) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}


def paint_boxes(boxes: jt.Var, values: jt.Var, height: int, width: int) -> jt.Var:
    """A map on which every box has left its value.

    Args:
        boxes: [N, K, 4] int32 first column, first row, end column, end row, the ends not included. A box
            without a cell marks the one at its first column and row, with the larger of the two values.
        values: [N, K] 0 or more; below 0: the box does not take part.
        height, width: of the map.
    Returns:
        [N, height, width] float32: the value of the last box over a cell, 0 without one; no gradient.
    """
    return jt.code([boxes.shape[0], height, width], "float32", [boxes, values], **_KERNEL)
