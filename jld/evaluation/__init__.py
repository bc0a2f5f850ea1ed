"""Scores of detections under the published protocols, on plain arrays, without Jittor.

An evaluator takes the detections and the ground truth of all images and returns a `Metrics` dict: fractions
in 0..1 (-1 where undefined, for example without ground truth), the protocol's name, and `per_class`. Its
attribute `supported_sides` says how many numbers the boxes of a dataset may have: 4, 5 for rotated ones.
"""

from jld.evaluation.coco import CocoEvaluator
from jld.evaluation.crowdhuman import CrowdHumanEvaluator
from jld.evaluation.dota import DotaEvaluator
from jld.evaluation.published import PublishedRow, published_row, published_rows
from jld.evaluation.records import Evaluator, Metrics
from jld.evaluation.tables import format_metrics, format_runs, metrics_to_json, write_metrics
from jld.evaluation.voc import VocEvaluator

__all__ = [
    "CocoEvaluator",
    "CrowdHumanEvaluator",
    "DotaEvaluator",
    "Evaluator",
    "Metrics",
    "PublishedRow",
    "VocEvaluator",
    "format_metrics",
    "format_runs",
    "metrics_to_json",
    "published_row",
    "published_rows",
    "write_metrics",
]
