"""3x3 convolution on the CPU by Winograd's minimal filtering: a quarter of the multiplications.

Tiles of 4x4 results are computed at once: windows of 6x6 pixels and the weights are evaluated at the points
0, 5/8, -5/8, 3/2, -3/2 and infinity of each axis, multiplied there (36 matrix products, by oneDNN), and
interpolated. The customary points 1 and 2 lose more digits; with these, root mean square errors of a wide
layer stay below 3e-6 of its results (tests/ops/test_conv2d.py).
Source: arXiv:1509.09308, section 4, with other points; the gradients are its adjoints.
"""

from __future__ import annotations

from jld.ops.sgemm import product_operator
from jld.toolchain import jittor as jt

# Evaluation and interpolation in one dimension, for n columns at a time; rows lie `step` floats apart.
_TRANSFORMS = """
#include <algorithm>
#include <cstring>
#include <memory>
namespace jittor { namespace {
struct Floats {  // not set to zero, unlike a vector
    std::unique_ptr<float[]> p;
    explicit Floats(long count) : p(new float[count]) {}
    float* data() { return p.get(); }
    float& operator[](long i) { return p[i]; }
};
constexpr float P = 0.625f, Q = 1.5f, P2 = P * P, Q2 = Q * Q;
constexpr float SCALE_0 = 1 / (P2 * Q2);
constexpr float SCALE_P = 1 / (2 * P2 * (P2 - Q2)), SCALE_Q = 1 / (2 * Q2 * (Q2 - P2));

// 6 pixels to 6 points; the last two pixels lie apart.
inline void pixels_to_points(const float* __restrict d, const float* __restrict last, long step,
                             float* __restrict v, long out_step, long n) {
    #pragma GCC ivdep
    for (long i = 0; i < n; i++) {
        const float d1 = d[i + step], d2 = d[i + 2 * step], d3 = d[i + 3 * step], d4 = last[i];
        const float even_p = d4 - Q2 * d2, odd_p = P * (d3 - Q2 * d1);
        const float even_q = d4 - P2 * d2, odd_q = Q * (d3 - P2 * d1);
        v[i] = P2 * Q2 * d[i] - (P2 + Q2) * d2 + d4;
        v[i + out_step] = even_p + odd_p;
        v[i + 2 * out_step] = even_p - odd_p;
        v[i + 3 * out_step] = even_q + odd_q;
        v[i + 4 * out_step] = even_q - odd_q;
        v[i + 5 * out_step] = P2 * Q2 * d1 - (P2 + Q2) * d3 + last[i + step];
    }
}
// 6 points to 4 results.
inline void points_to_results(const float* __restrict m, long step, float* __restrict y, long out_step,
                              long n) {
    #pragma GCC ivdep
    for (long i = 0; i < n; i++) {
        const float sum_p = m[i + step] + m[i + 2 * step], gap_p = m[i + step] - m[i + 2 * step];
        const float sum_q = m[i + 3 * step] + m[i + 4 * step], gap_q = m[i + 3 * step] - m[i + 4 * step];
        y[i] = m[i] + sum_p + sum_q;
        y[i + out_step] = P * gap_p + Q * gap_q;
        y[i + 2 * out_step] = P2 * sum_p + Q2 * sum_q;
        y[i + 3 * out_step] = P2 * P * gap_p + Q2 * Q * gap_q + m[i + 5 * step];
    }
}
// Its adjoint: gradients of 4 results to gradients of 6 points.
inline void results_to_points(const float* __restrict y, long step, float* __restrict m, long out_step,
                              long n) {
    #pragma GCC ivdep
    for (long i = 0; i < n; i++) {
        const float y1 = y[i + step], y2 = y[i + 2 * step], y3 = y[i + 3 * step];
        const float even_p = y[i] + P2 * y2, odd_p = P * y1 + P2 * P * y3;
        const float even_q = y[i] + Q2 * y2, odd_q = Q * y1 + Q2 * Q * y3;
        m[i] = y[i];
        m[i + out_step] = even_p + odd_p;
        m[i + 2 * out_step] = even_p - odd_p;
        m[i + 3 * out_step] = even_q + odd_q;
        m[i + 4 * out_step] = even_q - odd_q;
        m[i + 5 * out_step] = y3;
    }
}
// 3 weights to 6 points.
inline void weights_to_points(const float* __restrict g, long step, float* __restrict u, long out_step,
                              long n) {
    #pragma GCC ivdep
    for (long i = 0; i < n; i++) {
        const float g0 = g[i], g1 = g[i + step], g2 = g[i + 2 * step];
        u[i] = SCALE_0 * g0;
        u[i + out_step] = SCALE_P * (g0 + P2 * g2 + P * g1);
        u[i + 2 * out_step] = SCALE_P * (g0 + P2 * g2 - P * g1);
        u[i + 3 * out_step] = SCALE_Q * (g0 + Q2 * g2 + Q * g1);
        u[i + 4 * out_step] = SCALE_Q * (g0 + Q2 * g2 - Q * g1);
        u[i + 5 * out_step] = g2;
    }
}
// Its adjoint: gradients of 6 points to gradients of 3 weights.
inline void points_to_weights(const float* __restrict u, long step, float* __restrict g, long out_step,
                              long n) {
    #pragma GCC ivdep
    for (long i = 0; i < n; i++) {
        const float sum_p = SCALE_P * (u[i + step] + u[i + 2 * step]);
        const float gap_p = SCALE_P * (u[i + step] - u[i + 2 * step]);
        const float sum_q = SCALE_Q * (u[i + 3 * step] + u[i + 4 * step]);
        const float gap_q = SCALE_Q * (u[i + 3 * step] - u[i + 4 * step]);
        g[i] = SCALE_0 * u[i] + sum_p + sum_q;
        g[i + out_step] = P * gap_p + Q * gap_q;
        g[i + 2 * out_step] = P2 * sum_p + Q2 * sum_q + u[i + 5 * step];
    }
}
"""
# Maps are cut into rows of tiles, numbered through all images; a chunk of rows is worked on at a time, so
# that its values at the 36 points, [36, channels, tiles], stay in the cache.
_CHUNKS = """
constexpr long CHUNK = 6L << 20;  // floats
struct Tiles {
    const Images& images;
    long height, width, down, across, rows, rows_per_chunk;
    Tiles(const Images& images, long height, long width, long channels)
        : images(images), height(height), width(width), down((height + 3) / 4), across((width + 3) / 4),
          rows(images.count() * down) {
        const long fit = std::max(1L, CHUNK / (36 * channels * across));
        const long chunks = std::max(1L, (rows + fit - 1) / fit);
        rows_per_chunk = (rows + chunks - 1) / chunks;
    }
    // One channel of an image, by the number of a row of tiles.
    long offset(long row, long channels, long channel) const {
        return (images[row / down] * channels + channel) * height * width;
    }
    // Copies what exists of map rows top ... top + count - 1, columns from `left` on, into zeros.
    void window(const float* map, long top, long count, long left, long columns, float* out) const {
        std::memset(out, 0, count * columns * sizeof(float));
        const long from = std::max(left, 0L), size = (std::min(left + columns, width) - from) * sizeof(float);
        for (long y = std::max(top, 0L); y < std::min(top + count, height); y++)
            std::memcpy(out + (y - top) * columns + from - left, map + y * width + from, size);
    }
};
// [N, D, H, W] to the points of rows first ... first + count - 1.
void map_to_points(const float* map, long channels, const Tiles& t, long first, long count, float* points) {
    const long wide = t.across + 1, columns = 4 * wide, tiles = count * t.across, plane = channels * tiles;
    #pragma omp parallel
    {
        Floats window(6 * columns), half(6 * columns), pixels(columns);
        #pragma omp for
        for (long task = 0; task < channels * count; task++) {
            const long channel = task / count, row = first + task % count;
            float* w = window.data();
            t.window(map + t.offset(row, channels, channel), row % t.down * 4 - 1, 6, -1, columns, w);
            pixels_to_points(w, w + 4 * columns, columns, half.data(), columns, columns);
            float* out = points + channel * tiles + task % count * t.across;
            for (int i = 0; i < 6; i++) {
                const float* line = half.data() + i * columns;
                float* p = pixels.data();
                for (long x = 0; x < wide; x++)
                    for (int k = 0; k < 4; k++) p[k * wide + x] = line[4 * x + k];
                // The last two pixels of a window are the first two of the next.
                pixels_to_points(p, p + 1, wide, out + 6 * i * plane, plane, t.across);
            }
        }
    }
}
// The points to the results [N, D, H, W] of these rows.
void points_to_map(const float* points, long channels, const Tiles& t, long first, long count, float* map) {
    const long tiles = count * t.across, plane = channels * tiles;
    #pragma omp parallel
    {
        Floats half(24 * t.across), results(4 * t.across), line(4 * t.across);
        #pragma omp for
        for (long task = 0; task < channels * count; task++) {
            const long channel = task / count, row = first + task % count, top = row % t.down * 4;
            const float* in = points + channel * tiles + task % count * t.across;
            for (int j = 0; j < 6; j++) {
                float* to = half.data() + j * t.across;
                points_to_results(in + j * plane, 6 * plane, to, 6 * t.across, t.across);
            }
            float* out = map + t.offset(row, channels, channel);
            for (long y = top; y < std::min(top + 4, t.height); y++) {
                const float* from = half.data() + (y - top) * 6 * t.across;
                points_to_results(from, t.across, results.data(), t.across, t.across);
                for (long x = 0; x < t.across; x++)
                    for (int k = 0; k < 4; k++) line[4 * x + k] = results[k * t.across + x];
                std::memcpy(out + y * t.width, line.data(), t.width * sizeof(float));
            }
        }
    }
}
// The adjoint: gradients of results [N, D, H, W] to those of the points.
void gradient_to_points(const float* map, long channels, const Tiles& t, long first, long count,
                        float* points) {
    const long columns = 4 * t.across, tiles = count * t.across, plane = channels * tiles;
    #pragma omp parallel
    {
        Floats window(4 * columns), half(6 * columns), results(columns);
        #pragma omp for
        for (long task = 0; task < channels * count; task++) {
            const long channel = task / count, row = first + task % count;
            t.window(map + t.offset(row, channels, channel), row % t.down * 4, 4, 0, columns, window.data());
            results_to_points(window.data(), columns, half.data(), columns, columns);
            float* out = points + channel * tiles + task % count * t.across;
            for (int i = 0; i < 6; i++) {
                const float* line = half.data() + i * columns;
                for (long x = 0; x < t.across; x++)
                    for (int k = 0; k < 4; k++) results[k * t.across + x] = line[4 * x + k];
                results_to_points(results.data(), t.across, out + 6 * i * plane, plane, t.across);
            }
        }
    }
}
// Weights [O, I, 3, 3] to points [36, O, I]; turned by 180 degrees for the gradient of the map.
void filters_to_points(const float* weight, long outputs, long inputs, bool turned, float* points) {
    #pragma omp parallel
    {
        Floats taps(9 * inputs), half(18 * inputs);
        #pragma omp for
        for (long o = 0; o < outputs; o++) {
            const float* filter = weight + 9 * inputs * o;
            for (long i = 0; i < inputs; i++)
                for (int k = 0; k < 9; k++) taps[k * inputs + i] = filter[9 * i + (turned ? 8 - k : k)];
            weights_to_points(taps.data(), 3 * inputs, half.data(), 3 * inputs, 3 * inputs);
            for (int k = 0; k < 6; k++) {
                float* out = points + (6 * k * outputs + o) * inputs;
                weights_to_points(half.data() + 3 * k * inputs, inputs, out, outputs * inputs, inputs);
            }
        }
    }
}
// The adjoint: gradients of points [36, O, I] to those of the weights.
void points_to_filters(const float* points, long outputs, long inputs, float* weight) {
    #pragma omp parallel
    {
        Floats half(18 * inputs), taps(9 * inputs);
        #pragma omp for
        for (long o = 0; o < outputs; o++) {
            for (int k = 0; k < 6; k++)
                points_to_weights(points + (6 * k * outputs + o) * inputs, outputs * inputs,
                                  half.data() + 3 * k * inputs, inputs, inputs);
            points_to_weights(half.data(), 3 * inputs, taps.data(), 3 * inputs, 3 * inputs);
            for (long i = 0; i < inputs; i++)
                for (int k = 0; k < 9; k++) weight[9 * (o * inputs + i) + k] = taps[k * inputs + i];
        }
    }
}
}}
"""
_HEADER = _TRANSFORMS + _CHUNKS
# in0: map [N, D, H, W], in1: weights [O, I, 3, 3], out0: [N, D', H, W].
_CONVOLVE = """
    const bool turned = data["turned"];
    const long outputs = in1_shape0, inputs = in1_shape1;
    const long given = in0_shape1, made = out0_shape1;
    Floats u(36 * outputs * inputs);
    filters_to_points(in1_p, outputs, inputs, turned, u.data());
    const Tiles t(images, in0_shape2, in0_shape3, given + made);
    Floats v(36 * given * t.rows_per_chunk * t.across), m(36 * made * t.rows_per_chunk * t.across);
    for (long first = 0; first < t.rows; first += t.rows_per_chunk) {
        const long count = std::min(t.rows_per_chunk, t.rows - first), tiles = count * t.across;
        map_to_points(in0_p, given, t, first, count, v.data());
        #pragma omp parallel for
        for (int k = 0; k < 36; k++)
            dnnl_sgemm(turned ? 'T' : 'N', 'N', made, tiles, given, 1, &u[k * outputs * inputs], inputs,
                       &v[k * given * tiles], tiles, 0, &m[k * made * tiles], tiles);
        points_to_map(m.data(), made, t, first, count, out0_p);
    }
    images.clear_others(out0_p, made * in0_shape2 * in0_shape3);
"""
# in0: map [N, I, H, W], in1: gradient of the results [N, O, H, W], out0: gradient of the weights.
_WEIGHT_GRADIENT = """
    const long inputs = in0_shape1, outputs = in1_shape1;
    const Tiles t(images, in0_shape2, in0_shape3, inputs + outputs);
    const long most = t.rows_per_chunk * t.across;
    Floats u(36 * outputs * inputs), v(36 * inputs * most), m(36 * outputs * most);
    if (t.rows == 0) std::fill(u.data(), u.data() + 36 * outputs * inputs, 0.f);
    for (long first = 0; first < t.rows; first += t.rows_per_chunk) {
        const long count = std::min(t.rows_per_chunk, t.rows - first), tiles = count * t.across;
        map_to_points(in0_p, inputs, t, first, count, v.data());
        gradient_to_points(in1_p, outputs, t, first, count, m.data());
        #pragma omp parallel for
        for (int k = 0; k < 36; k++)
            dnnl_sgemm('N', 'T', outputs, inputs, tiles, 1, &m[k * outputs * tiles], tiles,
                       &v[k * inputs * tiles], tiles, first > 0, &u[k * outputs * inputs], inputs);
    }
    points_to_filters(u.data(), outputs, inputs, out0_p);
"""


class _WinogradConv(jt.Function):
    """The operator with gradients to both inputs."""

    def execute(self, x: jt.Var, weight: jt.Var, live: jt.Var | None) -> jt.Var:
        self.saved = x, weight, live
        shape = x.shape[0], weight.shape[0], *x.shape[2:]
        return product_operator(shape, [x, weight], _CONVOLVE, _HEADER, live=live, turned=0)

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        # Two operators: Jittor runs neither that of a map nor that of weights which nobody reads.
        x, weight, live = self.saved
        dx = product_operator(x.shape, [dy, weight], _CONVOLVE, _HEADER, live=live, turned=1)
        return dx, product_operator(weight.shape, [x, dy], _WEIGHT_GRADIENT, _HEADER, live=live), None


def winograd_conv(x: jt.Var, weight: jt.Var, live: jt.Var | None = None) -> jt.Var:
    """3x3 convolution with stride 1 and a border of one zero, on the CPU.

    Args:
        x: [N, I, H, W] float32.
        weight: [O, I, 3, 3] float32.
        live: see `conv2d`.
    Returns:
        [N, O, H, W]
    Raises:
        ValueError: the shapes do not fit.
    Source: arXiv:1509.09308.
    """
    if len(x.shape) != 4 or tuple(weight.shape[1:]) != (x.shape[1], 3, 3):
        raise ValueError(f"winograd_conv: map {tuple(x.shape)} and weights {tuple(weight.shape)} do not fit.")
    return _WinogradConv.apply(x, weight, live)
