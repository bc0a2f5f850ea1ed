"""What the tools say that read the source without running it; their settings are in pyproject.toml."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("words", ["ruff check", "ruff format --check", "mypy"])
def test_source_is_clean(words):
    command = [sys.executable, "-m", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


def test_commit_hooks_run_the_ruff_of_the_tests():
    (pinned,) = re.findall(
        r"ruff-pre-commit\n    rev: v(\d+\.\d+)\.\d+\n", (ROOT / ".pre-commit-config.yaml").read_text()
    )
    assert f'"ruff>={pinned},<' in (ROOT / "setup.py").read_text()
