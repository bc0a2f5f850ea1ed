"""Overlap matching of rotated boxes and priors without storing their overlaps.

The twin of `jld.ops.max_iou_match` for rotated boxes; distillation regions use it as well. Every pass over
the pairs computes the overlaps anew, with equal bits; most pairs are dismissed in groups.
"""

from __future__ import annotations

from dataclasses import dataclass

from jld.ops.rotated_geometry import cpu_header, cuda_header
from jld.toolchain import jittor as jt

# Which of the priors that tie for a box's highest overlap it claims; the numbers are those of the enum.
TIES = {"all": 0, "nearest": 1, "first": 2}
_SHARED = """
enum { ALL, NEAREST, FIRST };
// Squared distance of the centres in px, never inlined: it is compared for equality.
JLD_NOINLINE float rotated_distance(const RotatedBox& a, const RotatedBox& b) {
    double dx = a.x - b.x, dy = a.y - b.y;
    return (float)(dx * dx + dy * dy);
}
"""
_CPU_HEADER = cpu_header(
    _SHARED
    + """
// Overlaps of one box with a group of priors, -1 for those that may not be matched.
static void rotated_group_overlaps(const RotatedBox& box, const std::vector<RotatedBox>& priors,
                                   const RotatedGroup& group, const float* usable, bool of_prior,
                                   float* out) {
    const bool near = rotated_near(box, group);
    for (int i = 0; i < group.count; i++) {
        out[i] = usable[i] > 0 ? 0.f : -1.f;
        if (near && usable[i] > 0) out[i] = rotated_overlap(priors[group.start + i], box, of_prior);
    }
}
"""
)
_CPU_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, places = in0_shape1, sets = in0_shape0;
    const float minimum = data["minimum"];
    const int ties = data["ties"];
    const bool of_prior = data["of_prior"] != 0;
    const std::vector<RotatedBox> boxes = rotated_boxes(in1_p, (long)images * slots);
    // One set of priors serves all images, or each has its own.
    std::vector<std::vector<RotatedBox>> priors;
    std::vector<std::vector<RotatedGroup>> groups;
    for (int set = 0; set < sets; set++) {
        priors.push_back(rotated_boxes(in0_p + 5L * set * places, places));
        groups.push_back(rotated_groups(priors.back()));
    }
    const int groups_per_set = groups[0].size(), tasks = images * groups_per_set;
    std::fill(out3_p, out3_p + images * slots, -1.f);
    std::fill(out4_p, out4_p + images * slots, places);
    std::fill(out5_p, out5_p + images * slots, 1e30f);
    #pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < tasks; task++) {
        const int image = task / groups_per_set;
        const RotatedGroup& group = groups[image % sets][task % groups_per_set];
        const float* usable = in3_p + (long)image * places + group.start;
        float* best = out0_p + (long)image * places + group.start;
        int* first = out1_p + (long)image * places + group.start;
        float overlap[ROTATED_GROUP];
        std::vector<float> reached(slots, -1.f);
        std::fill(best, best + group.count, -1.f);
        std::fill(first, first + group.count, 0);
        const bool any_usable = std::any_of(usable, usable + group.count, [](float u) { return u > 0; });
        bool is_first = true;
        for (int slot = 0; any_usable && slot < slots; slot++) {
            const int k = image * slots + slot;
            if (in2_p[k] <= 0) continue;
            reached[slot] = 0;
            // The first box is looked at in any case: it sets the overlap 0 of all that no box comes near.
            if (!is_first && !rotated_near(boxes[k], group)) continue;
            rotated_group_overlaps(boxes[k], priors[image % sets], group, usable, of_prior, overlap);
            for (int i = 0; i < group.count; i++) {
                reached[slot] = std::max(reached[slot], overlap[i]);
                float accepted = overlap[i] < 0 ? -1.f : overlap[i] < in4_p[k] ? 0.f : overlap[i];
                if (accepted > best[i]) best[i] = accepted, first[i] = slot;
            }
            is_first = false;
        }
        #pragma omp critical
        for (int slot = 0; slot < slots; slot++)
            out3_p[image * slots + slot] = std::max(out3_p[image * slots + slot], reached[slot]);
    }
    // Calls body(image, slot, place) for every prior that reaches the highest overlap of a box.
    auto for_ties = [&](auto body) {
        #pragma omp parallel for schedule(dynamic)
        for (int task = 0; task < tasks; task++) {
            const int image = task / groups_per_set;
            const RotatedGroup& group = groups[image % sets][task % groups_per_set];
            float overlap[ROTATED_GROUP];
            for (int slot = 0; slot < slots; slot++) {
                const int k = image * slots + slot;
                const float reached = out3_p[k];
                if (in2_p[k] <= 0 || reached < 0 || reached < minimum) continue;
                if (reached > 0 && !rotated_near(boxes[k], group)) continue;
                const float* usable = in3_p + (long)image * places + group.start;
                rotated_group_overlaps(boxes[k], priors[image % sets], group, usable, of_prior, overlap);
                for (int i = 0; i < group.count; i++)
                    if (overlap[i] == reached) body(image, slot, group.start + i);
            }
        }
    };
    std::fill(out2_p, out2_p + (long)images * places, -1);
    if (ties == NEAREST) for_ties([&](int image, int slot, int place) {
        float* nearest = out5_p + image * slots + slot;
        const float distance = rotated_distance(priors[image % sets][place], boxes[image * slots + slot]);
        #pragma omp critical
        *nearest = std::min(*nearest, distance);
    });
    for_ties([&](int image, int slot, int place) {
        const int k = image * slots + slot;
        int* claimed = out2_p + (long)image * places + place;
        const auto& prior = priors[image % sets][place];
        if (ties == ALL || (ties == NEAREST && rotated_distance(prior, boxes[k]) == out5_p[k]))
            *claimed = slot;
        if (ties != FIRST) return;
        #pragma omp critical
        out4_p[k] = std::min(out4_p[k], place);
    });
    for (int i = 0; i < images * slots; i++)
        if (out4_p[i] < places) out2_p[(long)(i / slots) * places + out4_p[i]] = i % slots;
"""
_CUDA_HEADER = cuda_header(
    _SHARED
    + """
__device__ inline float rotated_pair(const float* place, const RotatedBox& prior, const float* box,
                                     bool of_prior) {
    return rotated_far(place, box) ? 0.f : rotated_overlap(prior, rotated_box(box), of_prior);
}
__global__ void rotated_match_start(long pairs, long slots, int places, int* claimed, int* reached,
                                    int* earliest, int* nearest) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < pairs) claimed[i] = -1;
    if (i < slots)
        reached[i] = __float_as_int(-1.f), earliest[i] = places, nearest[i] = __float_as_int(1e30f);
}
__global__ void rotated_match_best(int images, int slots, int places, long all, const float* priors,
    const float* boxes, const float* mask, const float* usable, const float* floors, bool of_prior,
    float* best, int* first, int* reached) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= (long)images * places) return;
    const float* place = priors + 5 * (i % all);
    const int image = i / places;
    const RotatedBox prior = rotated_box(place);
    float most = -1;
    int which = 0;
    for (int slot = image * slots; usable[i] > 0 && slot < (image + 1) * slots; slot++) {
        if (mask[slot] <= 0) continue;
        float overlap = rotated_pair(place, prior, boxes + 5 * slot, of_prior);
        float accepted = overlap < floors[slot] ? 0.f : overlap;
        if (accepted > most) most = accepted, which = slot - image * slots;
        // Floats of 0 and above order like the integers of their bits; the read spares most of the atomics.
        if (__float_as_int(overlap) > reached[slot]) atomicMax(reached + slot, __float_as_int(overlap));
    }
    best[i] = most;
    first[i] = which;
}
// Run twice for NEAREST, first with `measure` to find the smallest distance of every box.
__global__ void rotated_match_claims(int images, int slots, int places, long all, const float* priors,
    const float* boxes, const float* mask, const float* usable, const float* reached, float minimum, int ties,
    bool of_prior, bool measure, int* claimed, int* earliest, int* nearest) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= (long)images * places || usable[i] <= 0) return;
    const float* place = priors + 5 * (i % all);
    const int image = i / places;
    const RotatedBox prior = rotated_box(place);
    for (int slot = image * slots; slot < (image + 1) * slots; slot++) {
        if (mask[slot] <= 0 || reached[slot] < 0 || reached[slot] < minimum) continue;
        if (rotated_pair(place, prior, boxes + 5 * slot, of_prior) != reached[slot]) continue;
        // Distances order like the integers of their bits.
        int distance = __float_as_int(rotated_distance(prior, rotated_box(boxes + 5 * slot)));
        if (measure) atomicMin(nearest + slot, distance);
        else if (ties == FIRST) atomicMin(earliest + slot, (int)(i % places));
        else if (ties == ALL || distance == nearest[slot]) claimed[i] = slot - image * slots;
    }
}
__global__ void rotated_match_earliest(int images, int slots, int places, const int* earliest, int* claimed) {
    int slot = blockIdx.x * blockDim.x + threadIdx.x;
    if (slot < images * slots && earliest[slot] < places)
        atomicMax(claimed + (long)(slot / slots) * places + earliest[slot], slot % slots);
}
"""
)
_CUDA_SOURCE = """
    const int images = in1_shape0, slots = in1_shape1, places = in0_shape1;
    const long all = (long)in0_shape0 * places;
    const long pairs = (long)images * places, all_slots = (long)images * slots;
    const int blocks = (std::max(pairs, all_slots) + 255) / 256;
    const int ties = data["ties"];
    const bool of_prior = data["of_prior"] != 0;
    int *reached = (int*)out3_p, *nearest = (int*)out5_p;
    rotated_match_start<<<blocks, 256>>>(pairs, all_slots, places, out2_p, reached, out4_p, nearest);
    rotated_match_best<<<blocks, 256>>>(images, slots, places, all, in0_p, in1_p, in2_p, in3_p, in4_p,
        of_prior, out0_p, out1_p, reached);
    for (int measure = ties == NEAREST; measure >= 0; measure--)
        rotated_match_claims<<<blocks, 256>>>(images, slots, places, all, in0_p, in1_p, in2_p, in3_p, out3_p,
            (float)data["minimum"], ties, of_prior, measure, out2_p, out4_p, nearest);
    rotated_match_earliest<<<blocks, 256>>>(images, slots, places, out4_p, out2_p);
"""
_KERNEL = {
    "cpu_header": _CPU_HEADER,
    "cpu_src": _CPU_SOURCE,
    "cuda_header": _CUDA_HEADER,
    "cuda_src": _CUDA_SOURCE,
}
# Above every overlap: with it as `min_pos_iou` no box claims a prior.
NEVER = 2.0


@dataclass(frozen=True)
class RotatedMatch:
    """What `rotated_match` finds; nothing of it has a gradient.

    Attributes:
        best: [N, P] highest accepted overlap, 0 without one, -1 where the prior is not usable or the image
            has no box.
        first: [N, P] int32 its box slot, the first of several.
        claimed: [N, P] int32 box slot that claims the prior, the last of several, -1 where none does.
        reached: [N, G] highest overlap of the box with any usable prior, -1 without one or in empty slots.
    """

    best: jt.Var
    first: jt.Var
    claimed: jt.Var
    reached: jt.Var


def rotated_match(
    prior_boxes: jt.Var,
    boxes: jt.Var,
    slot_mask: jt.Var,
    usable: jt.Var,
    *,
    floors: jt.Var | None = None,
    min_pos_iou: float = NEVER,
    ties: str = "all",
    of_prior: bool = False,
) -> RotatedMatch:
    """Best box of every prior, and the boxes that claim a prior because they have no better one.

    Args:
        prior_boxes: [1 or N, P, 5] rotated boxes, px and radians; one set for all images, or one for each.
        boxes: [N, G, 5] likewise.
        slot_mask: [N, G] 1 for real boxes.
        usable: [N, P] 1 for priors that may be matched.
        floors: [N, G] a box accepts only overlaps from this on as best ones; None: any.
        min_pos_iou: a box claims priors when its highest overlap is at least this.
        ties: of the priors that tie for a box's highest overlap it claims `all`, those `nearest` to its
            centre, or the `first`.
        of_prior: overlaps are the covered share of the prior instead of the IoU.
    """
    n, g = slot_mask.shape
    p = prior_boxes.shape[1]
    settings = {"minimum": float(min_pos_iou), "ties": TIES[ties], "of_prior": float(of_prior)}
    with jt.no_grad():
        best, first, claimed, reached, _, _ = jt.code(
            [[n, p], [n, p], [n, p], [n, g], [n, g], [n, g]],
            ["float32", "int32", "int32", "float32", "int32", "float32"],
            [prior_boxes, boxes, slot_mask, usable, jt.zeros((n, g)) if floors is None else floors],
            data=settings,
            **_KERNEL,
        )
    return RotatedMatch(best, first, claimed, reached)
