"""Acceptance of candidate priors by their overlap with a box, and the best box of every prior (ATSS)."""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

_SHARED = """
// IoU; in double precision, so that the result does not depend on which operations are fused.
JLD_FUNCTION float atss_overlap(const float* a, const float* b) {
    const double right = a[2] < b[2] ? a[2] : b[2], left = a[0] > b[0] ? a[0] : b[0];
    const double bottom = a[3] < b[3] ? a[3] : b[3], top = a[1] > b[1] ? a[1] : b[1];
    const double inner = (right > left ? right - left : 0) * (bottom > top ? bottom - top : 0);
    const double first = ((double)a[2] - a[0]) * ((double)a[3] - a[1]);
    const double outer = first + ((double)b[2] - b[0]) * ((double)b[3] - b[1]) - inner;
    return (float)(inner / (outer > 1e-6 ? outer : 1e-6));
}

// Mean plus standard deviation. One candidate has no deviation: the reference gets NaN and no positive there.
JLD_FUNCTION float atss_threshold(double count, double mean, double squares, float unreachable) {
    return count > 1 ? (float)(mean + sqrt(squares / (count - 1))) : unreachable;
}

// Distance in px from the prior's centre to the nearest side of the box, negative outside.
JLD_FUNCTION float atss_inset(const float* prior, const float* box) {
    const float x = (prior[0] + prior[2]) * 0.5f, y = (prior[1] + prior[3]) * 0.5f;
    const float across = x - box[0] < box[2] - x ? x - box[0] : box[2] - x;
    const float along = y - box[1] < box[3] - y ? y - box[1] : box[3] - y;
    return across < along ? across : along;
}
"""
_CPU_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, candidates = in2_shape2, priors = in0_shape1;
    const long all = (long)in0_shape0 * priors;  // one set of priors for all images, or one for each
    const float min_inset = data["min_inset"], unreachable = data["unreachable"];
    #pragma omp parallel for
    for (int image = 0; image < images; image++) {
        const float* prior_boxes = in0_p + 4 * ((long)image * priors % all);
        int* gt_index = out0_p + (long)image * priors;
        float* best = out1_p + (long)image * priors;
        std::fill(gt_index, gt_index + priors, -1);
        std::fill(best, best + priors, 0.f);
        for (int slot = 0; slot < slots; slot++) {
            const long row = (long)image * slots + slot;
            const float *box = in1_p + 4 * row, *mask = in3_p + row * candidates;
            const int* index = in2_p + row * candidates;
            float* overlap = out3_p + row * candidates;
            double count = 0, mean = 0, squares = 0;
            for (int i = 0; i < candidates; i++) {
                overlap[i] = mask[i] > 0 ? atss_overlap(prior_boxes + 4 * index[i], box) : -1.f;
                if (mask[i] > 0) count++, mean += overlap[i];
            }
            mean /= count > 1 ? count : 1;
            for (int i = 0; i < candidates; i++)
                if (mask[i] > 0) squares += (overlap[i] - mean) * (overlap[i] - mean);
            const float threshold = out2_p[row] = atss_threshold(count, mean, squares, unreachable);
            for (int i = 0; i < candidates; i++) {
                const int prior = index[i];
                if (mask[i] <= 0 || overlap[i] < threshold) continue;
                if (atss_inset(prior_boxes + 4 * prior, box) <= min_inset) continue;
                if (gt_index[prior] < 0 || overlap[i] > best[prior])
                    gt_index[prior] = slot, best[prior] = overlap[i];
            }
        }
    }
"""
_CUDA_HEADER = """
__device__ inline double atss_sum(double value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
// One warp for each box. A bid's upper half is the overlap, its lower half prefers the first of equal boxes;
// no bid is 0.
__global__ void atss_bids(const float* every_prior, long all, const float* boxes, const int* all_index,
    const float* all_mask, int images, int slots, int candidates, int priors, float min_inset,
    float unreachable, float* thresholds, float* overlaps, unsigned long long* bids) {
    const long row = blockIdx.x * (long)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= (long)images * slots) return;
    const int lane = threadIdx.x % 32;
    const float* prior_boxes = every_prior + 4 * (row / slots * priors % all);
    const float *box = boxes + 4 * row, *mask = all_mask + row * candidates;
    const int* index = all_index + row * candidates;
    float* overlap = overlaps + row * candidates;  // every lane reads only what it wrote
    double count = 0, mean = 0, squares = 0;
    for (int i = lane; i < candidates; i += 32) {
        overlap[i] = mask[i] > 0 ? atss_overlap(prior_boxes + 4 * index[i], box) : -1.f;
        if (mask[i] > 0) count++, mean += overlap[i];
    }
    count = atss_sum(count);
    mean = atss_sum(mean) / (count > 1 ? count : 1);
    for (int i = lane; i < candidates; i += 32)
        if (mask[i] > 0) squares += (overlap[i] - mean) * (overlap[i] - mean);
    const float threshold = atss_threshold(count, mean, atss_sum(squares), unreachable);
    if (lane == 0) thresholds[row] = threshold;
    for (int i = lane; i < candidates; i += 32) {
        if (mask[i] <= 0 || overlap[i] < threshold) continue;
        if (atss_inset(prior_boxes + 4 * index[i], box) <= min_inset) continue;
        const unsigned slot = row % slots;
        atomicMax(bids + row / slots * priors + index[i],
                  (unsigned long long)__float_as_uint(overlap[i]) << 32 | (0xffffffffu - slot));
    }
}
__global__ void atss_winners(const unsigned long long* bids, long places, int* gt_index, float* best) {
    const long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= places) return;
    gt_index[i] = bids[i] ? (int)(0xffffffffu - (unsigned)bids[i]) : -1;
    best[i] = __uint_as_float((unsigned)(bids[i] >> 32));
}
"""
_CUDA_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, priors = in0_shape1;
    const long places = (long)images * priors;
    unsigned long long* bids = (unsigned long long*)out4_p;
    cudaMemsetAsync(bids, 0, out4->size, 0);
    atss_bids<<<(images * slots + 3) / 4, 128>>>(in0_p, (long)in0_shape0 * priors, in1_p, in2_p, in3_p,
        images, slots, (int)in2_shape2, priors, (float)data["min_inset"], (float)data["unreachable"], out2_p,
        out3_p, bids);
    atss_winners<<<(places + 255) / 256, 256>>>(bids, places, out0_p, out1_p);
"""
_KERNEL = shared_headers(_SHARED, _CUDA_HEADER) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}


def atss_match(
    prior_boxes: jt.Var,
    boxes: jt.Var,
    index: jt.Var,
    mask: jt.Var,
    *,
    min_inset_px: float,
    unreachable: float,
) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Accepts a candidate when its IoU with the box reaches the box's threshold and its centre lies inside.

    The threshold is mean plus standard deviation (divisor count - 1) of the candidates' IoU. A prior that
    several boxes accept goes to the one of highest IoU, on a tie to the first.

    Args:
        prior_boxes: [1 or N, P, 4] corners in px; one set for all images, or one for each.
        boxes: [N, G, 4] corners in px.
        index: [N, G, M] int32 the candidates of each box.
        mask: [N, G, M] 1 where a candidate is real; none is in an empty slot.
        min_inset_px: the centre must be further than this from every side.
        unreachable: threshold of boxes with fewer than two candidates.
    Returns:
        box slot [N, P] int32, -1 without one; its IoU [N, P], 0 without one; thresholds [N, G].
    """
    n, g = boxes.shape[:2]
    p = prior_boxes.shape[1]
    gt_index, max_iou, thresholds, _, _ = jt.code(
        [[n, p], [n, p], [n, g], index.shape, [n, p]],
        ["int32", "float32", "float32", "float32", "int64"],
        [prior_boxes, boxes, index, mask],
        data={"min_inset": min_inset_px, "unreachable": unreachable},
        **_KERNEL,
    )
    return gt_index, max_iou, thresholds
