"""A dumped config is read back without running it."""

from pathlib import Path

import numpy as np
import pytest

from jld.config import Config, differing_keys, dump_config, plain_assignments, read_written
from jld.errors import ConfigError


def test_what_was_dumped_comes_back(tmp_path):
    values = {
        "name": "run",
        "rates": [1e-3, float("inf"), -2],
        "shape": (1,),
        "odd": {1: "a", "b c": None},
        "half": np.float32(0.5),
        "file": Path("a/b"),
        "data": b"\x00",
        "empty": {},
    }
    path = dump_config(Config(values), tmp_path / "config.py")
    read = read_written(path)
    assert read == values
    assert type(read["half"]) is np.float32 and type(read["shape"]) is tuple


@pytest.mark.parametrize(
    "line",
    [
        "x = __import__('os').mkdir('seen')",
        "x = [open('seen', 'w')]",
        "import os; os.mkdir('seen')",
        "x = 3 * 'a'",
    ],
)
def test_nothing_is_run(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.py"
    path.write_text(f"y = 1\n{line}\n")
    with pytest.raises(ConfigError, match=r"config\.py, line 2: \w+ is not plain data"):
        read_written(path)
    assert plain_assignments(path)[0] == {"y": 1}
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("text", ["x = (", "x = " + "(" * 5000, "\0"])
def test_files_that_are_no_python_are_named(tmp_path, text):
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.py"):
        read_written(path)


def test_differing_keys_name_leaves():
    ours = {"a": {"b": 1, "c": [1, 2]}, "nan": float("nan"), "list": [1], "new": 0}
    theirs = {"a": {"b": 2, "c": [1, 2]}, "nan": float("nan"), "list": (1,), "old": None}
    assert list(differing_keys(ours, theirs)) == [
        ("a.b", 1, 2),
        ("new", 0, "absent"),
        ("old", "absent", None),
    ]
