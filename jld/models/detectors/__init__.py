"""Detectors: backbone, neck and head as one model. Importing the package registers them."""

from jld.models.detectors.single_stage import (
    FCOS,
    GFL,
    RetinaNet,
    RotatedRetinaNet,
    SingleStageDetector,
)

__all__ = ["FCOS", "GFL", "RetinaNet", "RotatedRetinaNet", "SingleStageDetector"]
