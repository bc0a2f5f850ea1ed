"""C functions that say which pixels the edge of a polygon turns over, by the rule of pycocotools.

Vertices are rounded to fifths of a pixel, and an edge is the chain of fifths nearest to it. Pixel column x
turns over from the row on where the chain passes between the fifths 5x + 2 and 5x + 3, on the upper of the
two. So every edge can be taken for itself, in any order, and a pixel is inside where it was turned over an
odd number of times. Source: maskApi.c of pycocotools (`rleFrPoly`), which sorts all passages instead.
"""

from __future__ import annotations

# Jittor compiles for fast arithmetic (-Ofast), which sums in another order, multiplies by inverses and fuses
# products with sums. Between `BEGIN_EXACT` and `END_EXACT` every result is rounded as the standard has it, so
# that ties break where pycocotools breaks them.
BEGIN_EXACT = """
#ifndef __CUDACC__
#pragma GCC push_options
#pragma GCC optimize("no-fast-math", "fp-contract=off")
#endif
"""
END_EXACT = """
#ifndef __CUDACC__
#pragma GCC pop_options
#endif
"""
EDGE_FUNCTIONS = """
#ifdef __CUDA_ARCH__
JLD_FUNCTION double plus(double a, double b) { return __dadd_rn(a, b); }
JLD_FUNCTION double times(double a, double b) { return __dmul_rn(a, b); }
JLD_FUNCTION double over(double a, double b) { return __ddiv_rn(a, b); }
#else
JLD_FUNCTION double plus(double a, double b) { return a + b; }
JLD_FUNCTION double times(double a, double b) { return a * b; }
JLD_FUNCTION double over(double a, double b) { return a / b; }
#endif
JLD_FUNCTION int fifth_of(double px) { return (int)plus(times(5, px), .5); }
JLD_FUNCTION int on_edge(double slope, int step, int start) {
    return (int)plus(plus(start, times(slope, step)), .5);
}
// The pixel columns that an edge between the fifths x0 and x1 turns over; none where the last is before the
// first.
JLD_FUNCTION int first_column(int x0, int x1) {
    const int low = x0 < x1 ? x0 : x1;
    return low > 2 ? (low + 2) / 5 : 0;
}
JLD_FUNCTION int last_column(int x0, int x1) {
    const int high = x0 < x1 ? x1 : x0;
    return high > 2 ? (high - 3) / 5 : -1;
}
// The row from which on one of these columns is turned over, 0 or more.
JLD_FUNCTION int turning_row(int x0, int y0, int x1, int y1, int column) {
    const int dx = x1 > x0 ? x1 - x0 : x0 - x1, dy = y1 > y0 ? y1 - y0 : y0 - y1, fifth = 5 * column + 2;
    const bool is_flat = dx >= dy;
    if (is_flat ? x0 > x1 : y0 > y1) {
        int swap = x0; x0 = x1; x1 = swap;
        swap = y0; y0 = y1; y1 = swap;
    }
    const double slope = is_flat ? over(y1 - y0, dx) : over(x1 - x0, dy);
    int upper;
    if (is_flat) {
        const int a = on_edge(slope, fifth - x0, y0), b = on_edge(slope, fifth + 1 - x0, y0);
        upper = a < b ? a : b;
    } else {
        // The first step along y behind which the chain lies on the other side.
        const bool is_rising = x1 > x0;
        int step = (int)((fifth + .5 - x0) / slope);
        step = step < 1 ? 1 : step > dy ? dy : step;
        while (step > 1 && (on_edge(slope, step - 1, x0) > fifth) == is_rising) step--;
        while (step < dy && (on_edge(slope, step, x0) > fifth) != is_rising) step++;
        upper = y0 + step - 1;
    }
    return upper <= 2 ? 0 : (upper + 2) / 5;
}
"""
