"""What a comparison of runs leaves in its folder."""

import json

import numpy as np

from jld.apis import comparison
from jld.apis.comparison import Entry, compare


def test_a_reader_of_the_last_results_keeps_them_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "_config_of", lambda *_: None)
    monkeypatch.setattr(comparison, "_num_steps", lambda _: 1)
    monkeypatch.setattr(comparison, "_train_and_score", lambda _: {"AP": 0.25, "protocol": "COCO"})
    monkeypatch.setattr(comparison, "draw_comparison", lambda _: np.zeros((4, 4, 3), np.uint8))
    for name in ("table.txt", "results.json"):
        (tmp_path / name).write_text("of the last comparison")
    with (tmp_path / "table.txt").open() as table, (tmp_path / "results.json").open() as results:
        assert compare([Entry("plain", "plain.py")], tmp_path) == {"plain": {"AP": 0.25, "protocol": "COCO"}}
        assert table.read() == results.read() == "of the last comparison"
    assert json.loads((tmp_path / "results.json").read_text())["plain"]["AP"] == 0.25
    assert "25.0" in (tmp_path / "table.txt").read_text()
