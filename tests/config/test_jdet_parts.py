"""Translated configs of JDet against jld's own configs of the same rows, and against its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from jld.apis import register_parts
from jld.config import check_config, fill_defaults, load_config
from tests.config.jdet_texts import KINDS, write_jdet_config

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "plain": "jdet_rotated_retinanet_r18_1x_dota.py",
    "distribution": "jdet_rotated_retinanet_dist_r18_1x_dota.py",
    "ld": "jdet_ld_rotated_retinanet_r18_from_r50_1x_dota.py",
}


@pytest.mark.parametrize("kind", OURS)
def test_the_models_are_those_of_our_own_configs(tmp_path, kind):
    ours, theirs = (
        load_config(ROOT / "configs/rotated" / OURS[kind]),
        load_config(write_jdet_config(tmp_path, kind)),
    )
    different = {
        (part, key)
        for part in ("backbone", "neck", "bbox_head")
        for key in {**ours.model[part], **theirs.model[part]}
        if ours.model[part].get(key) != theirs.model[part].get(key)
    }
    # left out on one side: the default of the class
    assert different <= {
        ("backbone", "out_indices"), ("backbone", "style"), ("backbone", "norm_trainable"),
        ("bbox_head", "reg_decoded_bbox"),
    }  # fmt: skip
    assert ours.scheduler.milestones == theirs.scheduler.milestones
    if kind == "ld":
        defaults = {"weighting": "uniform"}
        assert [{**defaults, **term} for term in ours.distill.terms] == [
            {**defaults, **term} for term in theirs.distill.terms
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_jld_accepts_the_result(tmp_path, kind):
    register_parts()
    config = load_config(write_jdet_config(tmp_path, kind))
    check_config(config)
    assert fill_defaults(config).dataset.train.type == "DOTADataset"
