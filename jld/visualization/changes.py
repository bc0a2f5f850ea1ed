"""Detections beside ground truth: what was found, missed and invented, and what another detector changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.visualization.boxes import box_corners, box_marks, class_name, line_thickness, scaled, tags
from jld.visualization.canvas import Color
from jld.visualization.marks import Line, Mark

# BGR of colour-blind safe tones (Okabe and Ito), told apart by dashes as well.
GOOD: Color = (115, 158, 0)
BAD: Color = (0, 94, 213)
MISSED: Color = (0, 159, 230)
QUIET: Color = (190, 190, 190)


def error_marks(
    shape: Sequence[int],
    record: Mapping[str, Any],
    is_found: np.ndarray,
    is_false: np.ndarray,
    *,
    classes: Sequence[str],
    threshold: float,
    with_text: bool = True,
) -> list[Mark]:
    """One detector on one image: right detections thin, wrong ones thick, missed objects dashed.

    Args:
        shape: (height, width) of the image, px.
        record: of the image, see `jld.evaluation.analysis.Analysis`.
        is_found: [G]; is_false: [K] in the order of the record.
        classes: names; threshold: score from which on a detection is drawn.
        with_text: whether to name what is wrong.
    """
    right = (record["scores"] >= threshold) & ~is_false
    marks = _boxes(shape, record, right, QUIET)
    marks += _boxes(shape, record, is_false, BAD, 2)
    missed = ~is_found & ~record["gt_is_ignored"]
    marks += _objects(shape, record, missed, MISSED, dashed=True)
    if not with_text:
        return marks
    return marks + tags(
        shape,
        [
            *_captions(record, is_false, "boxes", "labels", classes, BAD, ""),
            *_captions(record, missed, "gt_boxes", "gt_labels", classes, MISSED, "missed "),
        ],
    )


def change_marks(
    shape: Sequence[int],
    records: tuple[Mapping[str, Any], Mapping[str, Any]],
    changed: Mapping[str, np.ndarray],
    *,
    classes: Sequence[str],
    threshold: float,
    with_text: bool = True,
) -> tuple[list[Mark], list[Mark]]:
    """Two detectors on one image: all detections thin, what differs thick and named.

    Args:
        shape: (height, width) of the image, px.
        records: of the image before and after.
        changed: `gained` and `lost` [G], `gone` [K before] and `new` [K after], see `Change`.
        classes, threshold, with_text: see `error_marks`.
    Returns:
        marks before (dashed: objects not found that are found later; thick: false detections that go) and
        after (thick: objects gained; dashed: objects lost; false detections that are new).
    """
    before, after = records
    plain = [_boxes(shape, each, each["scores"] >= threshold, QUIET) for each in records]
    left = plain[0] + _objects(shape, before, changed["gained"], MISSED, dashed=True)
    left += _boxes(shape, before, changed["gone"], BAD, 2)
    right = plain[1] + _objects(shape, after, changed["gained"], GOOD)
    right += _objects(shape, after, changed["lost"], MISSED, dashed=True)
    right += _boxes(shape, after, changed["new"], BAD, 2)
    if with_text:
        names = ("gt_boxes", "gt_labels", classes)
        left += tags(
            shape,
            [
                *_captions(before, changed["gained"], *names, MISSED, "missed "),
                *_captions(before, changed["gone"], "boxes", "labels", classes, BAD, ""),
            ],
        )
        right += tags(
            shape,
            [
                *_captions(after, changed["gained"], *names, GOOD, "found "),
                *_captions(after, changed["lost"], *names, MISSED, "lost "),
                *_captions(after, changed["new"], "boxes", "labels", classes, BAD, "new "),
            ],
        )
    return left, right


def enlarged_record(record: Mapping[str, Any], zoom: int) -> dict[str, Any]:
    """A record whose boxes are those in an image `zoom` times as large."""
    names = ("boxes", "rboxes", "gt_boxes", "gt_rboxes")
    return {**record, **{name: scaled(record[name], zoom) for name in names if name in record}}


def _boxes(
    shape: Sequence[int], record: Mapping[str, Any], chosen: np.ndarray, color: Color, factor: int = 1
) -> list[Mark]:
    boxes = record.get("rboxes", record["boxes"])[chosen]
    return box_marks(shape, boxes, thickness=factor * line_thickness(shape), with_text=False, color=color)


def _objects(
    shape: Sequence[int], record: Mapping[str, Any], chosen: np.ndarray, color: Color, *, dashed: bool = False
) -> list[Mark]:
    thickness = 2 * line_thickness(shape)
    corners = box_corners(record.get("gt_rboxes", record["gt_boxes"])[chosen])
    return [Line(each, color, thickness, dash=4.0 * thickness * dashed) for each in corners]


def _captions(
    record: Mapping[str, Any],
    chosen: np.ndarray,
    boxes: str,
    labels: str,
    classes: Sequence[str],
    color: Color,
    prefix: str,
) -> list[tuple[np.ndarray, str, Color]]:
    corners = box_corners(record[boxes][chosen])
    names = [f"{prefix}{class_name(int(label), classes)}" for label in record[labels][chosen]]
    if boxes == "boxes":
        scores = record["scores"][chosen]
        names = [f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)]
    return [(each, name, color) for each, name in zip(corners, names, strict=True)]
