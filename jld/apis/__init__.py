"""The library from Python: a detector from files, detections from images, runs beside each other."""

from jld.apis.comparison import Entry, compare
from jld.apis.inference import inference_detector, init_detector, use_device
from jld.apis.registration import list_parts, register_parts

__all__ = [
    "Entry",
    "compare",
    "inference_detector",
    "init_detector",
    "list_parts",
    "register_parts",
    "use_device",
]
