"""Overlaps inside a band around each box's threshold, without storing those of all pairs."""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

# The formulas are those of `jld.boxes.overlaps`, modes `iou`, `diou` and `iof_diou`.
_SHARED = """
// IoU of a prior and a box where the gate lies in [low, high), else 0.
JLD_FUNCTION float valuable_overlap(const float* a, const float* b, float low, float high, bool of_prior) {
    const float right = a[2] < b[2] ? a[2] : b[2], left = a[0] > b[0] ? a[0] : b[0];
    const float bottom = a[3] < b[3] ? a[3] : b[3], top = a[1] > b[1] ? a[1] : b[1];
    const float inner = (right > left ? right - left : 0.f) * (bottom > top ? bottom - top : 0.f);
    const float area = (a[2] - a[0]) * (a[3] - a[1]);
    const float both = area + (b[2] - b[0]) * (b[3] - b[1]) - inner;
    const float overlap = inner / (both > 1e-6f ? both : 1e-6f);
    const float width = (a[2] > b[2] ? a[2] : b[2]) - (a[0] < b[0] ? a[0] : b[0]);
    const float height = (a[3] > b[3] ? a[3] : b[3]) - (a[1] < b[1] ? a[1] : b[1]);
    const float diagonal = width * width + height * height;
    const float dx = (b[0] + b[2] - a[0] - a[2]) * 0.5f, dy = (b[1] + b[3] - a[1] - a[3]) * 0.5f;
    const float share = of_prior ? inner / (area > 1e-6f ? area : 1e-6f) : overlap;
    const float gate = share - (dx * dx + dy * dy) / (diagonal > 1e-6f ? diagonal : 1e-6f);
    return gate >= low && gate < high ? overlap : 0.f;
}
"""
# Priors in groups: a box that does not touch the rectangle around a group has no overlap with any of it.
_CPU_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, priors = in0_shape1, width = 256;
    const long all = (long)in0_shape0 * priors;  // one set of priors for all images, or one for each
    const int groups = (priors + width - 1) / width;
    const float gamma = data["gamma"];
    const bool of_prior = data["of_prior"] != 0;
    #pragma omp parallel for
    for (int task = 0; task < images * groups; task++) {
        const int image = task / groups, start = task % groups * width;
        const int count = std::min(width, priors - start);
        const float* group = in0_p + 4 * ((long)image * priors % all + start);
        const float* valid = in3_p + (long)image * priors + start;
        float* best = out0_p + (long)image * priors + start;
        float left = group[0], top = group[1], right = group[2], bottom = group[3];
        for (int i = 0; i < count; i++) {
            left = std::min(left, group[4 * i]), top = std::min(top, group[4 * i + 1]);
            right = std::max(right, group[4 * i + 2]), bottom = std::max(bottom, group[4 * i + 3]);
            best[i] = 0;
        }
        for (int slot = image * slots; slot < (image + 1) * slots; slot++) {
            const float *box = in1_p + 4 * slot, high = in2_p[slot], low = gamma * high;
            if (box[0] >= right || box[2] <= left || box[1] >= bottom || box[3] <= top) continue;
            for (int i = 0; i < count; i++) {
                const float overlap = valuable_overlap(group + 4 * i, box, low, high, of_prior);
                best[i] = overlap > best[i] ? overlap : best[i];
            }
        }
        for (int i = 0; i < count; i++) best[i] *= valid[i];
    }
"""
_CUDA_HEADER = """
__global__ void valuable_kernel(const float* prior_boxes, const float* boxes, const float* thresholds,
    const float* valid, int images, int slots, int priors, long all, float gamma, bool of_prior, float* out) {
    const long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= (long)images * priors) return;
    const int image = i / priors;
    const float* prior = prior_boxes + 4 * (i % all);
    float best = 0;
    for (int slot = image * slots; slot < (image + 1) * slots; slot++) {
        const float high = thresholds[slot];
        best = fmaxf(best, valuable_overlap(prior, boxes + 4 * slot, gamma * high, high, of_prior));
    }
    out[i] = best * valid[i];
}
"""
_CUDA_SOURCE = """
    const long places = (long)in1_shape0 * in0_shape1;
    valuable_kernel<<<(places + 255) / 256, 256>>>(in0_p, in1_p, in2_p, in3_p, (int)in1_shape0,
        (int)in1_shape1, (int)in0_shape1, (long)in0_shape0 * in0_shape1, (float)data["gamma"],
        data["of_prior"] != 0, out0_p);
"""
_KERNEL = shared_headers(_SHARED, _CUDA_HEADER) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}


def valuable_overlaps(
    prior_boxes: jt.Var,
    boxes: jt.Var,
    thresholds: jt.Var,
    valid_mask: jt.Var,
    *,
    gamma: float,
    of_prior: bool,
) -> jt.Var:
    """The highest IoU of every prior among the boxes whose band holds it.

    A band holds a prior when gamma * threshold <= gate < threshold. The gate is DIoU, with `of_prior` the
    covered share of the prior in place of its IoU.

    Args:
        prior_boxes: [1 or N, P, 4] corners in px; one set for all images, or one for each.
        boxes: [N, G, 4] corners in px, of no size in empty slots.
        thresholds: [N, G].
        valid_mask: [N, P] factor of the result.
        gamma: lower end of the band as a share of the threshold, at least 0.
        of_prior: see above.
    Returns:
        [N, P], 0 where no band holds the prior.
    """
    return jt.code(
        valid_mask.shape, "float32", [prior_boxes, boxes, thresholds, valid_mask],
        data={"gamma": gamma, "of_prior": float(of_prior)}, **_KERNEL,
    )  # fmt: skip
