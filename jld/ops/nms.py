"""Non-maximum suppression: which of many overlapping detections stay.

`nms_mask` is the compiled greedy loop, for a batch of images at once and cheap enough for the training path.
The registered classes are what a head calls on the candidates of one image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jld.boxes.overlaps import aligned_overlaps, pairwise_overlaps
from jld.errors import one_of
from jld.registry import SUPPRESSORS
from jld.toolchain import jittor as jt

_OVERLAP = """
JLD_FUNCTION float box_iou(const float* a, const float* b, float offset) {
    float width = JLD_MIN(a[2], b[2]) - JLD_MAX(a[0], b[0]) + offset;
    float height = JLD_MIN(a[3], b[3]) - JLD_MAX(a[1], b[1]) + offset;
    float inner = JLD_MAX(width, 0.f) * JLD_MAX(height, 0.f);
    float first = (a[2] - a[0] + offset) * (a[3] - a[1] + offset);
    float second = (b[2] - b[0] + offset) * (b[3] - b[1] + offset);
    return inner / (first + second - inner);
}
"""
_MACROS = """
#undef JLD_FUNCTION
#undef JLD_MIN
#undef JLD_MAX
#define JLD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define JLD_MAX(a, b) ((a) > (b) ? (a) : (b))
"""
# A slot of `keep` is 0 while undecided, 1 when kept, -1 when suppressed; the end turns -1 into 0.
_CPU_HEADER = (
    _MACROS + "#define JLD_FUNCTION static inline\nnamespace jittor { namespace {\n" + _OVERLAP + "}}\n"
)
_CPU_SOURCE = """
    const int count = in0_shape1, most = data["max_keep"];
    const float threshold = data["iou_threshold"], offset = data["offset"];
    #pragma omp parallel for
    for (int image = 0; image < in0_shape0; image++) {
        const float* boxes = in0_p + (long)image * count * 4;
        const int* groups = in1_p + (long)image * count;
        int *keep = out0_p + (long)image * count, *picks = out1_p + (long)image * out1_shape1;
        for (int i = 0; i < count; i++) keep[i] = 0;
        for (int i = 0; i < out1_shape1; i++) picks[i] = count;
        for (int i = 0, kept = 0; i < count && (most == 0 || kept < most); i++) {
            if (keep[i] != 0 || groups[i] < 0) continue;
            keep[i] = 1;
            picks[kept++] = i;
            for (int j = i + 1; j < count; j++)
                if (groups[j] == groups[i] && keep[j] == 0 &&
                    box_iou(boxes + 4 * i, boxes + 4 * j, offset) > threshold)
                    keep[j] = -1;
        }
        for (int i = 0; i < count; i++) keep[i] = keep[i] == 1;
    }
"""
_CUDA_HEADER = (
    _MACROS
    + "#define JLD_FUNCTION static __device__ inline\nnamespace jittor { namespace {\n"
    + _OVERLAP
    + """
// One block per image: the walk down the list is serial, the comparisons of one step are parallel.
__global__ void nms_kernel(const float* all_boxes, const int* all_groups, int* all_keep, int* all_picks,
                           int count, int slots, int most, float threshold, float offset) {
    const float* boxes = all_boxes + (long)blockIdx.x * count * 4;
    const int* groups = all_groups + (long)blockIdx.x * count;
    int *keep = all_keep + (long)blockIdx.x * count, *picks = all_picks + (long)blockIdx.x * slots;
    for (int i = threadIdx.x; i < count; i += blockDim.x) keep[i] = 0;
    for (int i = threadIdx.x; i < slots; i += blockDim.x) picks[i] = count;
    __syncthreads();
    for (int i = 0, kept = 0; i < count && (most == 0 || kept < most); i++) {
        bool skip = keep[i] != 0 || groups[i] < 0;
        __syncthreads();  // everybody has read keep[i] before anybody changes it
        if (skip) continue;
        if (threadIdx.x == 0) keep[i] = 1, picks[kept] = i;
        kept++;
        for (int j = i + 1 + threadIdx.x; j < count; j += blockDim.x)
            if (groups[j] == groups[i] && keep[j] == 0 &&
                    box_iou(boxes + 4 * i, boxes + 4 * j, offset) > threshold)
                    keep[j] = -1;
        __syncthreads();
    }
    for (int i = threadIdx.x; i < count; i += blockDim.x) keep[i] = keep[i] == 1;
}
}}
"""
)
_CUDA_SOURCE = """
    nms_kernel<<<in0_shape0, 512>>>(in0_p, in1_p, out0_p, out1_p, in0_shape1, out1_shape1,
                                    (int)data["max_keep"], (float)data["iou_threshold"],
                                    (float)data["offset"]);
"""


def nms_mask(
    boxes: jt.Var, groups: jt.Var, iou_threshold: float, *, max_keep: int = 0, offset: float = 0.0
) -> jt.Var:
    """Greedy suppression of boxes that are already sorted by falling score.

    Args:
        boxes: [N, K, 4] corners, best first in every row.
        groups: [N, K] int32; only boxes of the same group suppress each other; negative: an empty slot.
        iou_threshold: a box goes when its IoU with a kept one is above this.
        max_keep: stop after so many kept boxes per row; 0: no limit.
        offset: 1 for the old convention in which x2 and y2 belong to the box.
    Returns:
        [N, K] int32, 1 for kept boxes. No gradient.
    """
    return _suppressed(boxes, groups, iou_threshold, max_keep=max_keep, offset=offset)[0]


def nms_picks(boxes: jt.Var, groups: jt.Var, iou_threshold: float, count: int) -> jt.Var:
    """The first `count` boxes that `nms_mask` keeps.

    Args:
        boxes, groups, iou_threshold: see `nms_mask`.
        count: slots of every row.
    Returns:
        [N, count] int32, rising; K in empty slots. No gradient.
    """
    return _suppressed(boxes, groups, iou_threshold, max_keep=count)[1]


def _suppressed(
    boxes: jt.Var, groups: jt.Var, iou_threshold: float, *, max_keep: int, offset: float = 0.0
) -> tuple[jt.Var, jt.Var]:
    """What `nms_mask` and, in max_keep slots or K, `nms_picks` give."""
    n, k = groups.shape
    settings = {"iou_threshold": float(iou_threshold), "max_keep": int(max_keep), "offset": float(offset)}
    with jt.no_grad():
        kept, picks = jt.code(
            [(n, k), (n, max_keep or k)],
            ["int32", "int32"],
            [boxes.float32(), groups.int32()],
            data=settings,
            cpu_header=_CPU_HEADER,
            cpu_src=_CPU_SOURCE,
            cuda_header=_CUDA_HEADER,
            cuda_src=_CUDA_SOURCE,
        )
    return kept, picks


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float,
    labels: np.ndarray | None = None,
    *,
    max_keep: int = 0,
    offset: float = 0.0,
) -> np.ndarray:
    """Indices of the boxes that greedy suppression keeps, best first.

    Args:
        boxes: NumPy [K, 4] corners.
        scores: NumPy [K].
        iou_threshold, max_keep, offset: see `nms_mask`.
        labels: NumPy [K] of integers: only equal labels suppress each other; None: one class.
    Returns:
        NumPy int64 [kept]
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-scores, kind="stable")
    groups = np.zeros(len(boxes), np.int32) if labels is None else labels[order].astype(np.int32)
    sorted_boxes = np.ascontiguousarray(boxes[order], np.float32)
    keep = nms_mask(
        jt.array(sorted_boxes[None]), jt.array(groups[None]), iou_threshold, max_keep=max_keep, offset=offset
    )
    return order[keep.numpy()[0] > 0]


@SUPPRESSORS.register(aliases=("nms",))
class ClasswiseNMS:
    """Greedy suppression inside every class, the usual last step of a detector.

    Args:
        iou_threshold: a box goes when its IoU with a better one of its class is above this.
    """

    def __init__(self, iou_threshold: float = 0.6):
        self.iou_threshold = iou_threshold

    def __call__(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_keep: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept (boxes, scores, labels) of one image, best first.

        Args:
            boxes: [K, 4] corners.
            scores: [K].
            labels: [K] integers.
            max_keep: at most so many; 0: all.
        """
        kept = nms(boxes, scores, self.iou_threshold, labels, max_keep=max_keep)
        return boxes[kept], scores[kept], labels[kept]


def _linear_decay(iou: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    return np.where(iou >= iou_threshold, 1 - iou, 1)


def _gaussian_decay(iou: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    return np.exp(-(iou**2) / sigma)


def _hard_decay(iou: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    return np.where(iou >= iou_threshold, 0, 1)


DECAYS: dict[str, Callable] = {"linear": _linear_decay, "gaussian": _gaussian_decay, "naive": _hard_decay}


@SUPPRESSORS.register(aliases=("soft_nms",))
class SoftNMS:
    """Lowers the score of overlapping boxes of a class instead of removing them.

    Args:
        iou_threshold: overlap from which `linear` and `naive` act.
        sigma: width of the `gaussian` decay.
        min_score: boxes whose score falls below are dropped.
        method: `linear`, `gaussian` or `naive` (hard suppression).
    Raises:
        ConfigError: unknown method.
    Source: arXiv:1704.04503.
    """

    def __init__(
        self, iou_threshold: float = 0.3, sigma: float = 0.5, min_score: float = 1e-3, method: str = "linear"
    ):
        one_of(method, DECAYS, f"SoftNMS method {method!r}")
        self.iou_threshold, self.sigma, self.min_score = iou_threshold, sigma, min_score
        self.decay = DECAYS[method]

    def __call__(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_keep: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept (boxes, lowered scores, labels), best first; arguments as of `ClasswiseNMS`."""
        scores = scores.astype(np.float32, copy=True)
        waiting = np.arange(len(scores))
        picked: list[int] = []
        while len(waiting):
            best = waiting[np.argmax(scores[waiting])]
            picked.append(best)
            waiting = waiting[waiting != best]
            rivals = waiting[labels[waiting] == labels[best]]
            iou = aligned_overlaps(boxes[rivals], boxes[best], eps=1e-12)
            scores[rivals] *= self.decay(iou, self.iou_threshold, self.sigma)
            waiting = waiting[scores[waiting] >= self.min_score]
            if max_keep and len(picked) == max_keep:
                break
        kept = np.array(picked, np.int64)
        return boxes[kept], scores[kept], labels[kept]


@SUPPRESSORS.register(aliases=("voting_cluster_diounms",))
class VotingClusterNMS:
    """Suppression by overlap and centre distance; kept boxes move to the weighted mean of those they cover.

    Args:
        iou_threshold: a box goes when its overlap criterion with a better one of its class is above this.
        vote_threshold: boxes whose criterion with a kept one is above this vote on its place.
        sigma: width of the vote's weight.
        distance_power: exponent of the centre distance term.
    Source: arXiv:2005.03572 (cluster NMS, DIoU criterion) with score voting as released with localization
    distillation: weights exp(-(1 - overlap)^2 / sigma) times the score.
    """

    def __init__(
        self,
        iou_threshold: float = 0.6,
        vote_threshold: float = 0.7,
        sigma: float = 0.025,
        distance_power: float = 0.8,
    ):
        self.iou_threshold, self.vote_threshold = iou_threshold, vote_threshold
        self.sigma, self.distance_power = sigma, distance_power

    def __call__(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_keep: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept (moved boxes, scores, labels) of one image, best first; arguments as of `ClasswiseNMS`."""
        order = np.argsort(-scores, kind="stable")
        moved = boxes.astype(np.float32, copy=True)
        per_class: list[np.ndarray] = []
        for label in np.unique(labels):
            members = order[labels[order] == label]
            winners, places = self._one_class(boxes[members], scores[members])
            moved[members[winners]] = places
            per_class.append(members[winners])
        kept = np.concatenate(per_class) if per_class else np.zeros(0, np.int64)
        kept = kept[np.argsort(-scores[kept], kind="stable")][: max_keep or None]
        return moved[kept], scores[kept], labels[kept]

    def _one_class(self, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        iou = pairwise_overlaps(boxes, boxes)
        # DIoU subtracts the squared relative centre distance; here it is raised to a power first.
        distance = np.maximum(iou - pairwise_overlaps(boxes, boxes, "diou"), 0)
        criterion = np.triu(iou - distance**self.distance_power)  # row i covers the worse boxes j >= i
        above = np.triu(criterion > self.iou_threshold, 1)
        alive = np.ones(len(boxes), bool)
        while (
            True
        ):  # a suppressed box suppresses nobody; settles after at most as many rounds as there are boxes
            survivors = ~above[alive].any(axis=0)
            if (survivors == alive).all():
                break
            alive = survivors
        votes = np.where(criterion[alive] > self.vote_threshold, criterion[alive], 0)
        weights = np.exp(-((1 - votes) ** 2) / self.sigma) * (votes > 0) * scores
        return np.flatnonzero(alive), weights @ boxes / weights.sum(axis=1, keepdims=True)
