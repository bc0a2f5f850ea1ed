"""Where the shapes of a detection or ground-truth record stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jld.boxes.rotated.corners import rboxes_to_polys
from jld.errors import DataError

KEYS = ("polys", "rboxes", "boxes")


def record_polys(record: Mapping[str, Any]) -> np.ndarray:
    """Corners of the objects of one image, whichever way the record gives them.

    Args:
        record: `polys` [n, 8] px, else `rboxes` [n, 5] px and radians, else `boxes`, either [n, 5] like
            `rboxes` or upright [n, 4] xyxy px.
    Returns:
        [n, 8] float64 px.
    Raises:
        DataError: it has none of them.
    """
    if "polys" in record:
        return np.asarray(record["polys"], np.float64).reshape(-1, 8)
    if "rboxes" in record:
        return rboxes_to_polys(np.asarray(record["rboxes"], np.float64).reshape(-1, 5))
    if "boxes" in record:
        if np.shape(record["boxes"])[-1] == 5:
            return rboxes_to_polys(np.asarray(record["boxes"], np.float64).reshape(-1, 5))
        x1, y1, x2, y2 = np.asarray(record["boxes"], np.float64).reshape(-1, 4).T
        return np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1)
    raise DataError(f"image {record.get('img_id')!r} has none of {', '.join(KEYS)}.")
