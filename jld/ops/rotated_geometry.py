"""C text shared by the kernels of rotated boxes: the overlap of two of them, exact, for CPU and CUDA.

The area that two boxes share needs no list of corners. In the frame of the first box, whose half edges are
w and h, it is the integral of clamp(y, -h, h) along the boundary of the second box, restricted to
-w <= x <= w: at every x, the clamped upper minus the clamped lower boundary is the height they share. Along
one edge the integrand has three straight pieces, so the integral is a closed form without branches; it
stays correct for coinciding edges, touching corners and boxes of no thickness. All of it in double precision.
"""

from __future__ import annotations

# Below this area in px^2 a box is a line or a point and overlaps nothing (as in MMCV).
_MIN_AREA = "1e-14"

# Expects JLD_FUNCTION, the qualifiers of a function.
_BODY = """
struct RotatedBox { double x, y, half_w, half_h, cos_a, sin_a, radius, area; };

JLD_FUNCTION double rotated_clamp(double value, double low, double high) {
    double raised = value > low ? value : low;
    return raised < high ? raised : high;
}

JLD_FUNCTION RotatedBox rotated_box(const float* b) {
    RotatedBox box;
    box.x = b[0], box.y = b[1], box.half_w = 0.5 * fabs((double)b[2]), box.half_h = 0.5 * fabs((double)b[3]);
    box.cos_a = cos((double)b[4]), box.sin_a = sin((double)b[4]);
    box.radius = sqrt(box.half_w * box.half_w + box.half_h * box.half_h);
    box.area = (double)b[2] * b[3];
    if (box.area < JLD_MIN_AREA) box.area = box.radius = 0;
    return box;
}

JLD_FUNCTION double rotated_inverse(double value) {
    return fabs(value) > 1e-12 ? 1 / value : 0;  // 0: the edge is too short in this direction to matter
}

// Integral of clamp(y, -h, h) along the edge from (x, y) to (x + dx, y + dy), where -w <= x <= w.
JLD_FUNCTION double rotated_edge(double x, double y, double dx, double dy, double per_dx, double per_dy,
                                 double w, double h) {
    double x_start = rotated_clamp(x, -w, w), x_end = rotated_clamp(x + dx, -w, w);
    double y_start = rotated_clamp(y + (x_start - x) * per_dx * dy, -h, h);
    double y_end = rotated_clamp(y + (x_end - x) * per_dx * dy, -h, h);
    // Between x_low and x_high the edge is inside the strip, before and after it the integrand is constant.
    double left = x_start < x_end ? x_start : x_end, right = x_start < x_end ? x_end : x_start;
    double x_low = rotated_clamp(x + (y_start - y) * per_dy * dx, left, right);
    double x_high = rotated_clamp(x + (y_end - y) * per_dy * dx, left, right);
    double middle = 0.5 * (x_low + x_high);
    return y_start * (middle - x_start) + y_end * (x_end - middle);
}

// Whether the circles around two boxes meet; boxes without area meet nothing.
JLD_FUNCTION bool rotated_near(const RotatedBox& a, const RotatedBox& b) {
    double dx = a.x - b.x, dy = a.y - b.y, reach = a.radius + b.radius;
    return a.area > 0 && b.area > 0 && dx * dx + dy * dy < reach * reach;
}

JLD_FUNCTION double rotated_shared_area(const RotatedBox& a, const RotatedBox& b) {
    double c = a.cos_a * b.cos_a + a.sin_a * b.sin_a, s = a.cos_a * b.sin_a - a.sin_a * b.cos_a;
    double dx = b.x - a.x, dy = b.y - a.y, w = a.half_w, h = a.half_h;
    double x = a.cos_a * dx + a.sin_a * dy, y = a.cos_a * dy - a.sin_a * dx;
    double ux = 2 * b.half_w * c, uy = 2 * b.half_w * s, vx = -2 * b.half_h * s, vy = 2 * b.half_h * c;
    double x0 = x - 0.5 * (ux + vx), y0 = y - 0.5 * (uy + vy);
    double per_ux = rotated_inverse(ux), per_uy = rotated_inverse(uy);
    double per_vx = rotated_inverse(vx), per_vy = rotated_inverse(vy);
    double below = rotated_edge(x0, y0, ux, uy, per_ux, per_uy, w, h)
        + rotated_edge(x0 + ux, y0 + uy, vx, vy, per_vx, per_vy, w, h)
        + rotated_edge(x0 + ux + vx, y0 + uy + vy, -ux, -uy, -per_ux, -per_uy, w, h)
        + rotated_edge(x0 + vx, y0 + vy, -vx, -vy, -per_vx, -per_vy, w, h);
    return rotated_clamp(-below, 0, a.area < b.area ? a.area : b.area);
}

// IoU of two boxes, or with `of_first` the share of the first box that is covered. Never inlined: the files
// around it are compiled with fast mathematics, and two looks at a pair have to give the same bits.
JLD_NOINLINE float rotated_overlap(const RotatedBox& a, const RotatedBox& b, bool of_first) {
    if (!rotated_near(a, b)) return 0;
    double shared = rotated_shared_area(a, b);
    return (float)(shared / (of_first ? a.area : a.area + b.area - shared));
}
"""
# Groups of neighbouring boxes: a box far from all of a group is told so by one comparison.
_GROUPS = """
const int ROTATED_GROUP = 256;
struct RotatedGroup { int start, count; double x_low, x_high, y_low, y_high; };

static std::vector<RotatedBox> rotated_boxes(const float* boxes, long count) {
    std::vector<RotatedBox> made(count);
    #pragma omp parallel for
    for (long i = 0; i < count; i++) made[i] = rotated_box(boxes + 5 * i);
    return made;
}

static std::vector<RotatedGroup> rotated_groups(const std::vector<RotatedBox>& boxes) {
    std::vector<RotatedGroup> groups;
    for (int start = 0; start < (int)boxes.size(); start += ROTATED_GROUP) {
        const int count = std::min(ROTATED_GROUP, (int)boxes.size() - start);
        RotatedGroup group = {start, count, 1e30, -1e30, 1e30, -1e30};
        for (int i = start; i < start + group.count; i++) {
            const RotatedBox& box = boxes[i];
            group.x_low = std::min(group.x_low, box.x - box.radius);
            group.x_high = std::max(group.x_high, box.x + box.radius);
            group.y_low = std::min(group.y_low, box.y - box.radius);
            group.y_high = std::max(group.y_high, box.y + box.radius);
        }
        groups.push_back(group);
    }
    return groups;
}

static inline bool rotated_near(const RotatedBox& box, const RotatedGroup& group) {
    return box.area > 0 && box.x + box.radius > group.x_low && box.x - box.radius < group.x_high
        && box.y + box.radius > group.y_low && box.y - box.radius < group.y_high;
}
"""
# A first look in single precision, without trigonometry, for threads that meet a pair only once.
_GLANCE = """
JLD_FUNCTION bool rotated_far(const float* a, const float* b) {
    float dx = a[0] - b[0], dy = a[1] - b[1];
    float reach = 0.5f * (sqrtf(a[2] * a[2] + a[3] * a[3]) + sqrtf(b[2] * b[2] + b[3] * b[3]));
    return dx * dx + dy * dy > reach * reach * 1.001f + 1e-3f;
}
"""
_SETTINGS = f"""
#include <algorithm>
#include <cmath>
#include <vector>
#undef JLD_FUNCTION
#undef JLD_NOINLINE
#undef JLD_MIN_AREA
#define JLD_MIN_AREA {_MIN_AREA}
"""


def cpu_header(kernels: str = "") -> str:
    """Header of a `jt.code` operator: geometry, groups of boxes and `kernels`, in one namespace."""
    qualifiers = "#define JLD_FUNCTION static inline\n#define JLD_NOINLINE static __attribute__((noinline))\n"
    return f"{_SETTINGS}{qualifiers}namespace jittor {{ namespace {{\n{_BODY}{_GROUPS}{kernels}\n}}}}\n"


def cuda_header(kernels: str) -> str:
    """Header of its CUDA half: geometry, the first look at a pair and `kernels`."""
    qualifiers = (
        "#define JLD_FUNCTION static __device__ inline\n#define JLD_NOINLINE static __device__ __noinline__\n"
    )
    return f"{_SETTINGS}{qualifiers}namespace jittor {{ namespace {{\n{_BODY}{_GLANCE}{kernels}\n}}}}\n"
