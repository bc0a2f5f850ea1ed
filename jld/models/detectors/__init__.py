"""Detectors: backbone, neck and heads as one model. Importing the package registers them."""

from jld.models.detectors.base import Detector
from jld.models.detectors.single_stage import SingleStageDetector
from jld.models.detectors.two_stage import TwoStageDetector

__all__ = ["Detector", "SingleStageDetector", "TwoStageDetector"]
