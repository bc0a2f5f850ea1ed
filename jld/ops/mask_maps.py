"""The masks of all objects on the cells of a feature map, as zeros and ones on the device."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from jld.ops.headers import shared_headers
from jld.ops.mask_targets import BitmapTargets, MaskTargets
from jld.ops.polygon_edges import BEGIN_EXACT, EDGE_FUNCTIONS, END_EXACT
from jld.toolchain import jittor as jt


class HasMasks(Protocol):
    """Ground truth of a batch, see `jld.models.targets.Targets`."""

    @property
    def masks(self) -> MaskTargets | None: ...

    @property
    def img_shapes(self) -> np.ndarray | None: ...


# One column of one object: bit 0 of a cell is the polygon at hand, bit 1 the union of those before.
_FUNCTIONS = (
    BEGIN_EXACT
    + EDGE_FUNCTIONS
    + """
JLD_FUNCTION void fill_column(const float* vertices, const int* parts, int first, int last, const int* rows,
                              int column, const int* limits, int height, int width, unsigned char* cells) {
    const int stop = column < limits[1] ? last : first;
    for (int y = 0; y < height; y++) cells[y * width] = 0;
    for (int part = first; part < stop; part++) {
        const int start = parts[part], end = parts[part + 1];
        for (int row = start; row < end; row++) {
            const float *a = vertices + 2 * row, *b = vertices + 2 * (row + 1 < end ? row + 1 : start);
            const int x0 = fifth_of(a[0]), x1 = fifth_of(b[0]);
            if (column < first_column(x0, x1) || column > last_column(x0, x1)) continue;
            const int turn = turning_row(x0, fifth_of(a[1]), x1, fifth_of(b[1]), column);
            for (int y = height - 1; y >= 0 && rows[y] >= turn; y--) cells[y * width] ^= 1;
        }
        for (int y = 0; y < height; y++) {
            const unsigned char cell = cells[y * width];
            cells[y * width] = (cell & 2) | (cell & 1) << 1;
        }
    }
    for (int y = 0; y < height; y++) cells[y * width] = rows[y] < limits[0] ? cells[y * width] >> 1 & 1 : 0;
}
"""
    + END_EXACT
)
_CPU_SOURCE = """
    const int num_objects = out0_shape1, height = out0_shape2, width = out0_shape3;
    #pragma omp parallel for schedule(dynamic, 1)
    for (long index = 0; index < (long)out0_shape0 * num_objects; index++) {
        const long image = index / num_objects;
        const int* objects = in2_p + image * in2_shape1 + index % num_objects;
        for (int x = 0; x < width; x++)
            fill_column(in0_p + image * in0_shape1 * 2, in1_p + image * in1_shape1, objects[0], objects[1],
                        in3_p, in4_p[x], in5_p + 2 * image, height, width,
                        out0_p + index * height * width + x);
    }
"""
_CUDA_KERNEL = """
// One block for each object, its threads take the columns in turn.
__global__ void mask_maps_kernel(const float* vertices, const int* parts, const int* objects, const int* rows,
                                 const int* columns, const int* limits, unsigned char* cells, int num_objects,
                                 int num_vertices, int part_row, int height, int width) {
    const long index = blockIdx.x, image = index / num_objects;
    const int* own = objects + image * (num_objects + 1) + index % num_objects;
    for (int x = threadIdx.x; x < width; x += blockDim.x)
        fill_column(vertices + image * num_vertices * 2, parts + image * part_row, own[0], own[1], rows,
                    columns[x], limits + 2 * image, height, width, cells + index * height * width + x);
}
"""
_CUDA_SOURCE = """
    if (out0->num == 0) return;
    mask_maps_kernel<<<out0_shape0 * out0_shape1, 128>>>(
        in0_p, in1_p, in2_p, in3_p, in4_p, in5_p, out0_p, (int)out0_shape1, (int)in0_shape1, (int)in1_shape1,
        (int)out0_shape2, (int)out0_shape3);
"""


def mask_maps(targets: HasMasks, image_size: tuple[int, int], height: int, width: int) -> jt.Var:
    """Whether the pixel at the upper left of every cell of a map belongs to an object, for every object.

    Args:
        targets: ground truth with `masks`; beyond `img_shapes` there is nothing, where they are given.
        image_size: (H, W) of the padded batch in px, which the map covers.
        height, width: cells of the map.
    Returns:
        [N, G, height, width] float32 zeros and ones, without gradient.
    Raises:
        ValueError: there are no masks, or sizes of another number of images.
    Source: what nearest-neighbour resizing makes of the bitmaps of a batch, polygons filled as pycocotools
        does; megvii-research/LGD reads masks so.
    """
    masks = targets.masks
    if masks is None:
        raise ValueError("the ground truth holds no masks: set with_masks=True in the dataset.")
    axes = zip((height, width), image_size, strict=True)
    rows, columns = (jt.array(pixels_of_cells(*axis)) for axis in axes)
    if isinstance(masks, BitmapTargets):
        n, g = masks.bitmaps.shape[:2]
        shape, places = [n, g, height, width], ["i0", "i1", "@e0(i2)", "@e1(i3)"]
        return masks.bitmaps.reindex(shape, places, extras=[rows, columns]).float32().stop_grad()
    num_images, num_starts = masks.object_starts.shape
    own = np.tile(image_size, (num_images, 1)) if targets.img_shapes is None else targets.img_shapes
    if len(own) != num_images:
        raise ValueError(f"{num_images} images with masks come with the sizes of {len(own)}.")
    limits = jt.array(np.ascontiguousarray(own, np.int32))
    cells = jt.code(
        (num_images, num_starts - 1, height, width), "uint8",
        [masks.vertices, masks.part_starts, masks.object_starts, rows, columns, limits],
        **shared_headers(_FUNCTIONS, _CUDA_KERNEL), cpu_src=_CPU_SOURCE, cuda_src=_CUDA_SOURCE,
    )  # fmt: skip
    return cells.float32().stop_grad()


def pixels_of_cells(cells: int, px: int) -> np.ndarray:
    """NumPy [cells] int32 the pixel at the start of each cell along one axis of `px` pixels."""
    places = np.arange(cells, dtype=np.float32) * np.float32(px / cells)
    return np.minimum(places.astype(np.int32), px - 1)
