"""Two-stage detectors from the command line: steps on drawn images, the same graph in each, and scores."""

import json

import pytest

from jld.cli import main
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from projects.benchmark.clock import counted_reads, loaded_kernels
from tests.cli.tiny_config import write_two_stage


@pytest.fixture
def steps(monkeypatch):
    """[(kernels loaded so far, Vars read by the host in the step)] of every step."""
    seen, step = [], TrainingLoop.losses_of

    def counted(self, batch):
        with counted_reads() as reads:
            losses = step(self, batch)
            jt.sync(list(losses.values()))
        seen.append((loaded_kernels(), dict(reads)))
        return losses

    monkeypatch.setattr(TrainingLoop, "losses_of", counted)
    return seen


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_training_and_scoring(tmp_path, steps, masks):
    config, work_dir = write_two_stage(tmp_path, masks=masks), tmp_path / "work"
    assert (
        main([f"--config-file={config}", f"--work_dir={work_dir}", "--cpu", "--task=train", "--dry-run"]) == 0
    )
    assert len(steps) > 2 and not any(sum(reads.values()) for _, reads in steps)
    assert steps[-1][0] == steps[1][0], "the graph is the same from step to step"
    dry = work_dir / "dry_run"
    assert main([f"--config-file={config}", f"--work_dir={dry}", "--cpu", "--task=val"]) == 0
    metrics = json.loads((dry / "results" / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= 1 and ("segm_AP" in metrics) == masks
