"""The table and the picture of trainings in several precisions, from their logs."""

from __future__ import annotations

import json

from projects.mixed_precision import run


def write_run(folder, losses, scale, ap):
    folder.mkdir()
    records = [
        {"iter": 10 * (k + 1), "total_loss": loss, "loss_bbox": loss / 2, "images_per_second": 5.0 + k}
        | ({"optimizer/skipped_steps": float(k)} if scale else {})
        for k, loss in enumerate(losses)
    ]
    records.append({"iter": 10 * len(losses), "eval/AP": ap})
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    metrics, memory = {"AP": ap, "AP50": 0.5, "AP75": 0.25}, {"peak memory, MiB": 321.4}
    result = {"metrics": metrics, "device": "CPU", "memory": memory}
    (folder / "result.json").write_text(json.dumps(result))


def test_runs_are_put_beside_each_other(tmp_path):
    write_run(tmp_path / "float32", [4.0, 3.0, 2.0], scale=False, ap=0.123)
    write_run(tmp_path / "float16", [4.1, 3.1, 2.1], scale=True, ap=0.125)
    said = run.compare(tmp_path, ["float32", "float16"])
    assert said.splitlines()[:-2] == [
        "|  | float32 | float16 |",
        "| --- | --- | --- |",
        "| total loss, steps 1 to 10 | 4.0000 | 4.1000 |",
        "| total loss, steps 11 to 20 | 3.0000 | 3.1000 |",
        "| total loss, steps 21 to 30 | 2.0000 | 2.1000 |",
        "| AP | 12.3 | 12.5 |",
        "| AP50 | 50.0 | 50.0 |",
        "| AP75 | 25.0 | 25.0 |",
        "| skipped steps | - | 2 |",
        "| peak memory, MiB | 321 | 321 |",
        "| images/s on the CPU | 6.0 | 6.0 |",
    ]
    assert (tmp_path / "table.md").read_text() in said + "\n"
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_few_points_of_a_long_training_are_shown():
    assert run.shown(3) == [0, 1, 2]
    places = run.shown(300)
    assert len(places) == 7 and (places[0], places[-1]) == (0, 299)
