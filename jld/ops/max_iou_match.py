"""Overlap matching of boxes and priors without storing their overlaps.

Every pass over the pairs computes the IoU anew, with the same IEEE operations in the same order, so two
passes agree to the last bit and ties mean what they mean in PyTorch. Jittor's own kernels cannot do that:
they are compiled with fast mathematics. Memory is that of the priors, whatever the number of boxes.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

_CPU_HEADER = """
#include <algorithm>
#include <cstring>
#include <vector>
namespace jittor { namespace {
const int CHUNK = 512;

// Corners, areas and usability of some neighbouring priors, one array per coordinate.
struct Chunk {
    float x1[CHUNK], y1[CHUNK], x2[CHUNK], y2[CHUNK], area[CHUNK], usable[CHUNK], overlap[CHUNK];
    int start, count;
};

// Strict arithmetic: the surrounding file is compiled with -Ofast.
__attribute__((noinline, optimize("no-fast-math", "fp-contract=off")))
void load_chunk(Chunk& chunk, const float* priors, const float* usable) {
    for (int i = 0; i < chunk.count; i++) {
        const float* prior = priors + 4 * (chunk.start + i);
        chunk.x1[i] = prior[0], chunk.y1[i] = prior[1], chunk.x2[i] = prior[2], chunk.y2[i] = prior[3];
        chunk.area[i] = (prior[2] - prior[0]) * (prior[3] - prior[1]);
        chunk.usable[i] = usable[chunk.start + i];
    }
}

__attribute__((noinline, optimize("no-fast-math", "fp-contract=off")))
void overlap_chunk(Chunk& chunk, const float* box) {
    // Conditionals instead of std::min: calls into code with other flags would not be inlined.
    const float x1 = box[0], y1 = box[1], x2 = box[2], y2 = box[3], area = (x2 - x1) * (y2 - y1);
    for (int i = 0; i < chunk.count; i++) {
        float right = x2 < chunk.x2[i] ? x2 : chunk.x2[i], left = x1 > chunk.x1[i] ? x1 : chunk.x1[i];
        float bottom = y2 < chunk.y2[i] ? y2 : chunk.y2[i], top = y1 > chunk.y1[i] ? y1 : chunk.y1[i];
        float width = right - left > 0.f ? right - left : 0.f, height = bottom - top > 0.f ? bottom - top :
        0.f; float inner = width * height, outer = area + chunk.area[i] - inner;
        float overlap = inner / (outer > 1e-6f ? outer : 1e-6f);
        chunk.overlap[i] = chunk.usable[i] > 0 ? overlap : -1.f;
    }
}

// Calls body(image, chunk) for all priors of all images, in parallel.
template <class Body>
void for_chunks(int images, int priors, long all, const float* boxes, const float* usable, Body body) {
    const int chunks = (priors + CHUNK - 1) / CHUNK;
    #pragma omp parallel for
    for (int i = 0; i < images * chunks; i++) {
        Chunk chunk;
        chunk.start = i % chunks * CHUNK;
        chunk.count = std::min(CHUNK, priors - chunk.start);
        // One set of priors serves all images, or each has its own: `all` priors lie behind `boxes`.
        const long first = (long)(i / chunks) * priors;
        load_chunk(chunk, boxes + 4 * (first % all), usable + first);
        body(i / chunks, chunk);
    }
}
}}
"""
_CPU_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, priors = in0_shape1;
    const long all = (long)in0_shape0 * priors;
    const float minimum = data["minimum"];
    const bool assign_all = data["assign_all"];
    std::fill(out3_p, out3_p + images * slots, -1.f);
    std::fill(out4_p, out4_p + images * slots, priors);
    std::fill(out2_p, out2_p + (long)images * priors, -1);
    for_chunks(images, priors, all, in0_p, in3_p, [&](int image, Chunk& chunk) {
        float* best = out0_p + (long)image * priors + chunk.start;
        int* first = out1_p + (long)image * priors + chunk.start;
        std::fill(best, best + chunk.count, -1.f);
        std::fill(first, first + chunk.count, 0);
        std::vector<float> reached(slots, -1.f);
        for (int slot = 0; slot < slots; slot++) {
            if (in2_p[image * slots + slot] <= 0) continue;
            overlap_chunk(chunk, in1_p + 4 * (image * slots + slot));
            float most = -1;
            for (int i = 0; i < chunk.count; i++) {
                bool better = chunk.overlap[i] > best[i];
                first[i] = better ? slot : first[i];
                best[i] = better ? chunk.overlap[i] : best[i];
                most = std::max(most, chunk.overlap[i]);
            }
            reached[slot] = most;
        }
        #pragma omp critical
        for (int slot = 0; slot < slots; slot++)
            out3_p[image * slots + slot] = std::max(out3_p[image * slots + slot], reached[slot]);
    });
    for_chunks(images, priors, all, in0_p, in3_p, [&](int image, Chunk& chunk) {
        int* claimed = out2_p + (long)image * priors + chunk.start;
        for (int slot = 0; slot < slots; slot++) {
            const float reached = out3_p[image * slots + slot];
            if (in2_p[image * slots + slot] <= 0 || reached < 0 || reached < minimum) continue;
            overlap_chunk(chunk, in1_p + 4 * (image * slots + slot));
            for (int i = 0; assign_all && i < chunk.count; i++)
                claimed[i] = chunk.overlap[i] == reached ? slot : claimed[i];
            if (assign_all) continue;
            int place = std::find(chunk.overlap, chunk.overlap + chunk.count, reached) - chunk.overlap;
            int* earliest = out4_p + image * slots + slot;
            #pragma omp critical
            if (place < chunk.count) *earliest = std::min(*earliest, chunk.start + place);
        }
    });
    for (int i = 0; i < images * slots; i++)
        if (out4_p[i] < priors) out2_p[(long)(i / slots) * priors + out4_p[i]] = i % slots;
"""
_CUDA_HEADER = """
#include <algorithm>
namespace jittor { namespace {
// Intrinsics round each operation: the compiler may neither merge nor approximate them.
__device__ inline float strict_area(const float* b) {
    return __fmul_rn(__fsub_rn(b[2], b[0]), __fsub_rn(b[3], b[1]));
}
__device__ inline float strict_overlap(const float* box, const float* prior) {
    float width = fmaxf(__fsub_rn(fminf(box[2], prior[2]), fmaxf(box[0], prior[0])), 0.f);
    float height = fmaxf(__fsub_rn(fminf(box[3], prior[3]), fmaxf(box[1], prior[1])), 0.f);
    float inner = __fmul_rn(width, height);
    float outer = __fsub_rn(__fadd_rn(strict_area(box), strict_area(prior)), inner);
    return __fdiv_rn(inner, fmaxf(outer, 1e-6f));
}
__global__ void match_start(long pairs, long slots, int priors, int* claimed, int* reached, int* earliest) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < pairs) claimed[i] = -1;
    if (i < slots) reached[i] = __float_as_int(-1.f), earliest[i] = priors;
}
__global__ void match_best(int images, int slots, int priors, long all, const float* prior_boxes,
    const float* boxes, const float* mask, const float* usable, float* best, int* first, int* reached) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= (long)images * priors) return;
    int image = i / priors;
    float most = -1;
    int which = 0;
    for (int slot = image * slots; usable[i] > 0 && slot < (image + 1) * slots; slot++) {
        if (mask[slot] <= 0) continue;
        float overlap = strict_overlap(boxes + 4 * slot, prior_boxes + 4 * (i % all));
        if (overlap > most) most = overlap, which = slot - image * slots;
        // Floats of 0 and above order like the integers of their bits; the read spares most of the atomics.
        if (__float_as_int(overlap) > reached[slot]) atomicMax(reached + slot, __float_as_int(overlap));
    }
    best[i] = most;
    first[i] = which;
}
__global__ void match_claims(int images, int slots, int priors, long all, const float* prior_boxes,
    const float* boxes, const float* mask, const float* usable, const float* reached, float minimum,
    bool assign_all, int* claimed, int* earliest) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= (long)images * priors || usable[i] <= 0) return;
    int image = i / priors;
    for (int slot = image * slots; slot < (image + 1) * slots; slot++) {
        if (mask[slot] <= 0 || reached[slot] < 0 || reached[slot] < minimum) continue;
        if (strict_overlap(boxes + 4 * slot, prior_boxes + 4 * (i % all)) != reached[slot]) continue;
        if (assign_all) claimed[i] = slot - image * slots;
        else atomicMin(earliest + slot, (int)(i % priors));
    }
}
__global__ void match_earliest(int images, int slots, int priors, const int* earliest, int* claimed) {
    int slot = blockIdx.x * blockDim.x + threadIdx.x;
    if (slot < images * slots && earliest[slot] < priors)
        atomicMax(claimed + (long)(slot / slots) * priors + earliest[slot], slot % slots);
}
}}
"""
_CUDA_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, priors = in0_shape1;
    const long all = (long)in0_shape0 * priors;
    const long places = (long)images * priors, all_slots = (long)images * slots;
    const int blocks = (std::max(places, all_slots) + 255) / 256;
    match_start<<<blocks, 256>>>(places, all_slots, priors, out2_p, (int*)out3_p, out4_p);
    match_best<<<blocks, 256>>>(
        images, slots, priors, all, in0_p, in1_p, in2_p, in3_p, out0_p, out1_p, (int*)out3_p);
    match_claims<<<blocks, 256>>>(images, slots, priors, all, in0_p, in1_p, in2_p, in3_p, out3_p,
        (float)data["minimum"], data["assign_all"] != 0, out2_p, out4_p);
    match_earliest<<<blocks, 256>>>(images, slots, priors, out4_p, out2_p);
"""


def max_iou_match(
    prior_boxes: jt.Var,
    boxes: jt.Var,
    slot_mask: jt.Var,
    usable: jt.Var,
    *,
    min_pos_iou: float,
    assign_all: bool,
) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Best box of every prior, and the boxes that claim a prior because they have no better one.

    Args:
        prior_boxes: [1 or N, P, 4] corners in px; one set for all images, or one for each.
        boxes: [N, G, 4] corners in px.
        slot_mask: [N, G] 1 for real boxes.
        usable: [N, P] 1 for priors that may be matched.
        min_pos_iou: a box claims priors when its best IoU is at least this.
        assign_all: a box claims every prior that ties for its best IoU, or the first of them only.
    Returns:
        best IoU [N, P], -1 where the prior is not usable or the image has no box;
        its box slot [N, P] int32, the first of several;
        claiming box slot [N, P] int32, the last of several, -1 where no box claims the prior.
    """
    n, g = slot_mask.shape
    p = prior_boxes.shape[1]
    best, first, claimed, _, _ = jt.code(
        [[n, p], [n, p], [n, p], [n, g], [n, g]],
        ["float32", "int32", "int32", "float32", "int32"],
        [prior_boxes, boxes, slot_mask, usable],
        data={"minimum": float(min_pos_iou), "assign_all": float(assign_all)},
        cpu_header=_CPU_HEADER,
        cpu_src=_CPU_SOURCE,
        cuda_header=_CUDA_HEADER,
        cuda_src=_CUDA_SOURCE,
    )
    return best, first, claimed
