"""The page about a run, from what its folder holds; with a detector: tests/cli/test_run_net.py."""

import json

import pytest

from jld.apis import report

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def work_dir(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "config.py").write_text(
        f"published = dict(row='ld-coco-r18-from-r101-1x')\nname = {EVIL!r}\n"
    )
    records = [{"iter": 10 * k, "epoch": k, "total_loss": 2 / k, "eval/AP": 0.1 * k} for k in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    environment = {"python": "3.11", "packages": {EVIL: "1.0", "gone": None}, "gpus": []}
    (tmp_path / "env.json").write_text(json.dumps(environment))
    return tmp_path


def test_scores_stand_beside_the_published_row(work_dir, capsys):
    scores = {"AP": 0.3, "AP50": 0.5, "protocol": "COCO", "run": {"benchmark": "COCO", "images": 5000}}
    (work_dir / "results" / "metrics.json").write_text(json.dumps(scores))
    assert report.main([str(work_dir), "--fast"]) == 0
    page = (work_dir / "report.html").read_text()
    assert str(work_dir / "report.html") in capsys.readouterr().out
    assert "<td>36.5</td><td>-6.5</td>" in page and "R-18" in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "packages.&lt;script&gt;" in page and "packages.gone" not in page
    assert page.count("data:image/svg+xml") == 1 and "published = dict" in page


def test_a_run_in_training_or_of_other_data(work_dir, capsys, tmp_path):
    assert report.main([str(work_dir), "--fast", "--out", str(tmp_path / "b.html")]) == 0
    page = (tmp_path / "b.html").read_text()
    assert "from log.jsonl, of iteration 30" in page and "is not shown" in page and "36.5" not in page
    (work_dir / "log.jsonl").unlink()
    assert report.main([str(work_dir), "--fast"]) == 0
    assert "no scores; looked for" in (work_dir / "report.html").read_text()
    (work_dir / "config.py").unlink()
    assert report.main([str(work_dir), "--fast"]) == 2
    assert "a report is of a run's work folder" in capsys.readouterr().err.replace("&#39;", "'")
