"""What a rank of an `mpirun` is told before Jittor is imported, and when it is stopped."""

import os
from types import SimpleNamespace

import pytest

from jld import toolchain
from jld.toolchain import mpi

VARIABLES = ("mpicc_path", "use_mpi", "OMP_NUM_THREADS", "PMI_SIZE", mpi._SIZE, mpi._LOCAL_SIZE)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment without MPI on PATH; `python` lies in tmp_path/bin."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("nvcc_path", "use_mkl", "python_config_path", "cache_name", *VARIABLES):
        # Set and removed, so that what `prepare` writes is undone at the end of the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(mpi.sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(mpi.shutil, "which", lambda name: None)
    return monkeypatch


def install(folder, answer="Open MPI 5.0.11 (Language: C)"):
    mpicc = folder / "bin" / "mpicc"
    mpicc.write_text(f"#!/bin/sh\necho 'mpicc: {answer}'\n")
    mpicc.chmod(0o755)
    return mpicc


def test_a_rank_is_told_of_the_mpi_beside_its_interpreter(environment, tmp_path):
    mpicc = install(tmp_path)
    environment.setattr(toolchain, "CHECKS", (mpi.check_mpi,))
    toolchain.prepare()
    assert "mpicc_path" not in os.environ and os.environ["use_mpi"] == "0"
    assert "OMP_NUM_THREADS" not in os.environ
    environment.delenv("use_mpi")
    environment.setenv(mpi._SIZE, "2")
    toolchain.prepare()
    assert os.environ["mpicc_path"] == str(mpicc) and os.environ["use_mpi"] == "1"
    assert mpi.check_mpi().detail == f"Open MPI 5.0.11 at {mpicc}"


@pytest.mark.parametrize(("cores", "bound", "threads"), [(16, 16, "4"), (16, 1, "1"), (2, 2, "1")])
def test_ranks_share_the_cores_of_their_machine(environment, cores, bound, threads):
    environment.setenv(mpi._SIZE, "8")
    environment.setenv(mpi._LOCAL_SIZE, "4")
    environment.setattr(mpi.os, "cpu_count", lambda: cores)
    environment.setattr(mpi.os, "sched_getaffinity", lambda process: set(range(bound)))
    assert mpi.mpi_settings()["OMP_NUM_THREADS"] == threads


def test_mpi_is_missed_only_where_it_is_needed(environment, tmp_path):
    finding = mpi.check_mpi()
    assert finding.ok and '".[mpi]"' in finding.detail
    environment.setenv(mpi._SIZE, "2")
    finding = mpi.check_mpi()
    assert not finding.ok and '".[mpi]"' in finding.cure
    install(tmp_path, answer="MPICH")
    finding = mpi.check_mpi()
    assert not finding.ok and "not Open MPI's" in finding.detail


def test_the_ranks_of_another_mpi_are_stopped_before_they_train_side_by_side(environment):
    environment.setenv("PMI_SIZE", "2")
    assert not mpi.check_mpi().ok
    environment.setenv("PMI_SIZE", "1")
    assert mpi.check_mpi().ok


def test_a_rank_without_mpi_is_stopped(environment, tmp_path):
    install(tmp_path)
    environment.setenv("use_mpi", "0")
    assert mpi.check_mpi().ok
    environment.setenv(mpi._SIZE, "2")
    assert "use_mpi" in mpi.check_mpi().cure


def test_ranks_that_do_not_see_each_other_are_stopped():
    started = {mpi._SIZE: "2", "mpicc_path": "/opt/other/mpicc"}
    mpi.check_joined(SimpleNamespace(world_size=2), started)
    with pytest.raises(toolchain.ToolchainError, match=r"2 processes, but Jittor sees 1.*/opt/other/mpicc"):
        mpi.check_joined(SimpleNamespace(world_size=1), started)


def test_a_child_of_a_rank_does_not_join_the_ranks(environment):
    environment.setenv(mpi._SIZE, "2")
    environment.setenv("PMIX_RANK", "1")
    alone = mpi.environment_of_one()
    assert not {mpi._SIZE, "PMIX_RANK"} & set(alone)
    assert alone["use_mpi"] == "0" and alone["HOME"] == os.environ["HOME"]
