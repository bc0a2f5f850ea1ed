"""The table of published results: complete rows, findable names, and numbers as printed."""

import re
from pathlib import Path

import pytest

from jld.config import load_config
from jld.errors import ConfigError
from jld.evaluation import published_row, published_rows

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("[a-z]*/*.py"))


def test_rows_are_complete():
    rows = published_rows()
    assert len(rows) > 150
    for row_id, row in rows.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", row_id), row_id
        assert row.metrics and all(0 < value < 100 for value in row.metrics.values()), row_id
        assert all((row.method, row.student, row.dataset, row.split, row.schedule, row.protocol, row.source))
        assert (row.method == "none") <= (row.teacher is None), row_id


@pytest.mark.parametrize(
    ("row_id", "metrics"),
    [
        ("ld-coco-r18-from-r101-1x", {"AP": 36.5, "AP50": 52.9, "AP75": 39.3}),
        ("ld-coco-r18-from-r101-1x-testdev", {"AP": 36.8, "AP50": 53.5, "AP75": 39.9, "AR": 56.6}),
        ("ld-coco-ours-r34-from-r101-1x", {"AP": 41.0}),
        ("ld-voc-r18-from-r101", {"AP": 53.0, "AP50": 75.9, "AP75": 57.6}),
        ("ld-coco-self-r50", {"AP": 40.6, "AP50": 58.2, "AP75": 43.8}),
        ("rld-gwd-r18-from-r34-1x", {"AP": 40.2, "AP50": 66.4, "AP70": 50.3, "AP90": 8.5}),
        ("jdet-ld-rotated-retinanet-r18-from-r50-1x", {"AP50": 69.8}),
        ("lgd-mask-rcnn-swin-t-ms-3x", {"AP": 46.4, "mask_AP": 42.5}),
        ("gk-retinanet-r50-from-r101", {"AP": 39.8, "AP50": 58.6, "AP75": 42.6}),
        ("mmrazor-fbkd-faster-rcnn-r50-from-r101-1x", {"AP": 39.3}),
    ],
)
def test_numbers(row_id, metrics):
    assert dict(published_row(row_id).metrics) == metrics


def test_printed_run_is_consistent():
    metrics = published_row("ld-voc-r18-from-r101-sample-run").metrics
    by_threshold = [metrics[f"AP{50 + 5 * step}"] for step in range(10)]
    assert sum(by_threshold) / 10 == pytest.approx(metrics["AP"], abs=1e-3)


def test_unknown_row_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'ld-coco-r18-from-r101-1x'"):
        published_row("ld_coco_r18_from_r101_1x")


def test_description():
    assert published_row("ld-coco-r18-from-r101-1x").describe() == (
        "LD (Main LD), GFL R-18 from GFL R-101, 1x, COCO val2017 (HikariTJU/LD README, COCO Main LD table)"
    )


@pytest.mark.parametrize(
    ("row", "benchmark", "num_images", "said"),
    [
        ("ld-coco-r18-from-r101-1x", "COCO", 5000, ""),
        ("ld-voc-r18-from-r101", "VOC", 4952, ""),
        ("ld-coco-r18-1x-testdev", "COCO", 77, ""),  # the split's size is not in the table
        (
            "ld-coco-r18-from-r101-1x",
            "VOC",
            5000,
            "scored on COCO val2017 (5000 images), and this dataset has the",
        ),
        ("ld-coco-r18-from-r101-1x", "COCO", 4, "the classes of COCO and 4 images"),
        (
            "ld-voc-r18-from-r101",
            None,
            4952,
            "VOC 07+12 test2007 (4952 images), and this dataset has classes of its",
        ),
        ("rld-gwd-r18-1x", "DOTA-1.0", 5297, ""),
        (
            "rld-gwd-r18-1x",
            "DOTA-1.5",
            5297,
            "scored on DOTA-1.0 val, and this dataset has the classes of DOTA-1.5",
        ),
    ],
)
def test_rows_compare_with_their_own_data_alone(row, benchmark, num_images, said):
    why = published_row(row).mismatch(benchmark, num_images)
    assert said in why and bool(said) == bool(why)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_rows_that_configs_claim_exist(path):
    claimed = load_config(path).get("published")
    if claimed:
        assert published_row(claimed["row"]).metrics
