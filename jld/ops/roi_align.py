"""Features of boxes, resampled to one size from the pyramid level that suits each box (RoIAlign).

One operator reads all levels, so that a box costs the same wherever it lies and no map is copied. The samples
of a bin are weights along two axes: on the CPU a row of bins is the weighted sum of whole rows of cells, and
only this sum is weighted once more along the other axis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from jld.toolchain import jittor as jt

MAX_LEVELS = 8
_SHARED = """
// Start, length and samples of the bins along one axis of a box, in cells. Plain IEEE operations: the number
// of samples is a rounded quotient, and the files around are compiled with fast mathematics.
struct Span { float start, bin; int samples; };
JLD_FUNCTION Span span_of(float low, float high, float stride, int bins, int ratio, bool aligned) {
    Span span;
    const float scale = JLD_DIV(1.f, stride), shift = aligned ? 0.5f : 0.f;
    span.start = JLD_SUB(JLD_MUL(low, scale), shift);
    float length = JLD_SUB(JLD_SUB(JLD_MUL(high, scale), shift), span.start);
    if (!aligned && length < 1.f) length = 1.f;
    span.bin = JLD_DIV(length, (float)bins);
    const int whole = (int)span.bin;
    span.samples = ratio > 0 ? ratio : (whole < span.bin ? whole + 1 : whole);
    return span;
}
JLD_FUNCTION float place_of(const Span& span, int bin, int sample) {
    const float step = JLD_DIV(JLD_MUL(JLD_ADD((float)sample, 0.5f), span.bin), (float)span.samples);
    return JLD_ADD(JLD_ADD(span.start, JLD_MUL((float)bin, span.bin)), step);
}
// The two cells that make a sample, and the share of the second; false further than a cell outside.
JLD_FUNCTION bool cells_of(float place, int cells, int* lower, int* upper, float* share) {
    if (place < -1.f || place > cells) return false;
    place = place > 0 ? place : 0.f;
    *lower = (int)place;
    if (*lower >= cells - 1) {
        *lower = *upper = cells - 1;
        *share = 0;
    } else {
        *upper = *lower + 1;
        *share = place - *lower;
    }
    return true;
}
"""
_CPU_HEADER = (
    """
#include <algorithm>
#include <vector>
#undef JLD_FUNCTION
#undef JLD_ADD
#undef JLD_SUB
#undef JLD_MUL
#undef JLD_DIV
#define JLD_FUNCTION static inline __attribute__((optimize("no-fast-math", "fp-contract=off")))
#define JLD_ADD(a, b) ((a) + (b))
#define JLD_SUB(a, b) ((a) - (b))
#define JLD_MUL(a, b) ((a) * (b))
#define JLD_DIV(a, b) ((a) / (b))
namespace jittor { namespace {
"""
    + _SHARED
    + """
// The cells of every bin along one axis with their weights: those of bin b are first[b] to first[b + 1].
struct Taps {
    std::vector<int> first, cell;
    std::vector<float> weight;
    void add(int place, float share, int since) {
        const int count = cell.size();
        for (int i = count - 1; i >= since && i >= count - 2; i--)
            if (cell[i] == place) {
                weight[i] += share;
                return;
            }
        cell.push_back(place);
        weight.push_back(share);
    }
    void fill(float low, float high, float stride, int bins, int ratio, bool aligned, int cells) {
        first.assign(1, 0), cell.clear(), weight.clear();
        const Span span = span_of(low, high, stride, bins, ratio, aligned);
        for (int b = 0; b < bins; b++) {
            const int since = cell.size();
            for (int s = 0; s < span.samples; s++) {
                int lower, upper;
                float share;
                if (!cells_of(place_of(span, b, s), cells, &lower, &upper, &share)) continue;
                add(lower, (1 - share) / span.samples, since);
                if (share > 0) add(upper, share / span.samples, since);
            }
            first.push_back(cell.size());
        }
    }
    // Where the row of all these cells starts, and its length. In a box turned around places fall.
    int left() const { return cell.empty() ? 0 : *std::min_element(cell.begin(), cell.end()); }
    int span() const { return cell.empty() ? 0 : *std::max_element(cell.begin(), cell.end()) - left() + 1; }
};
}}
"""
)
_CPU_SOURCE = """
    const int per_image = boxes_shape1, channels = in0_shape1;
    #pragma omp parallel
    {
        Taps rows, columns;
        std::vector<float> line;
        #pragma omp for schedule(dynamic, 4)
        for (long roi = 0; roi < (long)boxes_shape0 * per_image; roi++) {
            float* crop = out0_p + roi * channels * high * wide;
            std::fill(crop, crop + (long)channels * high * wide, 0.f);
            const int level = levels_p[roi];
            if (level < 0 || level >= num_levels) continue;
            const float* box = boxes_p + 4 * roi;
            const int height = heights[level], width = widths[level];
            rows.fill(box[1], box[3], strides[level], high, ratio, aligned, height);
            columns.fill(box[0], box[2], strides[level], wide, ratio, aligned, width);
            const int left = columns.left(), span = columns.span();
            line.resize(span);
            float* sums = line.data();
            const float* plane = maps[level] + roi / per_image * channels * height * width + left;
            for (int c = 0; c < channels; c++, plane += (long)height * width)
                for (int y = 0; y < high; y++, crop += wide) {
                    std::fill(sums, sums + span, 0.f);
                    for (int i = rows.first[y]; i < rows.first[y + 1]; i++) {
                        const float *cells = plane + (long)rows.cell[i] * width, weight = rows.weight[i];
                        for (int x = 0; x < span; x++) sums[x] += weight * cells[x];
                    }
                    for (int x = 0; x < wide; x++)
                        for (int j = columns.first[x]; j < columns.first[x + 1]; j++)
                            crop[x] += columns.weight[j] * sums[columns.cell[j] - left];
                }
        }
    }
"""
# Every thread has channels of its own, so that no two of them write to one cell.
_CPU_GRADIENT = """
    const int per_image = boxes_shape1, channels = crops_shape2, block = 16;
    const int blocks = (channels + block - 1) / block;
    #pragma omp parallel
    {
        Taps rows, columns;
        std::vector<float> line;
        #pragma omp for schedule(dynamic)
        for (int part = 0; part < boxes_shape0 * blocks; part++) {
            const int image = part / blocks, start = part % blocks * block;
            const int stop = std::min(start + block, channels);
            for (int level = 0; level < num_levels; level++) {
                const long cells = (long)heights[level] * widths[level];
                float* first = maps[level] + ((long)image * channels + start) * cells;
                std::fill(first, first + (stop - start) * cells, 0.f);
            }
            for (long roi = (long)image * per_image; roi < (long)(image + 1) * per_image; roi++) {
                const int level = levels_p[roi];
                if (level < 0 || level >= num_levels) continue;
                const float* box = boxes_p + 4 * roi;
                const int height = heights[level], width = widths[level];
                rows.fill(box[1], box[3], strides[level], high, ratio, aligned, height);
                columns.fill(box[0], box[2], strides[level], wide, ratio, aligned, width);
                const int left = columns.left(), span = columns.span();
                line.resize(span);
                float* values = line.data();
                float* plane = maps[level] + ((long)image * channels + start) * height * width + left;
                const float* crop = crops_p + (roi * channels + start) * high * wide;
                for (int c = start; c < stop; c++, plane += (long)height * width)
                    for (int y = 0; y < high; y++, crop += wide) {
                        std::fill(values, values + span, 0.f);
                        for (int x = 0; x < wide; x++)
                            for (int j = columns.first[x]; j < columns.first[x + 1]; j++)
                                values[columns.cell[j] - left] += columns.weight[j] * crop[x];
                        for (int i = rows.first[y]; i < rows.first[y + 1]; i++) {
                            float* cells = plane + (long)rows.cell[i] * width;
                            const float weight = rows.weight[i];
                            for (int x = 0; x < span; x++) cells[x] += weight * values[x];
                        }
                    }
            }
        }
    }
"""
_CUDA_HEADER = (
    """
#undef JLD_FUNCTION
#undef JLD_ADD
#undef JLD_SUB
#undef JLD_MUL
#undef JLD_DIV
#define JLD_FUNCTION static __device__ inline
#define JLD_ADD __fadd_rn
#define JLD_SUB __fsub_rn
#define JLD_MUL __fmul_rn
#define JLD_DIV __fdiv_rn
namespace jittor { namespace {
"""
    + _SHARED
    + """
__device__ inline void touch(const float* cell, float*, float weight, float* sum) { *sum += weight * *cell; }
__device__ inline void touch(float* cell, const float* value, float weight, float*) {
    atomicAdd(cell, weight * *value);
}
__device__ inline void finish(float* value, float sum) { *value = sum; }
__device__ inline void finish(const float*, float) {}
template <class Map>
struct Pyramid { Map* maps[8]; int heights[8], widths[8]; float strides[8]; int num_levels; };

// One thread for each number of a crop; `value` is read or written, as the map is constant or not.
template <class Map, class Value>
__global__ void roi_align_kernel(Pyramid<Map> pyramid, const float* boxes, const int* levels, Value* values,
                                 long count, int per_image, int channels, int high, int wide, int ratio,
                                 bool aligned) {
    const long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    const int x = i % wide, y = i / wide % high, c = i / ((long)wide * high) % channels;
    const long roi = i / ((long)wide * high * channels);
    const int level = levels[roi];
    const bool exists = level >= 0 && level < pyramid.num_levels;
    float sum = 0;
    if (exists) {
        const float *box = boxes + 4 * roi, stride = pyramid.strides[level];
        const int height = pyramid.heights[level], width = pyramid.widths[level];
        const Span vertical = span_of(box[1], box[3], stride, high, ratio, aligned);
        const Span horizontal = span_of(box[0], box[2], stride, wide, ratio, aligned);
        Map* plane = pyramid.maps[level] + (roi / per_image * channels + c) * height * width;
        const float part = 1.f / ((float)vertical.samples * horizontal.samples);
        for (int s = 0; s < vertical.samples; s++) {
            int top, bottom;
            float down;
            if (!cells_of(place_of(vertical, y, s), height, &top, &bottom, &down)) continue;
            for (int t = 0; t < horizontal.samples; t++) {
                int left, right;
                float across;
                if (!cells_of(place_of(horizontal, x, t), width, &left, &right, &across)) continue;
                touch(plane + (long)top * width + left, values + i, (1 - down) * (1 - across) * part, &sum);
                touch(plane + (long)top * width + right, values + i, (1 - down) * across * part, &sum);
                touch(plane + (long)bottom * width + left, values + i, down * (1 - across) * part, &sum);
                touch(plane + (long)bottom * width + right, values + i, down * across * part, &sum);
            }
        }
    }
    finish(values + i, sum);
}
}}
"""
)
_CUDA_LAUNCH = """
    for (int level = 0; level < num_levels; level++) {
        pyramid.maps[level] = maps[level];
        pyramid.heights[level] = heights[level], pyramid.widths[level] = widths[level];
        pyramid.strides[level] = strides[level];
    }
    pyramid.num_levels = num_levels;
    const long count = crops->num;
    if (count > 0)
        roi_align_kernel<<<(count + 255) / 256, 256>>>(
            pyramid, boxes_p, levels_p, values, count, boxes_shape1, crops_shape2, high, wide, ratio,
            aligned);
"""


@lru_cache
def _sources(num_levels: int, *, is_gradient: bool) -> dict[str, str]:
    """Headers and sources of the operator over L maps: from maps to crops, or from gradient to gradient."""
    first = 0 if is_gradient else num_levels  # of the inputs that are no maps
    which, constant, constant_crops = ("out", "", "const ") if is_gradient else ("in", "const ", "")

    def over_levels(text: str) -> str:
        return ", ".join(text.format(which=which, level=level) for level in range(num_levels))

    names = {"boxes": f"in{first}", "levels": f"in{first + 1}", "crops": "in2" if is_gradient else "out0"}
    head = f"""
    const int num_levels = {num_levels}, high = data["high"], wide = data["wide"], ratio = data["ratio"];
    const bool aligned = data["aligned"] != 0;
    {constant}float* maps[] = {{{over_levels("{which}{level}_p")}}};
    const int heights[] = {{{over_levels("(int){which}{level}_shape2")}}};
    const int widths[] = {{{over_levels("(int){which}{level}_shape3")}}};
    {constant_crops}float* values = crops_p;
    const float strides[] = {{{over_levels('(float)data["stride{level}"]')}}};
    """
    zeros = "for (int i = 0; i < num_levels; i++) cudaMemsetAsync(maps[i], 0, sizes[i]);"
    sizes = (
        f"const size_t sizes[] = {{{over_levels('(size_t){which}{level}->size')}}};" if is_gradient else ""
    )
    sources = {
        "cpu_src": head + (_CPU_GRADIENT if is_gradient else _CPU_SOURCE),
        "cuda_src": f"{head}{sizes}{zeros if is_gradient else ''}\n    Pyramid<{constant}float> pyramid;"
        + _CUDA_LAUNCH,
    }
    for key, source in sources.items():
        for name, actual in names.items():
            source = re.sub(rf"\b{name}(_p|_shape\d|->num)", rf"{actual}\1", source)
        sources[key] = source
    return {"cpu_header": _CPU_HEADER, "cuda_header": _CUDA_HEADER, **sources}


class _RoIAlign(jt.Function):
    """L maps, boxes and levels to crops, with the gradients to the maps."""

    def execute(self, *inputs: Any) -> jt.Var:
        *maps, boxes, levels, self.settings = inputs
        self.saved, self.shapes = (boxes, levels), [x.shape for x in maps]
        size = int(self.settings["high"]), int(self.settings["wide"])
        return jt.code(
            (*levels.shape, maps[0].shape[1], *size), "float32", [*maps, boxes, levels],
            data=self.settings, **_sources(len(maps), is_gradient=False),
        )  # fmt: skip

    def grad(self, crops: jt.Var) -> tuple[jt.Var | None, ...]:
        found = jt.code(
            self.shapes, ["float32"] * len(self.shapes), [*self.saved, crops],
            data=self.settings, **_sources(len(self.shapes), is_gradient=True),
        )  # fmt: skip
        return (*found, None, None, None)


def pyramid_levels(
    boxes: jt.Var, strides: Sequence[int], canonical_px: float = 224.0, canonical_stride: int = 16
) -> jt.Var:
    """[...] int32 index of the level whose stride suits boxes [..., 4] in px.

    A box of side `canonical_px` reads the level of stride `canonical_stride`, one of twice the side the next.

    Args:
        strides: of the levels, fine to coarse, each twice the one before.
    Source: arXiv:1612.03144, equation 1.
    """
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    finest = canonical_px / canonical_stride * strides[0]
    ratio = jt.sqrt(jt.maximum(width * height, 0.0)) / finest + 1e-6
    # Counted instead of rounded: a logarithm in fast arithmetic may miss a power of two.
    starts = jt.array(np.array(strides[1:], np.float32) / strides[0])
    return (ratio.unsqueeze(-1) >= starts).int32().sum(-1)


def roi_align(
    features: Sequence[jt.Var],
    boxes: jt.Var,
    levels: jt.Var,
    strides: Sequence[int],
    *,
    size: int | tuple[int, int] = 7,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> jt.Var:
    """Mean of bilinear samples of one pyramid level in every bin of a box.

    Args:
        features: L maps [N, D, H_l, W_l], at most 8.
        boxes: [N, R, 4] corners in px; no gradient flows into them.
        levels: [N, R] int32, the map that each box reads; outside of [0, L): an empty slot, its crop is zero.
        strides: px per cell of every map.
        size: bins along each side of a box, or (along its height, along its width).
        sampling_ratio: samples along each side of a bin; 0: as many as a bin has cells, rounded up, so none
            in a box without area, whose crop is zero.
        aligned: a cell's value stands in its middle. Otherwise at its upper left corner, and boxes smaller
            than a cell are taken as large as one (the older form).
    Returns:
        [N, R, D, *size]
    Raises:
        ValueError: no level, more than 8, or another number of strides.
    Source: arXiv:1703.06870; samples further than one cell outside the map are 0, as in detectron2 and mmcv.
    """
    if not 0 < len(features) <= MAX_LEVELS or len(features) != len(strides):
        raise ValueError(
            f"RoIAlign reads 1 to {MAX_LEVELS} maps, not {len(features)} of {len(strides)} strides."
        )
    high, wide = (size, size) if isinstance(size, int) else size
    settings = {f"stride{level}": float(stride) for level, stride in enumerate(strides)}
    settings |= {"high": high, "wide": wide, "ratio": sampling_ratio, "aligned": float(aligned)}
    maps = [x.float32() for x in features]
    return _RoIAlign.apply(*maps, boxes.detach().float32(), levels.int32(), settings)
