"""When the detections of a whole model count as those of a golden case."""

from __future__ import annotations

import numpy as np

from jld.boxes.overlaps import pairwise_overlaps


def assert_detections_match(found, expected_boxes, expected_labels):
    """98 % of the expected boxes have a partner: IoU above 0.99, same label, score within 1e-3."""
    assert abs(len(found["boxes"]) - len(expected_boxes)) <= 0.02 * len(expected_boxes)
    assert (np.diff(found["scores"]) <= 0).all()
    iou = pairwise_overlaps(expected_boxes[:, :4], found["boxes"])
    fits = (
        (iou > 0.99)
        & (expected_labels[:, None] == found["labels"])
        & (np.abs(expected_boxes[:, 4:] - found["scores"]) < 1e-3)
    )
    assert fits.any(axis=1).mean() >= 0.98
