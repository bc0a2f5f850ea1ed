"""3x3 convolution on the CPU by Winograd's minimal filtering: a quarter of the multiplications.

Tiles of 4x4 results are computed at once: windows of 6x6 pixels and the weights are evaluated at the points
0, 5/8, -5/8, 3/2, -3/2 and infinity of each axis, multiplied there (36 matrix products, by oneDNN), and
interpolated. The customary points 1 and 2 lose more digits; with these, root mean square errors of a wide
layer stay below 3e-6 of its results (tests/ops/test_conv2d.py).
Source: arXiv:1509.09308, section 4, with other points; the gradients are its adjoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from jld.ops.sgemm import product_operator, product_operators
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
# Maps are cut into rows of tiles, numbered through all images of all maps; a chunk of rows is worked on at a
# time, so that its values at the 36 points, [36, channels, tiles], stay in the cache.
_CHUNKS = """
constexpr long CHUNK = 6L << 20;  // floats
struct Map { float* p; long height, width; };  // [N, D, height, width]
struct Row { int map; long image, y, start; };  // y in px, start: its first tile in the chunk
struct Chunk { std::vector<Row> rows; long tiles = 0; };
struct Tiles {
    std::vector<Chunk> chunks;
    long most = 0, widest = 0;  // tiles of a chunk, of a row
    Tiles(const Images& images, const std::vector<Map>& maps, long channels) {
        long all = 0;
        for (const Map& m : maps) {
            all += images.count() * ((m.height + 3) / 4) * across(m);
            widest = std::max(widest, across(m));
        }
        const long fit = std::max(1L, CHUNK / (36 * channels)), count = std::max(1L, (all + fit - 1) / fit);
        for (int map = 0; map < (int)maps.size(); map++)
            for (long i = 0; i < images.count(); i++)
                for (long y = 0; y < maps[map].height; y += 4) {
                    if (chunks.empty() || chunks.back().tiles * count >= all) chunks.emplace_back();
                    Chunk& last = chunks.back();
                    last.rows.push_back({map, images[i], y, last.tiles});
                    most = std::max(most, last.tiles += across(maps[map]));
                }
    }
    static long across(const Map& map) { return (map.width + 3) / 4; }
};
// One channel of an image.
inline float* plane_of(const Map& map, const Row& row, long channels, long channel) {
    return map.p + (row.image * channels + channel) * map.height * map.width;
}
// Copies what exists of map rows top ... top + count - 1, columns from `left` on, into zeros.
inline void window(const Map& map, const float* plane, long top, long count, long left, long columns,
                   float* out) {
    std::memset(out, 0, count * columns * sizeof(float));
    const long from = std::max(left, 0L), size = (std::min(left + columns, map.width) - from) * sizeof(float);
    for (long y = std::max(top, 0L); y < std::min(top + count, map.height); y++)
        std::memcpy(out + (y - top) * columns + from - left, plane + y * map.width + from, size);
}
// Maps [N, D, H, W] to the points of a chunk.
void maps_to_points(const std::vector<Map>& maps, long channels, const Tiles& t, const Chunk& chunk,
                    float* points) {
    const long widest = 4 * (t.widest + 1), plane = channels * chunk.tiles, rows = chunk.rows.size();
    #pragma omp parallel
    {
        Floats pane(6 * widest), half(6 * widest), pixels(widest);
        #pragma omp for
        for (long task = 0; task < channels * rows; task++) {
            const long channel = task / rows;
            const Row& row = chunk.rows[task % rows];
            const Map& map = maps[row.map];
            const long across = t.across(map), wide = across + 1, columns = 4 * wide;
            float* w = pane.data();
            window(map, plane_of(map, row, channels, channel), row.y - 1, 6, -1, columns, w);
            pixels_to_points(w, w + 4 * columns, columns, half.data(), columns, columns);
            float* out = points + channel * chunk.tiles + row.start;
            for (int i = 0; i < 6; i++) {
                const float* line = half.data() + i * columns;
                float* p = pixels.data();
                for (long x = 0; x < wide; x++)
                    for (int k = 0; k < 4; k++) p[k * wide + x] = line[4 * x + k];
                // The last two pixels of a window are the first two of the next.
                pixels_to_points(p, p + 1, wide, out + 6 * i * plane, plane, across);
            }
        }
    }
}
// The points of a chunk to results [N, D, H, W].
void points_to_maps(const float* points, long channels, const Tiles& t, const Chunk& chunk,
                    const std::vector<Map>& maps) {
    const long plane = channels * chunk.tiles, rows = chunk.rows.size();
    #pragma omp parallel
    {
        Floats half(24 * t.widest), results(4 * t.widest), line(4 * t.widest);
        #pragma omp for
        for (long task = 0; task < channels * rows; task++) {
            const long channel = task / rows;
            const Row& row = chunk.rows[task % rows];
            const Map& map = maps[row.map];
            const long across = t.across(map);
            const float* in = points + channel * chunk.tiles + row.start;
            for (int j = 0; j < 6; j++)
                points_to_results(in + j * plane, 6 * plane, half.data() + j * across, 6 * across, across);
            float* out = plane_of(map, row, channels, channel);
            for (long y = row.y; y < std::min(row.y + 4, map.height); y++) {
                const float* from = half.data() + (y - row.y) * 6 * across;
                points_to_results(from, across, results.data(), across, across);
                for (long x = 0; x < across; x++)
                    for (int k = 0; k < 4; k++) line[4 * x + k] = results[k * across + x];
                std::memcpy(out + y * map.width, line.data(), map.width * sizeof(float));
            }
        }
    }
}
// The adjoint: gradients of results [N, D, H, W] to those of the points of a chunk.
void gradients_to_points(const std::vector<Map>& maps, long channels, const Tiles& t, const Chunk& chunk,
                         float* points) {
    const long widest = 4 * t.widest, plane = channels * chunk.tiles, rows = chunk.rows.size();
    #pragma omp parallel
    {
        Floats pane(4 * widest), half(6 * widest), results(widest);
        #pragma omp for
        for (long task = 0; task < channels * rows; task++) {
            const long channel = task / rows;
            const Row& row = chunk.rows[task % rows];
            const Map& map = maps[row.map];
            const long across = t.across(map), columns = 4 * across;
            window(map, plane_of(map, row, channels, channel), row.y, 4, 0, columns, pane.data());
            results_to_points(pane.data(), columns, half.data(), columns, columns);
            float* out = points + channel * chunk.tiles + row.start;
            for (int i = 0; i < 6; i++) {
                const float* line = half.data() + i * columns;
                for (long x = 0; x < across; x++)
                    for (int k = 0; k < 4; k++) results[k * across + x] = line[4 * x + k];
                results_to_points(results.data(), across, out + 6 * i * plane, plane, across);
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
# xs: maps [N, D, H, W], weights [O, I, 3, 3], ys: results [N, D', H, W].
_CONVOLVE = """
    const bool turned = data["turned"];
    const long given = turned ? outputs : inputs, made = turned ? inputs : outputs;
    Floats u(36 * outputs * inputs);
    filters_to_points(weights, outputs, inputs, turned, u.data());
    const Tiles t(images, xs, given + made);
    Floats v(36 * given * t.most), m(36 * made * t.most);
    for (const Chunk& chunk : t.chunks) {
        const long tiles = chunk.tiles;
        maps_to_points(xs, given, t, chunk, v.data());
        #pragma omp parallel for
        for (int k = 0; k < 36; k++)
            dnnl_sgemm(turned ? 'T' : 'N', 'N', made, tiles, given, 1, &u[k * outputs * inputs], inputs,
                       &v[k * given * tiles], tiles, 0, &m[k * made * tiles], tiles);
        points_to_maps(m.data(), made, t, chunk, ys);
    }
    for (const Map& y : ys) images.clear_others(y.p, made * y.height * y.width);
"""
# xs: maps [N, I, H, W], ys: gradients of the results [N, O, H, W], weights: their gradient.
_WEIGHT_GRADIENT = """
    const Tiles t(images, xs, inputs + outputs);
    Floats u(36 * outputs * inputs), v(36 * inputs * t.most), m(36 * outputs * t.most);
    if (t.chunks.empty()) std::fill(u.data(), u.data() + 36 * outputs * inputs, 0.f);
    bool begun = false;
    for (const Chunk& chunk : t.chunks) {
        const long tiles = chunk.tiles;
        maps_to_points(xs, inputs, t, chunk, v.data());
        gradients_to_points(ys, outputs, t, chunk, m.data());
        #pragma omp parallel for
        for (int k = 0; k < 36; k++)
            dnnl_sgemm('N', 'T', outputs, inputs, tiles, 1, &m[k * outputs * tiles], tiles,
                       &v[k * inputs * tiles], tiles, begun, &u[k * outputs * inputs], inputs);
        begun = true;
    }
    points_to_filters(u.data(), outputs, inputs, weights);
"""


def _source(body: str, xs: list[str], ys: list[str], weights: str) -> str:
    """An operator's source, whose `xs`, `ys` and `weights` are these inputs and outputs."""
    sides = {
        side: ", ".join(f"Map{{{var}_p, {var}->shape[2], {var}->shape[3]}}" for var in names)
        for side, names in (("xs", xs), ("ys", ys))
    }
    return f"""
    const std::vector<Map> xs{{{sides["xs"]}}}, ys{{{sides["ys"]}}};
    float* weights = {weights}_p;
    const long outputs = {weights}->shape[0], inputs = {weights}->shape[1];
    {body}"""


def _names(kind: str, start: int, count: int) -> list[str]:
    return [f"{kind}{index}" for index in range(start, start + count)]


class _WinogradConv(jt.Function):
    """The operator with gradients to the maps and the weights."""

    def execute(self, live: jt.Var | None, weight: jt.Var, *xs: jt.Var) -> list[jt.Var]:
        self.saved = live, weight, xs
        return self._convolved(xs, weight.shape[0], turned=0)

    def grad(self, *dys: jt.Var | None) -> tuple[jt.Var | None, ...]:
        # Two operators: Jittor runs neither that of maps nor that of weights which nobody reads.
        live, weight, xs = self.saved
        # A map whose results nobody reads has no gradient.
        used = [(index, xs[index], dy) for index, dy in enumerate(dys) if dy is not None]
        given = [dy for _, _, dy in used]
        dxs: list[jt.Var | None] = [None] * len(xs)
        for (index, _, _), dx in zip(used, self._convolved(given, weight.shape[1], turned=1), strict=True):
            dxs[index] = dx
        count = len(used)
        source = _source(_WEIGHT_GRADIENT, _names("in", 0, count), _names("in", count, count), "out0")
        read = [x for _, x, _ in used]
        dw = product_operator(weight.shape, [*read, *given], source, _HEADER, live=live)
        return None, dw, *dxs

    def _convolved(self, xs: Sequence[jt.Var], channels: int, *, turned: int) -> list[jt.Var]:
        """Results of `channels` channels, with turned weights the gradients of the maps."""
        live, weight, _ = self.saved
        shapes, count = [(x.shape[0], channels, *x.shape[2:]) for x in xs], len(xs)
        source = _source(_CONVOLVE, _names("in", 0, count), _names("out", 0, count), f"in{count}")
        return product_operators(shapes, [*xs, weight], source, _HEADER, live=live, turned=turned)


def winograd_convs(xs: Sequence[jt.Var], weight: jt.Var, live: jt.Var | None = None) -> list[jt.Var]:
    """3x3 convolution of several maps with stride 1 and a border of one zero, on the CPU.

    The weights are evaluated once for all maps, and small maps fill the matrix products of large ones.

    Args:
        xs: [N, I, H_l, W_l] float32 of every level l.
        weight: [O, I, 3, 3] float32.
        live: see `conv2d`.
    Returns:
        [N, O, H_l, W_l] of every level.
    Raises:
        ValueError: the shapes do not fit.
    Source: arXiv:1509.09308.
    """
    shapes = [tuple(x.shape) for x in xs]
    fits = all(len(shape) == 4 and shape[:2] == (shapes[0][0], weight.shape[1]) for shape in shapes)
    if not shapes or not fits or tuple(weight.shape[2:]) != (3, 3):
        raise ValueError(f"winograd_convs: maps {shapes} and weights {tuple(weight.shape)} do not fit.")
    return _WinogradConv.apply(live, weight, *xs)


def winograd_conv(x: jt.Var, weight: jt.Var, live: jt.Var | None = None) -> jt.Var:
    """One map [N, I, H, W] to [N, O, H, W], see `winograd_convs`."""
    return winograd_convs([x], weight, live)[0]
