"""Detectors as ONNX files: their own code runs on symbols that write down what it does to them."""

from jld.export.detector import ExportSettings, detections_only, to_onnx
from jld.export.runtime import session_of

__all__ = ["ExportSettings", "detections_only", "session_of", "to_onnx"]
