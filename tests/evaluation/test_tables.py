"""Text tables and json of metrics."""

import json

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.evaluation import format_metrics, format_runs, metrics_to_json, write_metrics

METRICS = {
    "AP": 0.3712,
    "AP50": 0.525,
    "APs": -1.0,
    "per_class": {
        "cat": {"AP": 0.5, "AP50": -1.0, "num_gts": 12, "num_detections": 340},
        "traffic light": {"AP": 0.25, "AP50": 1.0, "num_gts": 3, "num_detections": 5},
    },
    "protocol": "COCO",
}


def test_table_beside_a_published_row():
    assert format_metrics(METRICS, published="ld-coco-r18-from-r101-1x") == "\n".join(
        [
            "COCO protocol, percent",
            "              AP  AP50  APs  AP75",
            "---------------------------------",
            "measured    37.1  52.5    -     -",
            "published   36.5  52.9    -  39.3",
            "difference  +0.6  -0.4    -     -",
            "published: ld-coco-r18-from-r101-1x: LD (Main LD), GFL R-18 from GFL R-101, 1x, COCO val2017 "
            "(HikariTJU/LD README, COCO Main LD table); total batch 6",
            "",
            "class            AP   AP50  boxes  detections",
            "---------------------------------------------",
            "cat            50.0      -     12         340",
            "traffic light  25.0  100.0      3           5",
        ]
    )


def test_table_alone():
    text = format_metrics(METRICS, per_class=False)
    assert text.splitlines()[2:] == ["-------------------------", "measured  37.1  52.5    -"]
    assert "published" not in text


def test_scores_of_masks_stand_in_a_table_of_their_own():
    metrics = METRICS | {"segm_AP": 0.25, "segm_AP50": 0.5}
    assert format_metrics(metrics, per_class=False).splitlines() == [
        "COCO protocol, percent",
        "boxes       AP  AP50  APs",
        "-------------------------",
        "measured  37.1  52.5    -",
        "",
        "masks       AP  AP50",
        "--------------------",
        "measured  25.0  50.0",
    ]


def test_unknown_row():
    with pytest.raises(ConfigError, match="no published row"):
        format_metrics(METRICS, published="nothing-like-it")


def test_runs():
    plain = {"AP": 0.3, "AP75": 0.25, "per_class": {}, "protocol": "VOC07"}
    table = format_runs({"plain student": plain, "LD": {**plain, "AP75": 0.305}})
    assert table.splitlines() == [
        "                 AP  AP75",
        "-------------------------",
        "plain student  30.0  25.0",
        "LD             30.0  30.5",
    ]
    assert "AP75" not in format_runs({"plain": plain}, names=["AP"])
    with pytest.raises(ValueError, match="different protocols do not compare: COCO, VOC07"):
        format_runs({"plain": plain, "LD": METRICS})


def test_many_thresholds_stay_within_a_terminal():
    wide = {f"AP{k}": 0.5 for k in range(40)} | {"per_class": {}, "protocol": "VOC07"}
    assert max(map(len, format_metrics(wide).splitlines())) < 110


def test_json(tmp_path):
    metrics = {**METRICS, "AP": np.float32(0.5), "AP75": float("nan"), "n": np.int64(3)}
    read = json.loads(metrics_to_json(metrics))
    assert read["AP"] == 0.5
    assert read["AP75"] == -1
    assert read["n"] == 3
    assert read["per_class"] == METRICS["per_class"]
    assert write_metrics(metrics, tmp_path / "metrics.json").read_text() == metrics_to_json(metrics)
