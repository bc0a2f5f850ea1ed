"""The comparison with the reference package, as far as it goes without that package."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jld.checkpoint import write_torch, write_training_state
from projects.parity import run
from projects.parity.cases import CASES, DCN, gfl_section
from projects.parity.reference import why_missing


def test_what_is_missing_is_one_sentence(tmp_path):
    for folder in (None, tmp_path):
        reason = why_missing(folder)
        assert reason and "\n" not in reason
        assert "needs the packages" in reason or "no checkout" in reason


def test_cases_are_in_the_words_of_the_reference():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    for case in CASES:
        section = case.model()
        assert section["bbox_head"]["type"] == "GFLHead"
        assert section["backbone"]["norm_eval"] and section["backbone"]["depth"] in (50, 101)
        assert len(case.boxes) == len(case.image_shapes)
        for image, pad in zip(case.image_shapes, case.pad_shapes, strict=True):
            assert image <= pad and pad[0] <= case.batch_shape[0] and pad[1] <= case.batch_shape[1]
    section = gfl_section({"type": "ResNet", "depth": 18, "dcn": DCN}, widths=(1, 2, 3, 4), num_classes=3)
    assert section["neck"]["in_channels"] == [1, 2, 3, 4] and section["bbox_head"]["num_classes"] == 3


def batch(mask) -> dict:
    return {
        "images": np.zeros((1, 3, 32, 64), np.float32),
        "boxes": np.arange(8, dtype=np.float32).reshape(1, 2, 4),
        "labels": np.array([[3, 0]], np.int32),
        "box_mask": np.array([mask], np.float32),
        "img_shapes": np.float32([[30, 50]]),
        "pad_shapes": np.float32([[32, 64]]),
        "scale_factors": np.ones((1, 4), np.float32),
    }


def test_a_batch_is_written_without_its_padding():
    arrays = run.reference_inputs(batch([1, 0]))
    assert arrays["in/gt_bboxes/0"].tolist() == [[0, 1, 2, 3]]
    assert arrays["in/gt_labels/0"].tolist() == [3] and arrays["in/gt_labels/0"].dtype == np.int64
    assert arrays["in/img_shape/0"].tolist() == [30, 50, 3]
    assert arrays["in/pad_shape/0"].tolist() == [32, 64, 3]
    with pytest.raises(SystemExit, match="no object"):
        run.reference_inputs(batch([0, 0]))


def test_both_sides_are_compared_and_drawn(tmp_path, capsys):
    records = [{"iter": k, "total_loss": 4.0 / k, "loss_bbox": 1.0, "loss_ld": 0.5} for k in (1, 2)]
    theirs = [{**record, "total_loss": 2 * record["total_loss"]} for record in records]
    (tmp_path / "jld").mkdir()
    (tmp_path / "jld" / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    for name in ("reference", "control"):
        (tmp_path / f"{name}.json").write_text(json.dumps(theirs))
    weights = {"neck.x.weight": np.ones(4, np.float32)}
    for factor, name in ((0, "student"), (1, "reference_weights"), (3, "control_weights")):
        write_torch(tmp_path / f"{name}.pth", {key: factor * values for key, values in weights.items()})
    write_training_state(tmp_path / "jld" / "checkpoints" / "last.pkl", {"meta": {}, "model": weights})
    run.compare(tmp_path)
    said = capsys.readouterr().out
    assert said.count("-5.0e-01") == 2
    assert "final weights of jld: 0.0e+00" in said
    assert "final weights of control: 4.0e+00 from the reference's, 2.0e+00 of their way" in said
    assert (tmp_path / "curves.png").stat().st_size > 1000
