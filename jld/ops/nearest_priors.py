"""The priors of every level nearest to the centres of boxes, without a look at the others.

On a regular grid the k cells nearest to a point lie within the k nearest columns and the k nearest rows: a
cell of any other column has k cells of its own row before it. Those columns are neighbours, so they follow
from the point by arithmetic, shifted into the valid part of the level near and beyond its edges.
"""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

# A row of the grid: first prior, cells per row, valid columns, valid rows, px per cell.
_SHARED = """
struct Window { int first, columns, left, top, width, height, stride; double x, y; };

// First of the `count` of `valid` cells in a row that are nearest to a coordinate.
JLD_FUNCTION int nearest_start(float coordinate, float origin, int stride, int count, int valid) {
    const double start = ceil(((double)coordinate - origin) / stride - 0.5 * count);
    return start > 0 ? (start < valid - count ? (int)start : valid - count) : 0;
}

JLD_FUNCTION Window nearest_window(const int* level, const float* centers, float x, float y, int count) {
    const float* origin = centers + 2 * level[0];
    const int width = count < level[2] ? count : level[2], height = count < level[3] ? count : level[3];
    return {level[0], level[1], nearest_start(x, origin[0], level[4], width, level[2]),
            nearest_start(y, origin[1], level[4], height, level[3]), width, height, level[4],
            (double)origin[0] - x, (double)origin[1] - y};
}

// Orders the priors of a window by distance and equally distant ones by number, which is the lower half.
JLD_FUNCTION unsigned long long nearest_key(const Window& window, int i, int per_cell, const float* late) {
    const int cell = i / per_cell;
    const int row = window.top + cell / window.width, column = window.left + cell % window.width;
    const unsigned prior = window.first + (row * window.columns + column) * per_cell + i % per_cell;
    // From the cell, because the centres of its priors differ by rounding. Double precision holds the squares
    // of floats exactly, so the sum does not depend on which operations a compiler fuses.
    const float dx = column * window.stride + window.x, dy = row * window.stride + window.y;
    const float distance = late && late[prior] > 0 ? 1e16f : (float)((double)dx * dx + (double)dy * dy);
    unsigned bits;
    memcpy(&bits, &distance, sizeof bits);  // floats of 0 and above order like their bits
    return (unsigned long long)bits << 32 | prior;
}

JLD_FUNCTION float nearest_center(const float* box, int numbers, int axis) {
    return numbers == 4 ? (box[axis] + box[axis + 2]) * 0.5f : box[axis];
}
"""
_CPU_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, numbers = in1_shape2, levels = in3_shape1;
    const int topk = data["topk"], per_cell = data["per_cell"], count = data["count"];
    #pragma omp parallel for
    for (int slot = 0; slot < images * slots; slot++) {
        const int image = slot / slots;
        int* index = out0_p + (long)slot * levels * topk;
        float* mask = out1_p + (long)slot * levels * topk;
        std::fill(index, index + levels * topk, 0);
        std::fill(mask, mask + levels * topk, 0.f);
        if (in2_p[slot] <= 0) continue;
        const float* box = in1_p + (long)slot * numbers;
        const float x = nearest_center(box, numbers, 0), y = nearest_center(box, numbers, 1);
        const float* late = data["has_late"] ? in4_p + (long)image * in0_shape1 : nullptr;
        std::vector<unsigned long long> keys;
        for (int level = 0; level < levels; level++) {
            const Window window = nearest_window(in3_p + 5 * (image * levels + level), in0_p, x, y, count);
            keys.resize(window.width * window.height * per_cell);
            for (int i = 0; i < (int)keys.size(); i++) keys[i] = nearest_key(window, i, per_cell, late);
            const int found = std::min(topk, (int)keys.size());
            std::partial_sort(keys.begin(), keys.begin() + found, keys.end());
            for (int k = 0; k < found; k++) {
                index[level * topk + k] = (int)(unsigned)keys[k];
                mask[level * topk + k] = 1;
            }
        }
    }
"""
_CUDA_HEADER = """
// One warp for each box.
__global__ void nearest_kernel(const float* centers, const float* boxes, const float* slot_mask,
    const int* grid, const float* all_late, int images, int slots, int numbers, int levels, int priors,
    int topk, int per_cell, int count, bool has_late, int* index, float* mask) {
    const int slot = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (slot >= images * slots) return;
    const int image = slot / slots;
    const float* late = has_late ? all_late + (long)image * priors : nullptr;
    const float* box = boxes + (long)slot * numbers;
    const float x = nearest_center(box, numbers, 0), y = nearest_center(box, numbers, 1);
    for (int level = 0; level < levels; level++) {
        const Window window = nearest_window(grid + 5 * (image * levels + level), centers, x, y, count);
        const int size = slot_mask[slot] > 0 ? window.width * window.height * per_cell : 0;
        unsigned long long next = 0;  // the smallest key that is not picked yet
        for (int k = 0; k < topk; k++) {
            unsigned long long best = ~0ull;
            for (int i = lane; k < size && i < size; i += 32) {
                const unsigned long long key = nearest_key(window, i, per_cell, late);
                if (key >= next && key < best) best = key;
            }
            for (int step = 16; step > 0; step /= 2) {
                const unsigned long long other = __shfl_xor_sync(0xffffffffu, best, step);
                best = other < best ? other : best;
            }
            next = best + 1;
            if (lane > 0) continue;
            const long place = ((long)slot * levels + level) * topk + k;
            index[place] = k < size ? (int)(unsigned)best : 0;
            mask[place] = k < size;
        }
    }
}
"""
_CUDA_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1;
    nearest_kernel<<<(images * slots + 3) / 4, 128>>>(
        in0_p, in1_p, in2_p, in3_p, in4_p, images, slots, (int)in1_shape2, (int)in3_shape1, (int)in0_shape1,
        (int)data["topk"], (int)data["per_cell"], (int)data["count"], data["has_late"] != 0, out0_p, out1_p);
"""
_KERNEL = shared_headers(_SHARED, _CUDA_HEADER) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}
# More cells than an axis has.
_ALL = 2**20


def nearest_priors(
    centers: jt.Var,
    boxes: jt.Var,
    slot_mask: jt.Var,
    grid: jt.Var,
    *,
    topk: int,
    num_per_cell: int,
    late: jt.Var | None = None,
) -> tuple[jt.Var, jt.Var]:
    """The priors of every level nearest to each box's centre, equally distant ones by their number.

    Args:
        centers: [1, P, 2] of the priors, in px; those of one cell share it.
        boxes: [N, G, 4] corners or [N, G, 5] rotated boxes, in px.
        slot_mask: [N, G] 1 for real boxes.
        grid: [N, L, 5] int32 for every image and level: number of the first prior, cells in a row of the
            map, columns and rows that may be taken, px per cell.
        topk: priors per level.
        num_per_cell: A.
        late: [N, P] 1 for priors that come after all others, or None.
    Returns:
        index [N, G, L * topk] int32 and mask [N, G, L * topk]; both 0 in empty slots and where a level has
        fewer than `topk` priors.
    """
    n, g = slot_mask.shape
    shape = [n, g, grid.shape[1] * topk]
    # Late priors may fill the nearest columns and rows.
    count = -(-topk // num_per_cell) if late is None else _ALL
    settings = {"topk": topk, "per_cell": num_per_cell, "count": count, "has_late": float(late is not None)}
    return jt.code(
        [shape, shape], ["int32", "float32"],
        [centers, boxes, slot_mask, grid, slot_mask if late is None else late],
        data=settings, **_KERNEL,
    )  # fmt: skip
