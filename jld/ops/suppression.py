"""What every non-maximum suppression offers to whoever takes one as an argument."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from jld.registry import SUPPRESSORS


@SUPPRESSORS.interface
class Suppression(Protocol):
    """Drops or weakens detections that others explain."""

    def __call__(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_keep: int = 0, /
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept (boxes, scores, labels) of one image, best first; at most `max_keep` of them, 0: all."""
