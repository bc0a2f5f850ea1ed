"""The command line under `mpirun`: two ranks do what one process does, and fail together."""

import json

import numpy as np
import pytest

from jld.checkpoint import averaged_weights, read_training_state, write_training_state
from jld.cli import main
from tests.cli.tiny_config import write_config
from tests.mpi import needs_mpi, run_ranks

pytestmark = [needs_mpi, pytest.mark.slow]

# A rate at which a wrong normaliser moves the weights by more than the tolerance, and an average beside them.
TRAINING = """
distill = dict(
    teacher=dict(config={config!r}, checkpoint={checkpoint!r}),
    terms=[
        dict(type="LocalizationKD", region="main", weight=2.0, weighting="uniform", reduction="per_image"),
        dict(type="ClassificationKD", region="main", weight=2.0, reduction="per_image"),
    ],
)
optimizer = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35))
scheduler = None
ema = dict(decay=0.5)
"""
# Every location scores: that an image was lost or repeated would show in what is detected.
EVERYTHING = "model.bbox_head.score_threshold=0.0"
DYING = """
from jld.registry import HOOKS
from jld.runner.hooks import Hook
from jld.utils.distributed import rank

@HOOKS.register
class Dying(Hook):
    def before_training(self, loop):
        if rank() == 1:
            raise OSError("the disk of rank 1 is full")
"""


def one_process(config, work_dir, *flags):
    assert main(["--config-file", str(config), "--work_dir", str(work_dir), "--cpu", *map(str, flags)]) == 0


def launch(ranks, config, work_dir, *flags, **options):
    files = ("--config-file", config, "--work_dir", work_dir)
    return run_ranks(ranks, "tools/run_net.py", *files, "--cpu", *flags, **options)


def launch_well(*arguments):
    done = launch(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config, work dir of one process, work dir of two ranks) after the same training.

    The ranks stop in the middle of the second epoch and go on from there.
    """
    folder = tmp_path_factory.mktemp("ranks")
    teacher = write_config(folder, "max_epoch = 1\n", "teacher.py")
    one_process(teacher, folder / "teacher", "--seed", 1)
    weights = folder / "teacher" / "checkpoints" / "last.pkl"
    state = read_training_state(weights)
    for name in ("gfl_cls", "gfl_reg"):
        state["model"][f"bbox_head.{name}.weight"] *= 30  # a teacher that is sure of itself
    write_training_state(weights, state)
    config = write_config(folder, TRAINING.format(config=str(teacher), checkpoint=str(weights)))
    one_process(config, folder / "one")
    launch_well(2, config, folder / "two", "--opts", "max_epoch=null", "max_iter=4")
    launch_well(2, config, folder / "two", "--resume")
    return config, folder / "one", folder / "two"


def test_two_ranks_learn_what_one_process_learns(trained):
    _, *work_dirs = trained
    one, two = (read_training_state(path / "checkpoints" / "last.pkl") for path in work_dirs)
    assert one["meta"]["iter"] == two["meta"]["iter"] == 6
    for expected, ours in ((one["model"], two["model"]), (averaged_weights(one), averaged_weights(two))):
        assert expected.keys() == ours.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-5, err_msg=name)


def test_rank_0_writes_the_losses_and_scores_of_all(trained):
    _, *work_dirs = trained
    one, two = (
        [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in work_dirs
    )
    assert one[0]["loss_ld"] > 0.1 and one[0]["loss_kd"] > 0.01
    # The stop at iteration 4 adds an evaluation there.
    two = [row for row in two if (row["iter"], "eval/AP" in row) != (4, True)]
    assert [row["iter"] for row in one] == [row["iter"] for row in two] == [2, 3, 4, 6, 6]
    for expected, ours in zip(one, two, strict=True):
        names = [name for name in expected if "loss" in name or name.startswith("eval/")]
        assert {"total_loss", "loss_ld"} <= set(names) or "eval/AP" in names
        for name in names:
            if "raw/" not in name:
                assert ours[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name


def test_two_ranks_detect_on_every_image_once(trained, tmp_path):
    config, one, _ = trained
    weights = one / "checkpoints" / "last.pkl"
    flags = ("--task=val", "--checkpoint", weights, "--opts", EVERYTHING)
    for ranks in (1, 2):
        launch_well(ranks, config, tmp_path / str(ranks), *flags)
    one, two = (tmp_path / ranks / "results" / "detections.json" for ranks in ("1", "2"))
    images = json.loads(one.read_text())["images"]
    assert len(images) == 3 and all(entry["scores"] for entry in images)
    assert one.read_text() == two.read_text()


def test_a_rank_that_fails_ends_the_job_with_its_message(tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    config = write_config(tmp_path, 'imports = ["dying"]\nhooks = [dict(type="Dying")]\n')
    done = launch(2, config, tmp_path / "work", paths=[tmp_path])
    assert done.returncode != 0
    assert "the disk of rank 1 is full" in done.stderr and "rank 1 of 2 has failed" in done.stderr
