"""The page of all models."""

import hashlib
import json
from pathlib import Path

from jld.apis.model_zoo import _title, main, models, page
from jld.config.named import named_configs

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/gfl/gfl_r18_1x_coco.py"


def write_run(folder, name, row=None):
    run = folder / name
    (run / "results").mkdir(parents=True)
    scores = {"AP": 0.361, "AP50": 0.534, "protocol": "COCO"}
    scores["run"] = {"benchmark": "COCO", "images": 5000}
    (run / "results/metrics.json").write_text(json.dumps(scores))
    (run / "config.py").write_text(f"published = {dict(row=row)!r}\n" if row else "")
    return run


def test_the_page_in_the_docs_is_the_current_one():
    text = (ROOT / "docs/model_zoo.md").read_text(encoding="utf-8")
    printed = page(models([], ROOT))
    configs = [file for files in named_configs().values() for file in files]
    assert all(f"](../{file.resolve().relative_to(ROOT)})" in text for file in configs)
    line = next(
        line for line in printed.splitlines() if "](../configs/quick_start/ld_noisy_gfl_student.py)" in line
    )
    assert line in text and " AP 44.1, AP50 " in line and "/weights/ld_noisy_gfl_student-" in line
    of_project = "](../projects/bccd/configs/short_ld_gfl_student.py)"
    (line,) = [line for line in printed.splitlines() if of_project in line]
    assert "bccd/configs/weights/short_ld_gfl_student-" in line
    assert "](../projects/bccd/configs/ld_gfl_student.py)" not in printed  # it has no weights
    # Other measured scores come from work folders that are not here; everything else is compared.
    static = [line.split(" | ")[:2] for line in printed.splitlines() if line.startswith("| [")]
    shown = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| [")]
    assert shown == static, "print it again: python tools/model_zoo.py WORK_DIR ... --out docs/model_zoo.md"


def test_titles_are_first_sentences(tmp_path):
    (tmp_path / "x.py").write_text('"""GFL R-18, 1x,\nCOCO. More of it.\n\nCommand: y\n"""\n')
    assert _title(tmp_path / "x.py") == "GFL R-18, 1x, COCO"


def test_runs_stand_in_the_lines_of_their_configs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    run = write_run(tmp_path, "gfl_r18_1x_coco", row="ld-coco-r18-1x")
    write_run(tmp_path, "my_cells")
    (run / "log.jsonl").write_text("{}\n")
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.pkl").write_bytes(b"weights")
    assert main([str(tmp_path), "--out", str(tmp_path / "zoo.md")]) == 0
    assert "10 measured" in capsys.readouterr().out
    lines = (tmp_path / "zoo.md").read_text().splitlines()
    (line,) = [line for line in lines if f"](../{CONFIG})" in line]
    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [
        "AP 35.8, AP50 53.1, AP75 38.2 (HikariTJU&#47;LD README, COCO Main LD table)",
        "AP 36.1, AP50 53.4",
        f"last.pkl {digest}",
        str(run / "log.jsonl"),
    ]
    last = lines[-1].split("|")
    assert last[1].strip() == "`my_cells`" and last[3].strip() == "AP 36.1, AP50 53.4"
    assert [cell.strip() for cell in last[4:6]] == ["none", "no log"]


def test_a_folder_without_runs_is_named(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no work folder with scores" in capsys.readouterr().err
