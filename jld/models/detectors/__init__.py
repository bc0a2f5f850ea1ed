"""Detectors: backbone, neck and head as one model. Importing the package registers them."""

from jld.models.detectors.single_stage import GFL, RotatedRetinaNet, SingleStageDetector

__all__ = ["GFL", "RotatedRetinaNet", "SingleStageDetector"]
