"""CrowdHuman's protocol: average precision, log-average miss rate and Jaccard index, all at IoU 0.5.

The rules are those of the program behind the published numbers, CrowdDet's `lib/evaluate`
(Purkialo/CrowdDet), which mmDetection's CrowdHumanMetric follows. Reading .odgt files is not done here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.overlaps import pairwise_overlaps
from jld.evaluation.records import Metrics, pair_by_image
from jld.evaluation.voc import precision_recall
from jld.registry import EVALUATORS

IOU = 0.5
"""What an overlap must exceed."""
# 10^-2 to 10^0 in nine even steps of the logarithm, with the four digits that the published numbers were
# computed with: where a curve steps between 0.0178 and 10^-1.75, they decide.
FALSE_PER_IMAGE = np.array([0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0])
# Rounding errors included (0.30000000000000004), as a score must exceed them.
LEAST_SCORES = 0.1 * np.arange(10)
SCORES = ("AP", "mMR", "JI")


@EVALUATORS.register
class CrowdHumanEvaluator:
    """The three scores of the CrowdHuman benchmark, per class and mean; for the miss rate lower is better.

    All boxes are cut at the borders of their image. For `AP` and `mMR` the detections of an image choose in
    the order of their scores: each finds, of the objects not yet found, the one it overlaps most, if their
    IoU exceeds 0.5. What finds none is an error, unless more than half of its own area lies in one ignored
    (crowd or difficult) object: then it counts for nothing. For `JI` detections and objects are paired anew,
    see `shared_and_union`. Classes without objects that are not ignored are left out of the means.

    Source: arXiv:1805.00123; the miss rate: P. Dollar et al., Pedestrian Detection: An Evaluation of the
    State of the Art, PAMI 2012, section 3.1; the Jaccard index: arXiv:2003.09163; CrowdDet, lib/evaluate.
    Differs: CrowdDet fails in images without objects, gives no miss rate without detections, and adds 1e-6 to
    divisors. mmDetection's `JI` takes any of the pairings with most pairs, and an IoU of 0.5 for enough: it
    may be another where there are ignored objects.
    """

    protocol = "CrowdHuman"
    best_metric = "AP"
    supported_sides = (4,)

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str]
    ) -> Metrics:
        """The scores of all images.

        Args:
            detections: per image, with upright boxes; all of them count, whatever their number.
            ground_truth: per image `img_id`, `height` and `width` in px, `boxes` [G, 4], `labels`,
                `is_crowd`, `is_difficult` and `areas` [G]. Images without objects belong to it: false
                detections are counted per image.
            classes: C names, in the order of the labels.
        Returns:
            fractions `AP`, `mMR` (log-average miss rate, lower is better) and `JI`; `per_class` has the same
            and the counts `num_gts` (without ignored boxes) and `num_detections`.
        Raises:
            DataError: see `jld.evaluation.records.pair_by_image`.
        """
        records = pair_by_image(detections, ground_truth, len(classes))
        limits = [
            np.array([truth["width"] - 1, truth["height"] - 1, truth["width"], truth["height"]])
            for truth in ground_truth
        ]
        per_class = {name: _score_class(records, limits, label) for label, name in enumerate(classes)}
        counted = [row for row in per_class.values() if row["num_gts"] > 0]
        means = {name: float(np.mean([row[name] for row in counted])) if counted else -1.0 for name in SCORES}
        return {**means, "per_class": per_class, "protocol": self.protocol}


@dataclass(frozen=True)
class Scene:
    """The K detections, best scored first, and the G objects of one class in one image.

    Attributes:
        scores: [K].
        iou: [K, G] float64, of the detections with the objects that are not ignored.
        is_in_ignored: [K] bool, whether more than half of a detection lies in one ignored object.
        is_gt_in_ignored: [G] bool, likewise of the objects.
    """

    scores: np.ndarray
    iou: np.ndarray
    is_in_ignored: np.ndarray
    is_gt_in_ignored: np.ndarray


def _score_class(records: list[dict], limits: list[np.ndarray], label: int) -> dict[str, float]:
    num_gts = sum(
        int(((record["gt_labels"] == label) & ~record["gt_is_ignored"]).sum()) for record in records
    )
    counts = {
        "num_gts": num_gts,
        "num_detections": sum(int((record["labels"] == label).sum()) for record in records),
    }
    if num_gts == 0:
        return {**dict.fromkeys(SCORES, -1.0), **counts}
    scenes = (_scene(record, limit, label) for record, limit in zip(records, limits, strict=True))
    # Scene by scene: the overlaps of thousands of crowded images at once would take gigabytes.
    judged = [(scene.scores, *hits_and_errors(scene), *shared_and_union(scene)) for scene in scenes]
    scores, hits, errors, shared, union = zip(*judged, strict=True)
    hits, errors = _by_score(*map(np.concatenate, (scores, hits, errors)))
    return {
        "AP": average_precision(hits, errors, num_gts),
        "mMR": log_average_miss_rate(hits, errors, num_gts, len(records)),
        "JI": jaccard_index(np.stack(shared), np.stack(union)),
        **counts,
    }


def _scene(record: dict, limit: np.ndarray, label: int) -> Scene:
    found = np.flatnonzero(record["labels"] == label)
    found = found[np.argsort(-record["scores"][found], kind="stable")]
    # A box outside its image becomes one pixel at the right or lower border, and empty at the others.
    boxes = np.clip(record["boxes"][found].astype(np.float64), 0, limit)
    gt_boxes, is_own = np.clip(record["gt_boxes"], 0, limit), record["gt_labels"] == label
    ignored = gt_boxes[is_own & record["gt_is_ignored"]]
    gt_boxes = gt_boxes[is_own & ~record["gt_is_ignored"]]
    return Scene(
        record["scores"][found],
        pairwise_overlaps(boxes, gt_boxes),
        _is_inside(boxes, ignored),
        _is_inside(gt_boxes, ignored),
    )


def _is_inside(boxes: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    return (pairwise_overlaps(boxes, ignored, "iof") > IOU).any(axis=1)


def hits_and_errors(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Boolean [K] each: which detections find an object, and which are wrong."""
    hits, iou = np.zeros(len(scene.scores), bool), scene.iou.copy()
    for row in np.flatnonzero((iou > IOU).any(axis=1)):  # in turn: each takes an object from those behind it
        gt = iou[row].argmax()
        if iou[row, gt] > IOU:
            hits[row] = True
            iou[:, gt] = 0
    return hits, ~hits & ~scene.is_in_ignored


def _by_score(scores: np.ndarray, hits: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(hits, errors) of the detections that are either, best score first over all images."""
    order = np.argsort(-scores, kind="stable")  # equal scores keep the order of the images
    order = order[(hits | errors)[order]]
    return hits[order], errors[order]


def average_precision(hits: np.ndarray, errors: np.ndarray, num_gts: int) -> float:
    """Area under the curve of precision over recall, by trapezoids and without an envelope.

    The curve begins at the first detection, not at recall 0: a detector without errors reaches 1 - 1/num_gts.

    Args:
        hits, errors: [K] booleans, best score first; each detection is one of them.
        num_gts: how many boxes there were to find, > 0.
    Returns:
        in 0..1; 0 for less than two detections.
    Source: CrowdDet, lib/evaluate/APMRToolkits/database.py, eval_AP.
    """
    precision, recall = precision_recall(hits, errors, num_gts)
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def log_average_miss_rate(hits: np.ndarray, errors: np.ndarray, num_gts: int, num_images: int) -> float:
    """Geometric mean of the miss rates at nine rates of false detections, MR^-2; lower is better.

    At each of `FALSE_PER_IMAGE` it is the miss rate where the curve first reaches that many errors per image;
    where the curve ends before, that of its end.

    Args:
        hits, errors: [K] booleans, best score first; each detection is one of them.
        num_gts: how many boxes there were to find, > 0.
        num_images: with or without objects, > 0.
    Returns:
        in 0..1; 1 where nothing is found, 0 where nothing is missed at one of the nine.
    Source: CrowdDet, lib/evaluate/APMRToolkits/database.py, eval_MR.
    """
    missed = np.append(1.0, 1 - np.cumsum(hits) / num_gts)  # [1 + K], before and after each detection
    false_per_image = np.append(0, np.cumsum(errors)) / num_images
    points = np.searchsorted(false_per_image, FALSE_PER_IMAGE)
    missed = missed[np.minimum(points, len(missed) - 1)]
    with np.errstate(divide="ignore"):  # the logarithm of 0 is -inf here, and the mean 0
        return float(np.exp(np.log(missed).mean()))


def jaccard_index(shared: np.ndarray, union: np.ndarray) -> float:
    """The mean over images of paired / (detections + objects - paired), at the score that suits it best.

    Args:
        shared, union: [N, T] of N images at T least scores, see `shared_and_union`.
    Returns:
        in 0..1; images with neither detection nor object at a least score are left out there.
    Source: CrowdDet, lib/evaluate/compute_JI.py.
    """
    num_counted = np.maximum((union > 0).sum(axis=0), 1)
    return float(((shared / np.maximum(union, 1)).sum(axis=0) / num_counted).max())


def shared_and_union(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs, and how many detections, objects or pairs of them, there are at each least score.

    Pairs have an IoU above 0.5, and those are taken whose IoUs have the largest sum. Without a partner, what
    lies in an ignored object does not count, be it a detection or an object.

    Returns:
        two [T] of integers, T the number of `LEAST_SCORES`.
    Source: CrowdDet, lib/evaluate/JIToolkits/JI_tools.py, compute_matching.
    """
    num_kept = np.searchsorted(-scene.scores, -LEAST_SCORES)  # [T] detections above each of them
    choices = {
        row: {gt: float(scene.iou[row, gt]) for gt in np.flatnonzero(scene.iou[row] > IOU).tolist()}
        for row in range(len(scene.scores))
    }
    partner: dict[int, int] = {}
    shared, union = np.zeros((2, len(LEAST_SCORES)), int)
    joined = 0
    # From the highest least score down: who takes part at one takes part at the next, so one pairing grows.
    for place in reversed(range(len(LEAST_SCORES))):
        for row in range(joined, num_kept[place]):
            _join(row, choices, partner)
        joined = num_kept[place]
        is_counted, is_gt_counted = ~scene.is_in_ignored, ~scene.is_gt_in_ignored
        is_counted[list(partner.values())] = is_gt_counted[list(partner)] = True
        shared[place] = len(partner)
        union[place] = is_counted[:joined].sum() + is_gt_counted.sum() - len(partner)
    return shared, union


def _join(row: int, choices: dict[int, dict[int, float]], partner: dict[int, int]) -> None:
    """Lets one more detection take part in the pairing with the largest sum of IoUs.

    It asks for its objects, who has one of them asks for others, and so on; the chain of changes that gains
    most is made, in which the last may take a free object or remain without one.

    Args:
        row: the detection.
        choices: {detection: {object it may have: IoU}}.
        partner: {object: its detection}, changed in place.
    """
    gains: dict[int, float] = {}  # by object: of the best chain that ends with taking it
    before: dict[int, tuple[int, int | None]] = {}  # by object: who takes it, and what that one gives up
    waiting: deque[tuple[int, int | None]] = deque([(row, None)])
    while waiting:
        asker, given_up = waiting.popleft()
        gain = 0.0 if given_up is None else gains[given_up] - choices[asker][given_up]
        for gt, iou in choices[asker].items():
            # The margin ends chains that rounding errors would send round in a circle.
            if gt not in gains or gain + iou > gains[gt] + 1e-12:
                gains[gt], before[gt] = gain + iou, (asker, given_up)
                if gt in partner:
                    waiting.append((partner[gt], gt))
    gains = {gt: gain - (choices[partner[gt]][gt] if gt in partner else 0) for gt, gain in gains.items()}
    step: int | None = max(gains, key=gains.__getitem__, default=None)
    if step is None or gains[step] <= 0:
        return
    while step is not None:
        taker, given_up = before[step]
        partner[step] = taker
        step = given_up
