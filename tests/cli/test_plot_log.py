"""tools/plot_log.py from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import cv2

TOOL = Path(__file__).resolve().parents[2] / "tools" / "plot_log.py"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def log(folder, losses):
    folder.mkdir(parents=True)
    lines = [json.dumps({"iter": k, "epoch": 0, "total_loss": loss}) for k, loss in enumerate(losses)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_two_runs_into_one_picture(tmp_path):
    plain, distilled = log(tmp_path / "plain", [3, 2, 1]), log(tmp_path / "ld", [3, 1, 0.5])
    result = run(plain, distilled / "log.jsonl", "--out", tmp_path / "new" / "curves.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 runs" in result.stdout
    assert cv2.imread(str(tmp_path / "new" / "curves.png")).shape[1] == 460


def test_problems_are_one_line(tmp_path):
    plain = log(tmp_path / "plain", [3, 2, 1])
    missing = run(tmp_path / "nowhere", cwd=tmp_path)
    unknown = run(plain, "--keys", "total_los", cwd=tmp_path)
    assert (missing.returncode, unknown.returncode) == (2, 2)
    assert missing.stderr.startswith("jld: ") and "no such log" in missing.stderr
    assert "did you mean 'total_loss'" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1
    assert run(plain, "--names", "a", "b", cwd=tmp_path).returncode == 2
