"""What a difference between runs is worth: mean, deviation, and an interval over seeds and images.

The score of one training depends on its seed (weights, order of the data) and on the images it is scored
on. A gain counts when it is larger than what both do; the bootstrap draws both anew, and always the same
seeds and images for the two sides of a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.overlaps import pairwise_overlaps
from jld.evaluation.dota import DotaEvaluator, match_rotated
from jld.evaluation.records import pair_by_image
from jld.evaluation.voc import RECALLS_07, hits_and_errors

THRESHOLDS = np.arange(50, 100, 5) / 100
RECALLS_COCO = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100
IMAGE_DRAWS, SEED_DRAWS = 100, 100

Score = Callable[[np.ndarray], float]
"""A run's score as a function of how often every image counts, [M] -> fraction."""


@dataclass(frozen=True)
class Gain:
    """By how much one kind of run is better than another, as fractions.

    Attributes:
        mean: of the differences by seed.
        deviation: of the differences by seed, with divisor n - 1; None for one seed.
        low, high: ends of the interval.
        level: share of the draws inside the interval.
        num_seeds: pairs of runs.
    """

    mean: float
    deviation: float | None
    low: float
    high: float
    level: float
    num_seeds: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """In percent, with the interval."""
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def mean_and_deviation(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """The mean, and the standard deviation with divisor n - 1 (None for one value)."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None


def paired_gain(
    better: Sequence[Score],
    base: Sequence[Score],
    num_images: int,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Gain:
    """By how much the runs `better` exceed the runs `base`, with a bootstrap interval over images and seeds.

    With few seeds or groups the interval is somewhat too narrow, as that of every bootstrap (by a tenth for
    five); with one seed it is about the images alone and says nothing of what another seed would do.

    Args:
        better, base: one score per seed, in the same order of seeds.
        num_images: M.
        groups: [M] equal values for images that are drawn together, since they show the same place; None:
            each is drawn alone.
        level: share of the draws that the interval covers.
        seed: of the draws.
    Raises:
        ValueError: no runs, other numbers of them or of groups, or all images in one group.
    """
    if not better or len(better) != len(base):
        raise ValueError(
            f"a paired gain needs as many runs of both kinds, got {len(better)} and {len(base)}."
        )
    every_one = range(num_images)
    groups = every_one if groups is None else groups
    if len(groups) != num_images:
        raise ValueError(f"groups names {len(groups)} images, there are {num_images}.")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if groups is not every_one and len(numbers) < 2:
        raise ValueError("all images are in one group: nothing could be drawn.")
    group_of = np.array([numbers[group] for group in groups], np.int64)
    rng = np.random.default_rng(seed)
    every = np.ones(num_images, np.int64)
    differences = np.array([one(every) - other(every) for one, other in zip(better, base, strict=True)])
    drawn = np.empty((IMAGE_DRAWS, len(better)))
    for row in drawn:
        weights = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)))[group_of]
        row[:] = [one(weights) - other(weights) for one, other in zip(better, base, strict=True)]
    seeds = rng.integers(len(better), size=(IMAGE_DRAWS, SEED_DRAWS, len(better)))
    means = np.take_along_axis(drawn[:, None, :], seeds, axis=2).mean(axis=2)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean, deviation = mean_and_deviation(differences)
    return Gain(mean, deviation, float(low), float(high), level, len(better))


def coco_score(
    detections: Sequence[Detections],
    ground_truth: Sequence[dict],
    num_classes: int,
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
) -> Score:
    """COCO's AP of a run as a function of how often every image counts; with ones it is `CocoEvaluator`'s.

    Args:
        detections, ground_truth: see `CocoEvaluator`; upright boxes.
        num_classes: C.
        thresholds: IoU, [T]; the score is the mean over them.
    Raises:
        DataError: see `jld.evaluation.records.pair_by_image`.
    """
    records = pair_by_image(detections, ground_truth, num_classes)
    return _mean_of(
        [_Curve.of_records(records, label, np.asarray(thresholds)) for label in range(num_classes)]
    )


def dota_score(
    detections: Sequence[Detections], ground_truth: Sequence[dict], num_classes: int, metric: str = "07"
) -> Score:
    """The DOTA protocol's AP as a function of how often every image counts, as `coco_score` is COCO's.

    Args:
        detections, ground_truth: see `DotaEvaluator`, whose `AP` it is.
        num_classes: C.
        metric: "07" (11 recall points) or "area".
    Raises:
        DataError: see `jld.evaluation.records.pair_by_image`.
    """
    levels = DotaEvaluator().least_ious()
    matches = match_rotated(detections, ground_truth, num_classes, least_iou=min(levels))
    recalls = RECALLS_07 if metric == "07" else None
    return _mean_of(
        [
            _Curve.of_matches(matches, label, levels, len(ground_truth), recalls)
            for label in range(num_classes)
        ]
    )


def _mean_of(curves: Sequence[_Curve]) -> Score:
    """The mean over the classes with objects; -1 where there are none."""

    def score(weights: np.ndarray) -> float:
        areas = [curve.average_precision(weights) for curve in curves]
        known = [area for area in areas if area is not None]
        return float(np.mean(known)) if known else -1.0

    return score


@dataclass(frozen=True)
class _Curve:
    """One class: image [K], hits and errors [T, K] of its detections, best first; objects per image [M];
    recalls at which precision is read, None for the whole area.
    """

    images: np.ndarray
    hits: np.ndarray
    wrong: np.ndarray
    num_gts: np.ndarray
    recalls: np.ndarray | None

    @classmethod
    def of_records(cls, records: Sequence[dict], label: int, thresholds: np.ndarray) -> _Curve:
        parts = [_match(record, label, thresholds) for record in records]
        counts = [len(scores) for scores, _, _ in parts]
        scores, hits, wrong = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        num_gts = [
            int(((record["gt_labels"] == label) & ~record["gt_is_ignored"]).sum()) for record in records
        ]
        images = np.repeat(np.arange(len(records)), counts)[order]
        return cls(images, hits[:, order], wrong[:, order], np.array(num_gts), RECALLS_COCO)

    @classmethod
    def of_matches(
        cls,
        matches: dict[str, np.ndarray],
        label: int,
        levels: Sequence[float],
        num_images: int,
        recalls: np.ndarray | None,
    ) -> _Curve:
        chosen = np.flatnonzero(matches["labels"] == label)
        chosen = chosen[np.argsort(-matches["scores"][chosen], kind="stable")]
        marks = [hits_and_errors(matches, chosen, least_iou) for least_iou in levels]
        hits, wrong = (np.stack(each) for each in zip(*marks, strict=True))
        counts = (matches["gt_labels"] == label) & ~matches["gt_is_ignored"]
        num_gts = np.bincount(matches["gt_images"][counts], minlength=num_images)
        return cls(matches["images"][chosen], hits, wrong, num_gts, recalls)

    def average_precision(self, weights: np.ndarray) -> float | None:
        """Mean over thresholds of the area under the curve at the recalls; None without any object."""
        total = float(self.num_gts @ weights)
        if total == 0:
            return None
        times = weights[self.images]
        found, errors = ((each * times).cumsum(axis=1) for each in (self.hits, self.wrong))
        precision = found / np.maximum(found + errors, 1e-12)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        if self.recalls is None:
            return float((np.diff(found / total, prepend=0) * precision).sum(axis=1).mean())
        areas = []
        for row, recall in zip(precision, found / total, strict=True):
            reached = np.searchsorted(recall, self.recalls, side="left")
            areas.append(np.append(row, 0.0)[reached].mean())
        return float(np.mean(areas))


def _match(record: dict, label: int, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [K], hits and errors [T, K] of an image's detections of a class, best first, as COCO matches."""
    chosen = np.flatnonzero(record["labels"] == label)
    chosen = chosen[np.argsort(-record["scores"][chosen], kind="stable")][:MAX_DETECTIONS]
    wanted = np.flatnonzero(record["gt_labels"] == label)
    wanted = wanted[np.argsort(record["gt_is_ignored"][wanted], kind="stable")]
    ignored = record["gt_is_ignored"][wanted]
    boxes, gt_boxes = record["boxes"][chosen].astype(np.float64), record["gt_boxes"][wanted]
    shape = (len(thresholds), len(chosen))
    hits, passed = np.zeros(shape, bool), np.zeros(shape, bool)
    if len(wanted):
        iou = pairwise_overlaps(boxes, gt_boxes, "iou")
        iou = np.where(ignored, pairwise_overlaps(boxes, gt_boxes, "iof"), iou)  # [K, G]
        free = np.ones((len(thresholds), len(wanted)), bool)
        for rank, overlaps in enumerate(iou):
            fits = (overlaps >= np.minimum(thresholds[:, None], 1 - 1e-10)) & (free | ignored)  # [T, G]
            # An ordinary object goes before an ignored one, however well that fits.
            preferred = np.where(fits, overlaps + 2.0 * ~ignored, -1.0)
            best, is_hit = preferred.argmax(axis=1), fits.any(axis=1)
            passed[:, rank] = is_hit & ignored[best]
            hits[:, rank] = is_hit & ~ignored[best]
            free[hits[:, rank], best[hits[:, rank]]] = False
    return record["scores"][chosen], hits, ~hits & ~passed
