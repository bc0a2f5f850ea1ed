"""Means of feature maps over rectangles of whole cells, with their gradient.

On the CPU a rectangle costs four reads of the channel's integral image, whatever its size, and its gradient
four entries of a table of differences, which two running sums turn into the map's. Both are in double
precision: in single precision the integral image of a large map would swallow small rectangles. CUDA adds the
cells up.
"""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

# A rectangle is left, top, right, bottom, the latter two included.
_SHARED = """
JLD_FUNCTION bool crop_covers(const int* crop, int column, int row) {
    return column >= crop[0] && row >= crop[1] && column <= crop[2] && row <= crop[3];
}

JLD_FUNCTION double crop_area(const int* crop) {
    return (double)(crop[2] - crop[0] + 1) * (crop[3] - crop[1] + 1);
}
"""
# in0 maps [N, D, H, W], in1 crops [N, K, 4]; out0 means [N, K, D].
_CPU_SOURCE = """
    const int images = in0_shape0, channels = in0_shape1, height = in0_shape2, width = in0_shape3;
    const int crops = in1_shape1, step = width + 1;
    #pragma omp parallel
    {
        std::vector<double> sums((size_t)(height + 1) * step, 0.0);
        #pragma omp for
        for (int plane = 0; plane < images * channels; plane++) {
            const float* map = in0_p + (long)plane * height * width;
            for (int y = 0; y < height; y++) {
                double row = 0;
                for (int x = 0; x < width; x++) {
                    row += map[y * width + x];
                    sums[(y + 1) * step + x + 1] = sums[y * step + x + 1] + row;
                }
            }
            const int image = plane / channels, channel = plane % channels;
            for (int k = image * crops; k < (image + 1) * crops; k++) {
                const int* crop = in1_p + 4 * k;
                const int top = crop[1] * step, bottom = (crop[3] + 1) * step, right = crop[2] + 1;
                const double sum = sums[bottom + right] - sums[top + right] - sums[bottom + crop[0]]
                                 + sums[top + crop[0]];
                out0_p[(long)k * channels + channel] = sum / crop_area(crop);
            }
        }
    }
"""
# in0 gradient of the means [N, K, D], in1 crops; out0 gradient of the maps.
_CPU_GRADIENT = """
    const int images = out0_shape0, channels = out0_shape1, height = out0_shape2, width = out0_shape3;
    const int crops = in1_shape1, step = width + 1;
    #pragma omp parallel
    {
        std::vector<double> changes((size_t)(height + 1) * step);
        #pragma omp for
        for (int plane = 0; plane < images * channels; plane++) {
            std::fill(changes.begin(), changes.end(), 0.0);
            const int image = plane / channels, channel = plane % channels;
            for (int k = image * crops; k < (image + 1) * crops; k++) {
                const int* crop = in1_p + 4 * k;
                const double share = in0_p[(long)k * channels + channel] / crop_area(crop);
                const int top = crop[1] * step, bottom = (crop[3] + 1) * step, right = crop[2] + 1;
                changes[top + crop[0]] += share, changes[top + right] -= share;
                changes[bottom + crop[0]] -= share, changes[bottom + right] += share;
            }
            float* map = out0_p + (long)plane * height * width;
            for (int y = 0; y < height; y++) {
                double row = 0;
                for (int x = 0; x < width; x++) {
                    row += changes[y * step + x];
                    if (y > 0) changes[y * step + x] = row + changes[(y - 1) * step + x];
                    else changes[x] = row;
                    map[y * width + x] = changes[y * step + x];
                }
            }
        }
    }
"""
_CUDA_HEADER = """
// One warp for each rectangle and channel.
__global__ void crop_means_kernel(const float* maps, const int* crops, float* means, long tasks, int count,
                                  int channels, int height, int width) {
    const long task = blockIdx.x * (long)(blockDim.x / 32) + threadIdx.x / 32;
    if (task >= tasks) return;
    const long slot = task / channels;
    const int* crop = crops + 4 * slot;
    const float* map = maps + (slot / count * channels + task % channels) * height * width;
    double sum = 0;
    for (int y = crop[1]; y <= crop[3]; y++)
        for (int x = crop[0] + (int)(threadIdx.x % 32); x <= crop[2]; x += 32) sum += map[y * width + x];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x % 32 == 0) means[task] = sum / crop_area(crop);
}

// One thread for each cell of each channel: the order of the sum is always that of the rectangles.
__global__ void crop_means_gradient_kernel(const float* gradient, const int* crops, float* maps, long tasks,
                                           int count, int channels, int height, int width) {
    const long task = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (task >= tasks) return;
    const int cells = height * width, cell = task % cells;
    const long plane = task / cells, image = plane / channels;
    double sum = 0;
    for (long k = image * count; k < (image + 1) * count; k++) {
        const int* crop = crops + 4 * k;
        if (!crop_covers(crop, cell % width, cell / width)) continue;
        sum += gradient[k * channels + plane % channels] / crop_area(crop);
    }
    maps[task] = sum;
}
"""
_CUDA_SOURCE = """
    const long tasks = (long)in1_shape0 * in1_shape1 * in0_shape1;
    crop_means_kernel<<<(tasks + 7) / 8, 256>>>(in0_p, in1_p, out0_p, tasks, (int)in1_shape1,
        (int)in0_shape1, (int)in0_shape2, (int)in0_shape3);
"""
_CUDA_GRADIENT = """
    const long tasks = out0->num;
    crop_means_gradient_kernel<<<(tasks + 255) / 256, 256>>>(in0_p, in1_p, out0_p, tasks, (int)in1_shape1,
        (int)out0_shape1, (int)out0_shape2, (int)out0_shape3);
"""
_HEADERS = shared_headers(_SHARED, _CUDA_HEADER)


class _CropMeans(jt.Function):
    def execute(self, maps: jt.Var, crops: jt.Var) -> jt.Var:
        self.shape, self.crops = maps.shape, crops
        shape = (crops.shape[0], crops.shape[1], maps.shape[1])
        sources = {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}
        return jt.code(shape, "float32", [maps, crops], **_HEADERS, **sources)

    def grad(self, means_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        sources = {"cpu_src": _CPU_GRADIENT, "cuda_src": _CUDA_GRADIENT}
        return jt.code(self.shape, "float32", [means_grad, self.crops], **_HEADERS, **sources), None


def crop_means(maps: jt.Var, crops: jt.Var) -> jt.Var:
    """Mean of every channel over rectangles of cells.

    Args:
        maps: [N, D, H, W].
        crops: [N, K, 4] int32 first column, first row, last column, last row, the last ones included; inside
            the map, and no last before its first.
    Returns:
        [N, K, D]
    """
    return _CropMeans.apply(maps.float32(), crops)
