"""A fixed number of places for a loss: some positives, the rest negatives, chosen by chance on the device.

Every place draws a number that follows from the image's seed and the place alone, and those with the smallest
numbers are taken. So the choice does not depend on the device, on the other images, or on what was drawn
before; but in a batch that is padded to another size, or to more boxes, the places have other numbers.
"""

from __future__ import annotations

from jld.ops.headers import shared_headers
from jld.toolchain import jittor as jt

_SHARED = """
// Different for all places of one seed: every step can be undone.
JLD_FUNCTION unsigned mixed(unsigned x) {
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}
JLD_FUNCTION unsigned lot_of(unsigned place, unsigned seed) {
    return mixed(mixed(place ^ seed) + 0x9e3779b9u * (seed | 1u));
}
// 0 for a positive, 1 for a negative, -1 for a place that may not be taken.
JLD_FUNCTION int side_of(int gt_index, float usable) {
    return usable > 0 && gt_index >= -1 ? (gt_index >= 0 ? 0 : 1) : -1;
}
// Whether the `rank`-th of `count` candidates is one of `wanted` that are spread evenly.
JLD_FUNCTION bool is_spread(long rank, long count, long wanted) {
    if (wanted <= 0) return false;
    const long turn = (rank * wanted + count - 1) / count;
    return turn < wanted && turn * count / wanted == rank;
}
JLD_FUNCTION int wanted_of(int side, const int* counts, int num, int most_positives, float ratio) {
    const int positives = counts[0] < most_positives ? counts[0] : most_positives;
    if (side == 0) return positives;
    int room = num - positives;
    if (ratio >= 0) {
        const int limit = (int)(ratio * (positives > 1 ? positives : 1));
        room = room < limit ? room : limit;
    }
    return counts[1] < room ? counts[1] : room;
}
"""
_HEAD = """
    const int images = in0_shape0, places = in0_shape1, num = out0_shape1;
    const int most_positives = data["most_positives"], is_even = data["is_even"];
    const float ratio = data["ratio"];
"""
_CPU_SOURCE = (
    _HEAD
    + """
    #pragma omp parallel for
    for (int image = 0; image < images; image++) {
        const int* gt_index = in0_p + (long)image * places;
        const float* usable = in1_p + (long)image * places;
        const unsigned seed = in2_p[image];
        int* slots = out0_p + (long)image * num;
        float* chosen = out1_p + (long)image * places;
        std::fill(slots, slots + num, places);
        std::fill(chosen, chosen + places, 0.f);
        std::vector<int> candidates[2];
        for (int place = 0; place < places; place++) {
            const int side = side_of(gt_index[place], usable[place]);
            if (side >= 0) candidates[side].push_back(place);
        }
        const int counts[2] = {(int)candidates[0].size(), (int)candidates[1].size()};
        for (int side = 0, slot = 0; side < 2; side++) {
            const int wanted = wanted_of(side, counts, num, most_positives, ratio);
            const std::vector<int>& all = candidates[side];
            unsigned limit = 0xffffffffu;
            if (!is_even && wanted > 0) {
                std::vector<unsigned> lots;
                for (int place : all) lots.push_back(lot_of(place, seed));
                std::nth_element(lots.begin(), lots.begin() + wanted - 1, lots.end());
                limit = lots[wanted - 1];
            }
            for (int rank = 0; wanted > 0 && rank < counts[side]; rank++) {
                const bool takes = is_even ? is_spread(rank, counts[side], wanted)
                                           : lot_of(all[rank], seed) <= limit;
                if (!takes) continue;
                slots[slot++] = all[rank];
                chosen[all[rank]] = 1;
            }
        }
    }
"""
)
_CUDA_KERNEL = """
const int THREADS = 1024;
// Place of this thread among those whose `flag` is set, and how many there are; all threads must call it.
__device__ inline int rank_in_block(bool flag, int* warps, int* total) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned set = __ballot_sync(0xffffffffu, flag);
    if (lane == 0) warps[warp] = __popc(set);
    __syncthreads();
    int before = 0, all = 0;
    for (int i = 0; i < THREADS / 32; i++) before += i < warp ? warps[i] : 0, all += warps[i];
    __syncthreads();
    *total = all;
    return before + __popc(set & ((1u << lane) - 1));
}
// One block for each image.
__global__ void sample_kernel(const int* all_index, const float* all_usable, const int* seeds, int* all_slots,
                              float* all_chosen, int places, int num, int most_positives, int is_even,
                              float ratio) {
    __shared__ int counts[2], warps[THREADS / 32], bins[256];
    __shared__ unsigned prefix;
    __shared__ int left;
    const int* gt_index = all_index + (long)blockIdx.x * places;
    const float* usable = all_usable + (long)blockIdx.x * places;
    int* slots = all_slots + (long)blockIdx.x * num;
    float* chosen = all_chosen + (long)blockIdx.x * places;
    const unsigned seed = seeds[blockIdx.x];
    if (threadIdx.x < 2) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < num; i += THREADS) slots[i] = places;
    for (int place = threadIdx.x; place < places; place += THREADS) {
        chosen[place] = 0;
        const int side = side_of(gt_index[place], usable[place]);
        if (side >= 0) atomicAdd(counts + side, 1);
    }
    __syncthreads();
    for (int side = 0, slot = 0; side < 2; side++) {
        const int wanted = wanted_of(side, counts, num, most_positives, ratio);
        // The largest lot that is still taken, eight bits at a time.
        if (threadIdx.x == 0) prefix = 0, left = wanted;
        for (int shift = 24; !is_even && wanted > 0 && shift >= 0; shift -= 8) {
            for (int i = threadIdx.x; i < 256; i += THREADS) bins[i] = 0;
            __syncthreads();
            for (int place = threadIdx.x; place < places; place += THREADS) {
                const unsigned lot = lot_of(place, seed);
                const bool is_alike = shift == 24 || lot >> (shift + 8) == prefix >> (shift + 8);
                if (is_alike && side_of(gt_index[place], usable[place]) == side)
                    atomicAdd(bins + (lot >> shift & 255u), 1);
            }
            __syncthreads();
            if (threadIdx.x == 0) {
                int bin = 0;
                for (; bin < 255 && left > bins[bin]; bin++) left -= bins[bin];
                prefix |= (unsigned)bin << shift;
            }
            __syncthreads();
        }
        __syncthreads();
        for (int start = 0, seen = 0; wanted > 0 && start < places; start += THREADS) {
            const int place = start + threadIdx.x;
            const bool is_candidate = place < places && side_of(gt_index[place], usable[place]) == side;
            int candidates = 0, taken = 0;
            const int rank = seen + rank_in_block(is_candidate, warps, &candidates);
            const bool takes = is_candidate && (is_even ? is_spread(rank, counts[side], wanted)
                                                        : lot_of(place, seed) <= prefix);
            const int turn = slot + rank_in_block(takes, warps, &taken);
            if (takes) slots[turn] = place, chosen[place] = 1;
            seen += candidates, slot += taken;
        }
        __syncthreads();
    }
}
"""
_CUDA_SOURCE = (
    _HEAD
    + """
    if (images > 0)
        sample_kernel<<<images, THREADS>>>(in0_p, in1_p, in2_p, out0_p, out1_p, places, num, most_positives,
                                           is_even, ratio);
"""
)
_KERNEL = shared_headers(_SHARED, _CUDA_KERNEL) | {"cpu_src": _CPU_SOURCE, "cuda_src": _CUDA_SOURCE}


def sample_places(
    gt_index: jt.Var,
    usable: jt.Var,
    seeds: jt.Var,
    *,
    num: int,
    most_positives: int,
    negatives_per_positive: float = -1.0,
    is_even: bool = False,
) -> tuple[jt.Var, jt.Var]:
    """Chooses up to `num` places of every image, positives first.

    Args:
        gt_index: [N, P] int32, 0 or more for positives, -1 for negatives; others are left alone.
        usable: [N, P] 1 for places that may be taken.
        seeds: [N] int32, one for each image.
        num: S, places of an image.
        most_positives: of them positives at most; what they leave free is filled with negatives.
        negatives_per_positive: at most so many negatives for each positive, and for an image without any;
            below 0: no limit.
        is_even: spread the choice evenly instead of drawing: of n candidates in order the k numbers i n // k.
    Returns:
        [N, S] int32 places: positives in rising order, negatives in rising order, then P in empty slots;
        [N, P] 1 where a place was chosen. No gradient.
    """
    settings = {"most_positives": most_positives, "is_even": float(is_even), "ratio": negatives_per_positive}
    with jt.no_grad():
        slots, chosen = jt.code(
            [(gt_index.shape[0], num), tuple(gt_index.shape)], ["int32", "float32"],
            [gt_index.int32(), usable.float32(), seeds.int32()], data=settings, **_KERNEL,
        )  # fmt: skip
    return slots, chosen
