"""What a mask head learns: the mask of an object in the frame of a RoI, as zeros and ones on the device.

From polygons they are filled in a frame of size x size pixels that the RoI is stretched to, by pycocotools'
rule, as detectron2 does. From bitmaps they are resampled (RoIAlign) and cut at one half, as mmDetection does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jld.ops.headers import shared_headers
from jld.ops.polygon_edges import BEGIN_EXACT, EDGE_FUNCTIONS, END_EXACT
from jld.toolchain import jittor as jt

LARGEST_SIZE = 64
"""Pixels along a side of a frame: a column of it is one 64-bit word."""


@dataclass(frozen=True)
class PolygonTargets:
    """The polygons of N images with G object slots each, see `jld.data.instance_masks.Polygons`.

    Attributes:
        vertices: [N, V, 2] x, y in px of the network input.
        part_starts: [N, Q + 1] int32, the rows of `vertices` where polygons begin.
        object_starts: [N, G + 1] int32, the polygons where objects begin.
    """

    vertices: jt.Var
    part_starts: jt.Var
    object_starts: jt.Var


@dataclass(frozen=True)
class BitmapTargets:
    """Masks of N padded images with G object slots each.

    Attributes:
        bitmaps: [N, G, H, W] uint8 zeros and ones, px of the network input.
    """

    bitmaps: jt.Var


MaskTargets = PolygonTargets | BitmapTargets


class HasMasks(Protocol):
    """Ground truth of a batch, see `jld.models.targets.Targets`."""

    @property
    def masks(self) -> MaskTargets | None: ...


# A column of the frame is a word whose bit y is row y.
_POLYGON_FUNCTIONS = (
    BEGIN_EXACT
    + EDGE_FUNCTIONS
    + """
JLD_FUNCTION void pass_edge(int x0, int y0, int x1, int y1, int size, unsigned long long* columns) {
    int last = last_column(x0, x1);
    last = last < size ? last : size - 1;
    for (int x = first_column(x0, x1); x <= last; x++) {
        const int row = turning_row(x0, y0, x1, y1, x);
        if (row >= size) continue;
#ifdef __CUDA_ARCH__
        atomicXor(columns + x, ~0ull << row);
#else
        columns[x] ^= ~0ull << row;
#endif
    }
}
JLD_FUNCTION void pass_vertices(const float* vertices, int first, int last, int row, const float* roi,
                                int size, unsigned long long* columns) {
    const int next = row + 1 < last ? row + 1 : first;
    const double width = roi[2] - roi[0], height = roi[3] - roi[1];
    const double along = over(size, width > .1 ? width : .1), down = over(size, height > .1 ? height : .1);
    int corner[4];
    for (int end = 0; end < 2; end++) {
        const float* vertex = vertices + 2 * (end ? next : row);
        corner[2 * end] = fifth_of(times(plus(vertex[0], -roi[0]), along));
        corner[2 * end + 1] = fifth_of(times(plus(vertex[1], -roi[1]), down));
    }
    pass_edge(corner[0], corner[1], corner[2], corner[3], size, columns);
}
"""
    + END_EXACT
)
_POLYGON_CPU = """
    const int num_rois = in3_shape1, num_objects = in2_shape1 - 1, size = out0_shape2;
    #pragma omp parallel for schedule(dynamic, 8)
    for (long index = 0; index < (long)in3_shape0 * num_rois; index++) {
        const long image = index / num_rois;
        const int object = in4_p[index];
        const float *roi = in3_p + 4 * index, *vertices = in0_p + image * in0_shape1 * 2;
        const int *parts = in1_p + image * in1_shape1, *objects = in2_p + image * in2_shape1;
        unsigned long long filled[64] = {0}, columns[64];
        const bool is_real = object >= 0 && object < num_objects;
        for (int part = is_real ? objects[object] : 0; part < (is_real ? objects[object + 1] : 0); part++) {
            std::memset(columns, 0, sizeof(columns));
            for (int row = parts[part]; row < parts[part + 1]; row++)
                pass_vertices(vertices, parts[part], parts[part + 1], row, roi, size, columns);
            for (int x = 0; x < size; x++) filled[x] |= columns[x];
        }
        float* target = out0_p + index * size * size;
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) target[y * size + x] = filled[x] >> y & 1;
    }
"""
_POLYGON_KERNEL = """
// One block for each RoI, its threads take the edges in turn.
__global__ void polygon_targets_kernel(const float* all_vertices, const int* all_parts,
                                       const int* all_objects, const float* rois, const int* chosen,
                                       float* targets, int num_rois, int num_vertices, int part_row,
                                       int object_row, int size) {
    __shared__ unsigned long long filled[64], columns[64];
    const long index = blockIdx.x, image = index / num_rois;
    const int object = chosen[index];
    const float* vertices = all_vertices + image * num_vertices * 2;
    const int *parts = all_parts + image * part_row, *objects = all_objects + image * object_row;
    const bool is_real = object >= 0 && object < object_row - 1;
    if (threadIdx.x < 64) filled[threadIdx.x] = 0;
    for (int part = is_real ? objects[object] : 0; part < (is_real ? objects[object + 1] : 0); part++) {
        if (threadIdx.x < 64) columns[threadIdx.x] = 0;
        __syncthreads();
        for (int row = parts[part] + threadIdx.x; row < parts[part + 1]; row += blockDim.x)
            pass_vertices(vertices, parts[part], parts[part + 1], row, rois + 4 * index, size, columns);
        __syncthreads();
        if (threadIdx.x < 64) filled[threadIdx.x] |= columns[threadIdx.x];
    }
    __syncthreads();
    for (int pixel = threadIdx.x; pixel < size * size; pixel += blockDim.x)
        targets[index * size * size + pixel] = filled[pixel % size] >> (pixel / size) & 1;
}
"""
_POLYGON_CUDA = """
    if (out0->num == 0) return;
    polygon_targets_kernel<<<in3_shape0 * in3_shape1, 128>>>(
        in0_p, in1_p, in2_p, in3_p, in4_p, out0_p, (int)in3_shape1, (int)in0_shape1, (int)in1_shape1,
        (int)in2_shape1, (int)out0_shape2);
"""

# The mean of bilinear samples in a bin, as many along a side as it has pixels, with pixel centres at whole
# numbers; samples further than one pixel outside of the bitmap are 0.
_BITMAP_FUNCTIONS = """
JLD_FUNCTION float bilinear(const unsigned char* bitmap, int height, int width, float y, float x) {
    if (y < -1.f || y > height || x < -1.f || x > width) return 0;
    y = y < 0 ? 0 : y;
    x = x < 0 ? 0 : x;
    int top = (int)y, left = (int)x, bottom = top + 1, right = left + 1;
    if (top >= height - 1) { top = bottom = height - 1; y = top; }
    if (left >= width - 1) { left = right = width - 1; x = left; }
    const float down = y - top, along = x - left, up = 1.f - down, back = 1.f - along;
    const unsigned char *upper = bitmap + (long)top * width, *lower = bitmap + (long)bottom * width;
    return up * back * upper[left] + up * along * upper[right] + down * back * lower[left]
        + down * along * lower[right];
}
JLD_FUNCTION float bin_mean(const unsigned char* bitmap, int height, int width, const float* roi, int size,
                            int row, int column) {
    const float left = roi[0] - .5f, top = roi[1] - .5f;
    const float roi_width = roi[2] - .5f - left, roi_height = roi[3] - .5f - top;
    const float bin_width = roi_width / size, bin_height = roi_height / size;
    const int across = (int)ceilf(roi_width / size), down = (int)ceilf(roi_height / size);
    float sum = 0;
    for (int i = 0; i < down; i++) {
        const float y = top + row * bin_height + (i + .5f) * bin_height / down;
        for (int j = 0; j < across; j++) {
            const float x = left + column * bin_width + (j + .5f) * bin_width / across;
            sum += bilinear(bitmap, height, width, y, x);
        }
    }
    const int count = down * across;
    return count > 0 ? sum / count : 0;
}
"""
_BITMAP_CPU = """
    const int num_rois = in1_shape1, size = out0_shape2, height = in0_shape2, width = in0_shape3;
    #pragma omp parallel for schedule(dynamic, 8)
    for (long index = 0; index < (long)in1_shape0 * num_rois; index++) {
        const int object = in2_p[index];
        float* target = out0_p + index * size * size;
        const bool is_real = object >= 0 && object < in0_shape1;
        const unsigned char* bitmap =
            in0_p + (index / num_rois * in0_shape1 + (is_real ? object : 0)) * (long)height * width;
        for (int pixel = 0; pixel < size * size; pixel++)
            target[pixel] = is_real && bin_mean(bitmap, height, width, in1_p + 4 * index, size, pixel / size,
                                                pixel % size) >= .5f;
    }
"""
_BITMAP_KERNEL = """
__global__ void bitmap_targets_kernel(const unsigned char* bitmaps, const float* rois, const int* chosen,
                                      float* targets, int num_rois, int num_objects, int height, int width,
                                      int size) {
    const long index = blockIdx.x;
    const int object = chosen[index];
    const bool is_real = object >= 0 && object < num_objects;
    const unsigned char* bitmap =
        bitmaps + (index / num_rois * num_objects + (is_real ? object : 0)) * (long)height * width;
    for (int pixel = threadIdx.x; pixel < size * size; pixel += blockDim.x)
        targets[index * size * size + pixel] = is_real
            && bin_mean(bitmap, height, width, rois + 4 * index, size, pixel / size, pixel % size) >= .5f;
}
"""
_BITMAP_CUDA = """
    if (out0->num == 0) return;
    bitmap_targets_kernel<<<in1_shape0 * in1_shape1, 128>>>(
        in0_p, in1_p, in2_p, out0_p, (int)in1_shape1, (int)in0_shape1, (int)in0_shape2, (int)in0_shape3,
        (int)out0_shape2);
"""


def mask_targets(targets: HasMasks, rois: jt.Var, gt_index: jt.Var, size: int) -> jt.Var:
    """The mask of one object for every RoI, stretched to size x size pixels.

    Args:
        targets: ground truth with `masks`.
        rois: [N, R, 4] corners in px of the network input; mmDetection clips them to the padded image first.
        gt_index: [N, R] int32, the object of each RoI; outside of [0, G): none, which gives zeros.
        size: S, at most 64.
    Returns:
        [N, R, S, S] float32 zeros and ones (row, column), without gradient.
    Raises:
        ValueError: there are no masks, shapes that do not fit, or a size that is out of range.
    Source: from polygons detectron2, structures/masks.py, with the filling of pycocotools; from bitmaps
        mmDetection 2, core/mask/structures.py: RoIAlign with adaptive sampling, cut at 0.5.
    Differs: a RoI of less than 0.1 px counts as one of 0.1 px where polygons are filled, as in detectron2;
        mmDetection takes one of less than 1 px as one of 1 px.
    """
    masks = targets.masks
    if masks is None:
        raise ValueError("the ground truth holds no masks: set with_masks=True in the dataset.")
    if not 1 <= size <= LARGEST_SIZE:
        raise ValueError(f"mask targets have 1 to {LARGEST_SIZE} pixels along a side, not {size}.")
    first = masks.vertices if isinstance(masks, PolygonTargets) else masks.bitmaps
    num_images, num_rois = gt_index.shape
    if tuple(rois.shape) != (num_images, num_rois, 4) or first.shape[0] != num_images:
        raise ValueError(
            f"rois {tuple(rois.shape)} and gt_index {tuple(gt_index.shape)} do not fit each other and the "
            f"masks of {first.shape[0]} images; expected are [N, R, 4] and [N, R]."
        )
    frames = [rois.detach().float32(), gt_index.int32()]
    shape = (num_images, num_rois, size, size)
    if isinstance(masks, PolygonTargets):
        return jt.code(
            shape, "float32", [masks.vertices, masks.part_starts, masks.object_starts, *frames],
            **shared_headers(_POLYGON_FUNCTIONS, _POLYGON_KERNEL),
            cpu_src=_POLYGON_CPU, cuda_src=_POLYGON_CUDA,
        ).stop_grad()  # fmt: skip
    return jt.code(
        shape, "float32", [masks.bitmaps, *frames],
        **shared_headers(_BITMAP_FUNCTIONS, _BITMAP_KERNEL),
        cpu_src=_BITMAP_CPU, cuda_src=_BITMAP_CUDA,
    ).stop_grad()  # fmt: skip
