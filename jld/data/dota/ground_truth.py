"""Label files as the records an evaluator compares detections with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jld.boxes.rotated import poly_areas, polys_to_xyxy
from jld.data.dota.labels import PolyAnnotation


def truth_record(
    img_id: str, annotation: PolyAnnotation, classes: Sequence[str], **fields: Any
) -> dict[str, Any]:
    """The ground truth of one image.

    Args:
        img_id: name of the image.
        annotation: its objects; those of other classes are left out.
        classes: names, in the order of the labels.
        fields: further entries, such as img_file, width and height.
    Returns:
        dict with `img_id`, `polys` [n, 8] float64 px, `boxes` [n, 4] upright xyxy around them, `labels` [n],
        `is_difficult` [n] (any flag but 0), `difficult` [n] (the flag), `is_crowd` [n] (never), `areas` [n]
        px^2.
    """
    labels = annotation.labels(classes)
    known = annotation.select(labels >= 0)
    return {
        "img_id": img_id,
        **fields,
        "polys": known.polys,
        "boxes": polys_to_xyxy(known.polys),
        "labels": labels[labels >= 0],
        "is_crowd": np.zeros(len(known), bool),
        "is_difficult": known.difficult != 0,
        "difficult": known.difficult,
        "areas": poly_areas(known.polys),
    }
