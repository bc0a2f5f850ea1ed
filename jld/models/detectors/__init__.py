"""Detectors: backbone, neck and head as one model. Importing the package registers them."""

from jld.models.detectors.single_stage import (
    ATSS,
    FCOS,
    GFL,
    GFLv2,
    RetinaNet,
    RotatedRetinaNet,
    SingleStageDetector,
)

__all__ = ["ATSS", "FCOS", "GFL", "GFLv2", "RetinaNet", "RotatedRetinaNet", "SingleStageDetector"]
