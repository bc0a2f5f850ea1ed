"""Scores of many runs beside the published rows; nothing is filled in that nobody measured."""

from __future__ import annotations

import csv
import io
import json
import runpy
from pathlib import Path

import pytest

from jld.errors import ConfigError, DataError
from jld.evaluation import published_row, published_rows
from jld.evaluation.baselines import (
    baseline_lines,
    baselines_csv,
    baselines_markdown,
    find_runs,
    read_run,
    seeds_table,
)

ROW = "ld-coco-r18-from-r101-1x"
TOOL = Path(__file__).resolve().parents[2] / "tools" / "compare_baselines.py"


def work_dir(folder: Path, row: str | None = ROW, metrics: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    claim = "" if row is None else f"published = dict(row={row!r})\n"
    (folder / "config.py").write_text(f"model = dict(type='GFL')\n{claim}")
    if metrics is not None:
        (folder / "results").mkdir()
        (folder / "results" / "metrics.json").write_text(json.dumps(metrics))
    return folder


COCO = {"benchmark": "COCO", "images": 5000}


def scored(folder: Path, row: str | None = ROW, on: dict = COCO, **fractions: float) -> Path:
    about = {"split": "val", **on}
    metrics = {**fractions, "per_class": {"cat": {"AP": 0.1}}, "protocol": "COCO", "run": about}
    return work_dir(folder, row, metrics)


def table(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_scores_become_percent_and_undefined_ones_are_left_out(tmp_path):
    run = read_run(scored(tmp_path / "a", AP=0.371, AP50=0.5, APl=-1.0))
    assert run.metrics == {"AP": pytest.approx(37.1), "AP50": 50}
    assert (run.name, run.row, run.protocol, run.file) == ("a", ROW, "COCO", "results/metrics.json")


def test_the_last_evaluation_of_a_log_counts_where_nothing_else_is(tmp_path):
    folder = work_dir(tmp_path / "a")
    records = [{"iter": 1, "eval/AP": 0.1}, {"iter": 2, "total_loss": 1.0}, {"iter": 3, "eval/AP": 0.2}]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, records)) + '\n{"iter": 4, "eval/AP"')
    run = read_run(folder)
    assert (run.metrics, run.iteration, run.file) == ({"AP": 20}, 3, "log.jsonl")


def test_every_published_row_keeps_its_line(tmp_path):
    runs = [read_run(scored(tmp_path / name, AP=ap)) for name, ap in (("seed0", 0.36), ("seed1", 0.37))]
    lines = baseline_lines(runs)
    assert len(lines) == len(published_rows()) + 1
    found = table(baselines_csv(lines))
    measured = {line["run"]: line for line in found if line["run"]}
    assert set(measured) == {"seed0", "seed1"}
    for name, ap in (("seed0", 36.0), ("seed1", 37.0)):
        line = measured[name]
        assert line["row"] == ROW and float(line["measured_AP"]) == ap
        assert float(line["published_AP"]) == published_row(ROW).metrics["AP"]
        assert float(line["difference_AP"]) == pytest.approx(ap - published_row(ROW).metrics["AP"], abs=0.01)
    for line in found:
        if not line["run"]:
            assert not any(value for key, value in line.items() if key.startswith(("measured", "difference")))
            assert any(value for key, value in line.items() if key.startswith("published"))


def test_markdown_has_a_table_per_protocol(tmp_path):
    runs = [
        read_run(scored(tmp_path / "mine", AP=0.37, AP50=0.53)),
        read_run(scored(tmp_path / "other", row=None, AP=0.2)),
    ]
    text = baselines_markdown(baseline_lines(runs, "ld-coco-r18*"))
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {ROW} |")]
    published = published_row(ROW).metrics
    assert f"{published['AP']:.1f} / 37.0 ({37 - published['AP']:+.1f})" in line
    assert "mine (COCO)" in line
    untouched = [line for line in text.splitlines() if line.startswith("| ld-coco-r18-1x |")]
    assert len(untouched) == 1 and " / " not in untouched[0]
    assert text.count("\n## ") == 3
    assert text.rstrip().endswith("| 20.0 | other (COCO) |")
    for block in text.split("## ")[1:]:
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) == 1


@pytest.mark.parametrize(
    ("on", "why"),
    [
        ({"benchmark": None, "images": 60}, "this dataset has classes of its own and 60 images"),
        ({"benchmark": "COCO", "images": 100}, "this dataset has the classes of COCO and 100 images"),
        ({}, "its files do not say what was scored"),
        ({"benchmark": "COCO", "images": True}, "its files do not say what was scored"),
    ],
)
def test_a_row_that_a_config_inherited_is_not_compared_with_other_data(tmp_path, on, why):
    run = read_run(scored(tmp_path / "bccd", on=on, AP=0.9))
    lines = baseline_lines([run], "ld-coco-r18*")
    (line,) = [line for line in lines if line.run]
    assert line.row is None and line.differences == {} and line.note.startswith(f"published row {ROW} is not")
    text = baselines_markdown(lines)
    assert " / " not in text.split("\n\n", 1)[1] and "Runs without a published row" in text and why in text
    (cells,) = [cells for cells in table(baselines_csv(lines)) if cells["run"]]
    assert why in cells["run_note"] and not cells["row"] and not cells["difference_AP"]
    assert not [line for line in baseline_lines([run], "ld-voc-*") if line.run]


@pytest.mark.parametrize(
    ("environment", "is_shown"),
    [
        ({"datasets": {"val": {"benchmark": "COCO", "images_used": 5000}}}, True),
        ({"datasets": {"val": {"benchmark": "COCO", "images_used": 12}}}, False),
        ({"datasets": {"train": {"benchmark": "COCO", "images_used": 5000}}}, False),
        ({"datasets": {"val": {"images_used": 5000}}}, False),
        ([], False),
    ],
)
def test_the_environment_of_a_training_says_what_its_log_was_scored_on(tmp_path, environment, is_shown):
    folder = work_dir(tmp_path / "a")
    (folder / "log.jsonl").write_text(json.dumps({"iter": 4, "eval/AP": 0.25}))
    (folder / "env.json").write_text(json.dumps(environment))
    (line,) = [line for line in baseline_lines([read_run(folder)]) if line.run]
    assert (line.row is not None) == is_shown and bool(line.note) != is_shown


def test_folders_of_runs_are_looked_through(tmp_path):
    for name in ("b", "a"):
        scored(tmp_path / "all" / name, AP=0.1)
    (tmp_path / "all" / "weights").mkdir()
    assert [path.name for path in find_runs(tmp_path / "all")] == ["a", "b"]
    assert find_runs(tmp_path / "all" / "a") == [tmp_path / "all" / "a"]


def test_problems_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no work folder with scores"):
        find_runs(tmp_path)
    with pytest.raises(DataError, match=r"no scores"):
        read_run(work_dir(tmp_path / "none"))
    with pytest.raises(ConfigError, match=ROW):
        read_run(scored(tmp_path / "typo", row=ROW + "x", AP=0.1))
    with pytest.raises(ConfigError, match="no published row fits"):
        baseline_lines([], "ld-coco-r19*")
    broken = work_dir(tmp_path / "broken", metrics={})
    (broken / "results" / "metrics.json").write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: not json"):
        read_run(broken)


def test_the_tool_prints_and_writes(tmp_path, capsys):
    main = runpy.run_path(str(TOOL))["main"]
    folder = str(scored(tmp_path / "mine", AP=0.37))
    assert main([folder, "--measured"]) == 0
    assert f"| {ROW} |" in capsys.readouterr().out
    assert main([folder, "--out", str(tmp_path / "t.csv"), "--rows", "ld-coco-*"]) == 0
    assert "1 measured" in capsys.readouterr().out
    assert sum(bool(line["run"]) for line in table((tmp_path / "t.csv").read_text())) == 1
    assert main([folder, "--out", str(tmp_path / "t.xlsx")]) == 2
    assert "must end in .md or .csv" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2


def test_a_config_is_read_and_not_run(tmp_path):
    folder = scored(tmp_path / "a", AP=0.3)
    canary = tmp_path / "seen"
    (folder / "config.py").write_text(
        f"import pathlib\npathlib.Path({str(canary)!r}).touch()\npublished = dict(row={ROW!r})\n"
    )
    assert read_run(folder).row == ROW and not canary.exists()
    (folder / "config.py").write_text(f"published = [dict(row={ROW!r})][0]\n")
    with pytest.raises(ConfigError, match=r"config\.py, line 1: published must be plain"):
        read_run(folder)


@pytest.mark.parametrize("line", ["[3]", "null", '"eval/AP"', "[" * 5000, "7"])
def test_log_lines_that_hold_no_record_are_passed_over(tmp_path, line):
    folder = work_dir(tmp_path / "a")
    (folder / "log.jsonl").write_text(f"{json.dumps({'iter': 4, 'eval/AP': 0.25})}\n{line}\n")
    assert read_run(folder).metrics == {"AP": 25}


@pytest.mark.parametrize("text", ["[1]", "3", "[" * 5000])
def test_scores_that_are_no_record_are_named(tmp_path, text):
    folder = scored(tmp_path / "a", AP=0.3)
    (folder / "results" / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        read_run(folder)


def test_names_are_inert_in_every_table(tmp_path):
    odd = {
        "=cmd|' /C calc'!A0": 0.5,
        "<b onclick=x()>": 0.25,
        "a\x1b[2Jb": 0.125,
        "AP": True,
        "huge": 10**400,
    }
    metrics = odd | {"protocol": "@SUM(A1)", "per_class": {}}
    run = read_run(work_dir(tmp_path / "![x](data:x)|`code`", None, metrics))
    assert "AP" not in run.metrics and "huge" not in run.metrics
    lines = [line for line in baseline_lines([run]) if line.run]
    text = baselines_markdown(lines)
    assert not any(part in text for part in ("<b", "](", "`", "\x1b", "|`"))
    rows = list(csv.reader(io.StringIO(baselines_csv(lines))))
    cells = [cell for row in rows for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells) and "'@SUM(A1)" in cells
    assert "\x1b" not in "".join(cells)


def test_differences_stay_numbers_in_csv(tmp_path):
    run = read_run(scored(tmp_path / "a", AP=0.001))
    (row,) = table(baselines_csv([line for line in baseline_lines([run]) if line.run]))
    assert float(row["difference_AP"]) < 0


def test_seeds_are_one_line_with_the_gain_of_the_seeds_that_both_have(tmp_path, capsys):
    for seed, (plain, taught) in enumerate([(0.20, 0.23), (0.22, 0.24), (0.21, 0.25)]):
        scored(tmp_path / f"plain_seed{seed}", None, AP=plain, AP50=0.5)
        scored(tmp_path / f"taught_seed{seed}", None, AP=taught, AP50=0.5)
    scored(tmp_path / "taught_seed9", None, AP=0.9, AP50=0.5)
    scored(tmp_path / "teacher", None, AP=0.9)
    runs = [read_run(path) for path in find_runs(tmp_path)]
    lines = seeds_table(runs, "plain").splitlines()
    assert (
        lines[0].split() == ["AP", "AP50", "gain", "in", "AP"]
        and lines[2].split()[:4] == "plain 21.0 ± 1.0".split()
    )
    assert "+3.0 [+2." in lines[3] and lines[-1].endswith("over seeds")
    with pytest.raises(ConfigError, match=r"no run is called plan_seed<number>.*plain"):
        seeds_table(runs, "plan")
    scored(tmp_path / "other_seed7", None, AP=0.1)
    with pytest.raises(ConfigError, match="other and plain share no seed"):
        seeds_table([*runs, read_run(tmp_path / "other_seed7")], "plain")
    tool = runpy.run_path(str(TOOL))["main"]
    assert tool([str(tmp_path), "--gain_over", "taught"]) == 2  # the others share no seed with `other`
    (tmp_path / "other_seed7").rename(tmp_path / "other")
    assert tool([str(tmp_path), "--gain_over", "plain"]) == 0
    assert lines[3] in capsys.readouterr().out
