"""Non-maximum suppression of rotated boxes: the compiled greedy loop, and what a head calls."""

from __future__ import annotations

import numpy as np

from jld.ops.rotated_geometry import cpu_header, cuda_header
from jld.registry import SUPPRESSORS
from jld.toolchain import jittor as jt

_SUPPRESSES = """
// Whether the overlap of two boxes is above the threshold; the ratio of their areas bounds it from above.
JLD_FUNCTION bool rotated_suppresses(const RotatedBox& a, const RotatedBox& b, double threshold) {
    double smaller = a.area < b.area ? a.area : b.area, larger = a.area < b.area ? b.area : a.area;
    return smaller > threshold * larger && rotated_overlap(a, b, false) > (float)threshold;
}
"""
# A slot of `keep` is 1 while it may stay. Boxes of different groups never meet, so each group is a walk of
# its own; the limit on the number of kept boxes, which holds for all groups together, is applied at the end.
_CPU_SOURCE = """
    const int count = in0_shape1, most = data["max_keep"];
    const double threshold = data["iou_threshold"];
    for (int image = 0; image < in0_shape0; image++) {
        const std::vector<RotatedBox> boxes = rotated_boxes(in0_p + (long)image * count * 5, count);
        const int* groups = in1_p + (long)image * count;
        int* keep = out0_p + (long)image * count;
        std::vector<int> order;
        for (int i = 0; i < count; i++) {
            keep[i] = groups[i] >= 0;
            if (keep[i]) order.push_back(i);
        }
        std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return groups[i] < groups[j]; });
        std::vector<int> starts;
        for (int i = 0; i < (int)order.size(); i++)
            if (i == 0 || groups[order[i]] != groups[order[i - 1]]) starts.push_back(i);
        starts.push_back(order.size());
        #pragma omp parallel for schedule(dynamic)
        for (int group = 0; group < (int)starts.size() - 1; group++) {
            const int* member = order.data() + starts[group];
            const int members = starts[group + 1] - starts[group];
            for (int i = 0, kept = 0; i < members && (most == 0 || kept < most); i++) {
                if (!keep[member[i]]) continue;
                kept++;
                for (int j = i + 1; j < members; j++)
                    if (keep[member[j]] && rotated_suppresses(boxes[member[i]], boxes[member[j]], threshold))
                        keep[member[j]] = 0;
            }
        }
        for (int i = 0, kept = 0; most > 0 && i < count; i++) {
            keep[i] = keep[i] && kept < most;
            kept += keep[i];
        }
    }
"""
_CUDA_KERNEL = """
// One block per image: the walk down the list is serial, the comparisons of one step are parallel.
// A slot of `keep` is 0 while undecided, 1 when kept, -1 when suppressed; the end turns -1 into 0.
__global__ void rotated_nms_kernel(const float* all_boxes, const int* all_groups, int* all_keep, int count,
                                   int most, double threshold) {
    const float* boxes = all_boxes + (long)blockIdx.x * count * 5;
    const int* groups = all_groups + (long)blockIdx.x * count;
    int* keep = all_keep + (long)blockIdx.x * count;
    for (int i = threadIdx.x; i < count; i += blockDim.x) keep[i] = 0;
    __syncthreads();
    for (int i = 0, kept = 0; i < count && (most == 0 || kept < most); i++) {
        bool skip = keep[i] != 0 || groups[i] < 0;
        __syncthreads();  // everybody has read keep[i] before anybody changes it
        if (skip) continue;
        kept++;
        if (threadIdx.x == 0) keep[i] = 1;
        RotatedBox best = rotated_box(boxes + 5 * i);
        for (int j = i + 1 + threadIdx.x; j < count; j += blockDim.x)
            if (groups[j] == groups[i] && keep[j] == 0 && !rotated_far(boxes + 5 * i, boxes + 5 * j) &&
                    rotated_suppresses(best, rotated_box(boxes + 5 * j), threshold))
                keep[j] = -1;
        __syncthreads();
    }
    for (int i = threadIdx.x; i < count; i += blockDim.x) keep[i] = keep[i] == 1;
}
"""
_CUDA_SOURCE = """
    rotated_nms_kernel<<<in0_shape0, 512>>>(in0_p, in1_p, out0_p, in0_shape1, (int)data["max_keep"],
                                            (double)data["iou_threshold"]);
"""
_KERNEL = {
    "cpu_header": cpu_header(_SUPPRESSES),
    "cpu_src": _CPU_SOURCE,
    "cuda_header": cuda_header(_SUPPRESSES + _CUDA_KERNEL),
    "cuda_src": _CUDA_SOURCE,
}


def rotated_nms_mask(boxes: jt.Var, groups: jt.Var, iou_threshold: float, *, max_keep: int = 0) -> jt.Var:
    """Greedy suppression of rotated boxes that are already sorted by falling score.

    Args:
        boxes: [N, K, 5] centre x, y, width, height in px, angle in radians, best first in every row.
        groups: [N, K] int32; only boxes of the same group suppress each other; negative: an empty slot.
        iou_threshold: a box goes when its exact IoU with a kept one is above this.
        max_keep: keep at most so many boxes per row; 0: no limit.
    Returns:
        [N, K] int32, 1 for kept boxes. No gradient.
    """
    settings = {"iou_threshold": float(iou_threshold), "max_keep": int(max_keep)}
    with jt.no_grad():
        return jt.code(
            tuple(groups.shape), "int32", [boxes.float32(), groups.int32()], data=settings, **_KERNEL
        )


def rotated_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float,
    labels: np.ndarray | None = None,
    *,
    max_keep: int = 0,
) -> np.ndarray:
    """Indices of the rotated boxes that greedy suppression keeps, best first.

    Args:
        boxes: NumPy [K, 5] px and radians.
        scores: NumPy [K].
        iou_threshold, max_keep: see `rotated_nms_mask`.
        labels: NumPy [K] of integers: only equal labels suppress each other; None: one class.
    Returns:
        NumPy int64 [kept]
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-scores, kind="stable")
    groups = np.zeros(len(boxes), np.int32) if labels is None else labels[order].astype(np.int32)
    ordered = np.ascontiguousarray(boxes[order], np.float32)
    keep = rotated_nms_mask(jt.array(ordered[None]), jt.array(groups[None]), iou_threshold, max_keep=max_keep)
    return order[keep.numpy()[0] > 0]


@SUPPRESSORS.register(aliases=("nms_rotated",))
class RotatedClasswiseNMS:
    """Greedy suppression of rotated boxes inside every class, by exact overlap.

    Args:
        iou_threshold: a box goes when its IoU with a better one of its class is above this.
    Differs: the reference moves each class to a place of its own and suppresses once; with large boxes its
        classes can meet, here they cannot.
    """

    def __init__(self, iou_threshold: float = 0.1):
        self.iou_threshold = iou_threshold

    def __call__(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_keep: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept (boxes, scores, labels) of one image, best first.

        Args:
            boxes: [K, 5] px and radians.
            scores: [K].
            labels: [K] integers.
            max_keep: at most so many; 0: all.
        """
        kept = rotated_nms(boxes, scores, self.iou_threshold, labels, max_keep=max_keep)
        return boxes[kept], scores[kept], labels[kept]
