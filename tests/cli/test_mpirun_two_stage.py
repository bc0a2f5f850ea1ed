"""Mask R-CNN and global knowledge under `mpirun`: what is drawn, learnt and found is that of one process."""

import json

import numpy as np
import pytest
from pycocotools.mask import decode

from jld.checkpoint import read_training_state
from jld.cli import main
from jld.data.results import read_results
from tests.cli.tiny_config import write_two_stage
from tests.mpi import needs_mpi, run_ranks

pytestmark = [needs_mpi, pytest.mark.slow]

SEEN = """
imports = ["tests.cli.witness"]
hooks = [dict(type="Witness")]
log_interval = 1
"""
TAUGHT = """
imports = ["tests.cli.witness"]
max_iter = {steps}
distill = dict(
    teacher=dict(config={config!r}, checkpoint={checkpoint!r}),
    terms=[
        dict(type="RobustFeatures", stage="roi", max_instances=8),
        dict(type="RobustLabels", described_by="roi_align", stage="roi", max_instances=8),
        dict(type="GlobalKnowledge", stage="roi", max_instances=8),
    ],
)
hooks = [
    dict(
        type="PrototypeHook", count=3, max_candidates=4, min_side_px=8.0, batch_size=2, transforms=_transforms
    ),
    dict(type="Witness", stop={stop}),
]
"""


def one_process(config, work_dir, *flags):
    assert main(["--config-file", str(config), "--work_dir", str(work_dir), "--cpu", *map(str, flags)]) == 0


def two_ranks(config, work_dir, *flags):
    files = ("--config-file", config, "--work_dir", work_dir)
    return run_ranks(2, "tools/run_net.py", *files, "--cpu", *flags)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config, work dir of one process, work dir of two ranks) after the same training."""
    folder = tmp_path_factory.mktemp("ranks")
    config = write_two_stage(folder, masks=True, extra=SEEN)
    one_process(config, folder / "one")
    done = two_ranks(config, folder / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    return config, folder / "one", folder / "two"


def by_seed(*files):
    """{name: rows of all files, in the order of their images and steps}."""
    parts = [np.load(file) for file in files]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}
    order = np.argsort(rows["seeds"])
    return {name: values[order] for name, values in rows.items()}


def test_two_ranks_draw_the_rois_of_one_process(trained):
    _, one, two = trained
    expected, ours = by_seed(one / "rois_0.npz"), by_seed(two / "rois_0.npz", two / "rois_1.npz")
    assert len(np.unique(expected["seeds"])) == 8 and (expected["objects"] >= 0).any()
    for name in ("seeds", "objects"):
        np.testing.assert_array_equal(ours[name], expected[name], err_msg=name)
    np.testing.assert_allclose(ours["boxes"], expected["boxes"], rtol=0, atol=1e-3)


def test_two_ranks_learn_what_one_process_learns(trained):
    _, *work_dirs = trained
    one, two = (read_training_state(path / "checkpoints" / "last.pkl")["model"] for path in work_dirs)
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=0, atol=1e-5, err_msg=name)
    one, two = (
        [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in work_dirs
    )
    assert [row["iter"] for row in one] == [row["iter"] for row in two]
    for expected, ours in zip(one, two, strict=True):
        names = [name for name in expected if "loss" in name]
        assert {"loss_rpn_bbox", "loss_bbox", "loss_mask"} <= set(names) or "eval/segm_AP" in expected
        assert all(ours[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6) for name in names), ours


def test_boxes_and_masks_of_two_ranks_are_those_of_one_process(trained, tmp_path):
    config, one, _ = trained
    flags = ("--task=val", "--checkpoint", one / "checkpoints" / "last.pkl")
    one_process(config, tmp_path / "one", *flags)
    done = two_ranks(config, tmp_path / "two", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    # A thread more or less changes the order of sums, and so last digits.
    results = [tmp_path / work_dir / "results" for work_dir in ("one", "two")]
    expected, ours = (_rounded(folder / "metrics.json") for folder in results)
    assert ours == expected
    kinds = json.loads((results[0] / "detections.json").read_text())["classes"]
    one, two = (read_results(folder / "detections.json", kinds) for folder in results)
    assert [each.img_id for each in one] == [each.img_id for each in two]
    for expected, ours in zip(one, two, strict=True):
        assert_same_detections(ours, expected)
    assert len(one) == 3 and all(each.masks for each in one)


def _rounded(path):
    return json.loads(path.read_text(), parse_float=lambda text: round(float(text), 3))


def assert_same_detections(ours, expected):
    """In any order where scores are as good as equal."""
    assert len(ours) == len(expected)
    rows, others = (
        np.column_stack([each.boxes, 100 * each.scores, 1000 * each.labels]) for each in (ours, expected)
    )
    apart = np.abs(rows[:, None] - others).max(axis=2)
    nearest = apart.argmin(axis=1)
    assert len(set(nearest)) == len(rows) and apart.min(axis=1).max() < 1e-2
    masks, other_masks = (decode(each.masks).astype(int) for each in (ours, expected))
    assert np.abs(masks - other_masks[:, :, nearest]).sum(axis=(0, 1)).max() <= 4


def test_ranks_choose_the_prototypes_of_one_process_and_stop_together(trained, tmp_path):
    config, one, _ = trained
    teacher = {"config": str(config), "checkpoint": str(one / "checkpoints" / "last.pkl")}
    for name, steps, stop in (("one", 1, False), ("two", 1000, True)):
        extra = TAUGHT.format(steps=steps, stop=stop, **teacher)
        write_two_stage(tmp_path, masks=True, extra=extra, name=f"{name}.py")
    one_process(tmp_path / "one.py", tmp_path / "one")
    done = two_ranks(tmp_path / "two.py", tmp_path / "two")
    assert done.returncode == 138 and "stopped by SIGUSR1" in done.stderr, done.stderr[-3000:]
    with np.load(tmp_path / "one" / "prototypes_0.npz") as expected:
        assert expected["mask"].sum() > 20
        for number in range(2):
            with np.load(tmp_path / "two" / f"prototypes_{number}.npz") as ours:
                for name in expected.files:
                    np.testing.assert_array_equal(ours[name], expected[name])
    state = read_training_state(tmp_path / "two" / "checkpoints" / "last.pkl")
    assert 1 <= state["meta"]["iter"] < 1000
