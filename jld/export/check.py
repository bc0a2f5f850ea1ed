"""Whether an exported file computes what its detector computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.errors import ConfigError
from jld.export.detector import INPUT, ExportSettings
from jld.export.selection import THRESHOLD
from jld.models import Detector
from jld.models.postprocess import PairPostprocess
from jld.models.trace import DENSE, ROI, RPN
from jld.ops.rotated_nms import RotatedClasswiseNMS
from jld.toolchain import jittor as jt

# Of scores, and of boxes in units of the image's longer side.
TOLERANCE = 1e-4
# (box, class) pairs that the check lets through the threshold: untrained weights would let none.
PAIRS_SHOWN = 200
# Sizes that a file for any size is checked at, neither traced nor multiples of the padding.
SIZES = ((130, 250), (203, 171))


def check_export(detector: Detector, settings: ExportSettings, session: Any) -> dict[str, float]:
    """The largest differences between a file and its detector on random images.

    The dense predictions are compared with the detector's; then the detections with those that the
    detector's own selection makes of the file's dense predictions, so that no rounding near a threshold
    decides.

    Args:
        session: of a file with the dense outputs.
    Returns:
        {name of an output: largest absolute difference}, boxes in units of the image's longer side.
    Raises:
        ConfigError: a difference is larger than `TOLERANCE`, or other boxes are found.
    """
    worst: dict[str, float] = {}
    for size in [settings.size] if settings.size else SIZES:
        for name, value in _differences(detector, settings, session, size).items():
            worst[name] = max(value, worst.get(name, 0.0))
    bad = {name: value for name, value in worst.items() if not value <= TOLERANCE}
    if bad:
        text = ", ".join(f"{name} by {value:.2g}" for name, value in bad.items())
        raise ConfigError(
            f"the exported file differs from the detector ({text}; at most {TOLERANCE:g}): it was not kept."
        )
    return worst


def _differences(
    detector: Detector, settings: ExportSettings, session: Any, size: tuple[int, int]
) -> dict[str, float]:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    normal = normalised(pixels, detector)
    bottom, right = (-side % settings.size_divisor for side in size)
    padded = np.pad(normal, ((0, 0), (0, 0), (0, bottom), (0, right)))
    with jt.no_grad():
        trace = detector(jt.array(padded), np.array([size]))
    scores = next(reversed(trace.stages.values())).probabilities().numpy()
    threshold = _threshold(scores)
    given = {
        INPUT: pixels if settings.raw_input else normal,
        THRESHOLD: np.array(threshold, np.float32),
    }
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, given), strict=True))
    compare = _of_grid if DENSE in trace.stages else _of_rois
    differences, wanted, rule = compare(detector, trace, found, size, threshold)
    if "masks" in found:
        differences["masks"] = _of_masks(detector, trace, found)
    return differences | _selected(rule, found, wanted, size)


def _of_masks(detector: Any, trace: Any, found: Mapping[str, np.ndarray]) -> float:
    """Of the masks of the file's own boxes."""
    boxes = [Detections(0, found["scores"], found["labels"], boxes=found["boxes"])]
    with jt.no_grad():
        wanted = detector.roi_head.mask_probabilities(trace.features, boxes, np.ones((1, 4), np.float32))
    return _largest(found["masks"], wanted[0, : len(boxes[0])])


def _rule(stage: Any, threshold: float) -> Any:
    return dataclasses.replace(stage.head.postprocess, score_threshold=threshold)


def _batch(size: tuple[int, int]) -> dict[str, Any]:
    return {
        "img_ids": [0],
        "img_shapes": np.array([size]),
        "scale_factors": np.ones((1, 4), np.float32),
    }


def _of_grid(
    detector: Detector, trace: Any, found: Mapping[str, np.ndarray], size: tuple[int, int], threshold: float
) -> tuple[dict[str, float], Detections, Any]:
    """Differences of the predictions, and what jld selects from the file's."""
    stage = trace.stages[DENSE]
    differences = {
        "dense_scores": _largest(found["dense_scores"], stage.probabilities().numpy()[0]),
        "dense_boxes": _of_boxes(found["dense_boxes"], stage.boxes().numpy()[0], max(size)),
    }
    quality = None
    if "centerness_logits" in stage.predictions:
        quality = found["dense_quality"][None]
        wanted = jt.sigmoid(stage.predictions["centerness_logits"]).numpy()
        differences["dense_quality"] = _largest(quality, wanted)
    rule = _rule(stage, threshold)
    scores, boxes = found["dense_scores"][None], found["dense_boxes"][None]
    return differences, rule(scores, boxes, stage.places, _batch(size), quality=quality)[0], rule


def _of_rois(
    detector: Any, trace: Any, found: Mapping[str, np.ndarray], size: tuple[int, int], threshold: float
) -> tuple[dict[str, float], Detections, Any]:
    """Differences of a two-stage detector's predictions, and what jld selects from the file's.

    Rounding may exchange proposals near a threshold: nearly all must be the same, and the box head is
    compared on those of the file.
    """
    rpn, rois = trace.stages[RPN], found["rois"]
    with jt.no_grad():
        places = trace.stages[ROI].places
        given = dataclasses.replace(places, boxes=jt.array(rois[None]), mask=jt.ones((1, len(rois))))
        stage = detector.predict(trace.features, rois=given).stages[ROI]
    decoded = stage.head.decode_all(stage.predictions, stage.places).numpy()[0]
    longest = max(size)
    differences = {
        "rpn_scores": _largest(found["rpn_scores"], jt.sigmoid(rpn.predictions["cls_logits"]).numpy()[0]),
        "rpn_boxes": _of_boxes(found["rpn_boxes"], rpn.boxes().numpy()[0], longest),
        "roi_scores": _largest(found["roi_scores"], stage.probabilities().numpy()[0]),
        "roi_boxes": _of_boxes(found["roi_boxes"].reshape(-1, 4), decoded.reshape(-1, 4), longest),
    }
    wanted = places.boxes.numpy()[0][places.mask.numpy()[0] > 0]
    same = np.abs(wanted[:, None] - rois).max(-1).min(1) <= TOLERANCE * longest
    if abs(len(wanted) - len(rois)) > 0.02 * len(wanted) or same.mean() < 0.98:
        raise ConfigError(
            f"the exported file proposes other regions ({len(rois)}) than the detector ({len(wanted)}): it "
            "was not kept."
        )
    rule = _rule(stage, threshold)
    scores, boxes = found["roi_scores"][None], found["roi_boxes"][None]
    return differences, rule.of_rois(scores, boxes, None, _batch(size))[0], rule


def normalised(pixels: np.ndarray, detector: Detector) -> np.ndarray:
    """float32 [1, 3, H, W] of uint8 [H, W, 3] BGR, as the detector wants it."""
    image, statistics = pixels.astype(np.float32), detector.normalisation
    if statistics is not None:
        image = image[..., ::-1] if statistics.is_rgb else image
        image = (image - np.array(statistics.mean, np.float32)) * (1 / np.array(statistics.std, np.float32))
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None])


def _threshold(scores: np.ndarray) -> float:
    """Half way between two scores that lie well apart, so that at most `PAIRS_SHOWN` values are above it."""
    ordered = np.unique(scores)[::-1]
    count = min(PAIRS_SHOWN, len(ordered) - 1)
    gaps = ordered[count // 2 : count] - ordered[count // 2 + 1 : count + 1]
    place = count // 2 + int(np.argmax(gaps)) if len(gaps) else 0
    return float(ordered[place : place + 2].mean())


def _selected(
    rule: Any, found: Mapping[str, np.ndarray], wanted: Detections, size: tuple[int, int]
) -> dict[str, float]:
    ours = detections_of(found, rule.nms, rule.max_per_image)
    if isinstance(rule, PairPostprocess):
        ours = rule.inside(ours, np.array(size, np.float32))
    # Equal scores may come in any order.
    first, second = (np.lexsort((*each.shapes.T, each.labels, -each.scores)) for each in (ours, wanted))
    if len(wanted) != len(ours) or (wanted.labels[second] != ours.labels[first]).any():
        raise ConfigError(
            f"the exported file finds other objects ({len(ours)}) than the detector ({len(wanted)}): it was "
            "not kept."
        )
    return {
        "scores": _largest(ours.scores[first], wanted.scores[second]),
        "boxes": _of_boxes(ours.shapes[first], wanted.shapes[second], max(size)),
    }


def detections_of(found: Mapping[str, np.ndarray], nms: Any, max_per_image: int) -> Detections:
    """The detections in a file's outputs, suppressed here where they are candidates."""
    if "labels" in found:
        return Detections(0, found["scores"], found["labels"], boxes=found["boxes"])
    rows, labels = np.nonzero(found["scores"])
    boxes, scores, labels = nms(found["boxes"][rows], found["scores"][rows, labels], labels, max_per_image)
    form = "rboxes" if isinstance(nms, RotatedClasswiseNMS) else "boxes"
    return Detections(0, scores, labels, **{form: boxes})


def _largest(a: np.ndarray, b: np.ndarray, scale: float = 1.0) -> float:
    return float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else float("inf")


def _of_boxes(a: np.ndarray, b: np.ndarray, longest: float) -> float:
    """In units of the image's longer side, of boxes beyond it of their own coordinates; angles in radians."""
    if a.shape != b.shape:
        return float("inf")
    sides = np.abs(a - b)[:, :4] / np.maximum(np.abs(b[:, :4]), longest)
    turns = np.abs(a - b)[:, 4:]
    # Of a square, a quarter turn is none.
    is_square = np.abs(b[:, 2:3] - b[:, 3:4]) <= TOLERANCE * longest
    period = np.where(is_square, np.pi / 2, np.pi)
    turns = np.abs(turns - period * np.round(turns / period))
    return float(max(sides.max(initial=0.0), turns.max(initial=0.0)))
