"""The short form of `stress.py`, and that it would see a fault."""

import pytest

from jld.errors import DataError
from tests import stress


def test_damaged_files_are_read_or_refused():
    result = stress.try_files(3, seed=1)
    assert result.tried > 50 and not result.faults


def bare(path):
    raise KeyError("x")


def unnamed(path):
    raise DataError("something is wrong.")


@pytest.mark.parametrize(("read", "said"), [(bare, "KeyError"), (unnamed, "does not name the file")])
def test_a_fault_would_be_seen(tmp_path, read, said):
    assert said in stress.fault_of(read, tmp_path / "a.pkl")


def test_what_runs_would_be_seen():
    with stress.watched() as events:
        exec(compile("1", "x", "exec"))
    assert events and events[0].startswith("exec")


@pytest.mark.slow
def test_runs_that_are_killed_end_as_if_nothing_had_happened():
    result = stress.try_runs(1, seed=2)
    assert result.tried and not result.faults
