"""Detectors: backbone, neck and head as one model. Importing the package registers them."""

from jld.models.detectors.single_stage import GFL, SingleStageDetector

__all__ = ["GFL", "SingleStageDetector"]
