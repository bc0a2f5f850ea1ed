"""The command line with a tiny real detector: all four tasks, resume, smoke run, distillation, Python API."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

import jld
from jld.apis import analyze, report
from jld.checkpoint import publish_model, read_training_state
from jld.cli import commands, main
from jld.config import load_config
from tests.cli.tiny_config import ROOT, write_config

TIMING = ("time", "images_per_second", "eta")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config file, work dir) after a whole training."""
    folder = tmp_path_factory.mktemp("trained")
    config, work_dir = write_config(folder), folder / "work"
    assert run(config, work_dir) == 0
    return config, work_dir


def run(config, work_dir, *flags):
    return main(["--config-file", str(config), "--work_dir", str(work_dir), "--cpu", *map(str, flags)])


def records(work_dir):
    return [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]


def losses(work_dir):
    rows = [record for record in records(work_dir) if "total_loss" in record]
    return {row["iter"]: {key: value for key, value in row.items() if key not in TIMING} for row in rows}


def test_training_leaves_its_files(trained):
    _, work_dir = trained
    files = {path.name for path in work_dir.iterdir()}
    assert {"config.py", "env.json", "log.jsonl", "log.txt", "checkpoints"} <= files
    accounts = json.loads((work_dir / "env.json").read_text())["datasets"]
    assert set(accounts) == {"train", "val"} and accounts["train"]["trained"] > 0
    saved = {path.name for path in (work_dir / "checkpoints").iterdir()}
    assert saved == {"last.pkl", "best.pkl", "epoch_1.pkl", "epoch_2.pkl"}
    rows = records(work_dir)
    assert [row["iter"] for row in rows if "total_loss" in row] == [2, 4, 6]
    assert {"loss_cls", "loss_bbox", "loss_dfl", "lr"} <= set(rows[0])
    assert [row["iter"] for row in rows if "eval/AP" in row] == [3, 6]
    assert rows[0]["lr"] == pytest.approx(0.01 * (0.1 + 0.9 * 1 / 4))
    assert "total_loss" not in rows[-1]


def test_resolved_config_runs_as_it_is(trained):
    config, work_dir = trained
    resolved = load_config(work_dir / "config.py")
    assert resolved.seed == 0
    assert resolved.model == {**load_config(config).model}
    assert main(["--config-file", str(work_dir / "config.py"), "--task", "test", "--cpu"]) == 0


def test_only_what_should_learn_is_in_the_optimizer(trained):
    _, work_dir = trained
    state = read_training_state(work_dir / "checkpoints" / "last.pkl")
    learning = set(state["optimizer"]["state"])
    assert "bbox_head.gfl_cls.weight" in learning
    frozen = [
        name
        for name in learning
        if "running_" in name or name.startswith(("backbone.conv1", "backbone.layer1"))
    ]
    assert not frozen
    assert set(state["model"]) > learning


def test_training_resumed_in_an_epoch_is_the_same_training(trained, tmp_path):
    """A stop in the middle of the second epoch, as a kill would leave it."""
    config, whole = trained
    assert run(config, tmp_path, "--opts", "max_epoch=null", "max_iter=4", "scheduler.by_epoch=true") == 0
    assert read_training_state(tmp_path / "checkpoints" / "last.pkl")["data_position"]["batch_index"] == 1
    # The run's own checkpoint got further than what its config would start from.
    assert run(config, tmp_path, "--resume", "--opts", f"resume_path={whole}/checkpoints/epoch_1.pkl") == 0
    log = (tmp_path / "log.txt").read_text()
    assert "going on with another config: scheduler.by_epoch" in log
    first, second = losses(whole), losses(tmp_path)
    assert set(second) == {2, 4, 6}
    assert {**first[6]} == {**second[6]}
    ours = read_training_state(tmp_path / "checkpoints" / "last.pkl")
    theirs = read_training_state(whole / "checkpoints" / "last.pkl")
    for name, array in theirs["model"].items():
        assert np.array_equal(array, ours["model"][name]), name
    assert ours["optimizer"]["num_steps"] == theirs["optimizer"]["num_steps"] == 6


def test_val_writes_metrics_and_detections(trained, capsys):
    config, work_dir = trained
    published = "published={row: ld-coco-r18-from-r101-1x}"
    assert run(config, work_dir, "--task", "val", "--opts", published) == 0
    shown = capsys.readouterr().err
    assert "COCO protocol" in shown
    # The config's own data are no COCO images: a number of COCO beside them would mean nothing.
    assert "published row ld-coco-r18-from-r101-1x is not shown: it was scored on COCO val2017" in shown
    assert "36.5" not in shown
    metrics = json.loads((work_dir / "results" / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= 1
    assert metrics["run"]["checkpoint"].endswith("best.pkl")
    assert "the best of this run (AP " in shown and "--checkpoint last takes the last weights" in shown
    detections = json.loads((work_dir / "results" / "detections.json").read_text())
    assert len(detections["images"]) == 3
    assert detections["classes"] == ["disc", "ring", "square", "triangle", "cross"]


def test_a_trained_run_is_analysed_and_reported(trained, capsys):
    _, work_dir = trained
    assert analyze.main([str(work_dir), "--num", "1", "--threshold", "0.01", "--cpu"]) == 0
    assert "Miss: not found at all" in capsys.readouterr().out
    (kept,) = (work_dir / "results" / "looking").iterdir()
    stamp = kept.stat().st_mtime_ns
    assert report.main([str(work_dir), "--num", "1", "--cpu"]) == 0
    assert kept.stat().st_mtime_ns == stamp  # the detector ran once
    page = (work_dir / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 5 and page.count("data:image/jpeg") == 1
    assert "Worst images" in page and "objects found" in page


def test_test_writes_results(trained):
    config, work_dir = trained
    assert run(config, work_dir, "--task", "test") == 0
    assert len(json.loads((work_dir / "results" / "test" / "detections.json").read_text())["images"]) == 3


def test_vis_test_draws_pictures(trained, tmp_path):
    config, work_dir = trained
    assert run(config, work_dir, "--task", "vis_test", "--save_dir", tmp_path / "out") == 0
    pictures = sorted((tmp_path / "out").iterdir())
    assert len(pictures) == 3
    assert cv2.imread(str(pictures[0])).shape == (64, 64, 3)


def test_dry_run_with_averaged_weights_leaves_the_run_alone(trained, tmp_path):
    config, _ = trained
    work_dir = tmp_path / "work"
    options = (
        "--opts",
        "ema={decay: 0.5}",
        "accumulate_steps=2",
        "dataset.train.batch_size=1",
        "auto_scale_lr={}",
    )
    assert run(config, work_dir, "--dry-run", *options) == 0
    assert [path.name for path in work_dir.iterdir()] == ["dry_run"]
    state = read_training_state(work_dir / "dry_run" / "checkpoints" / "last.pkl")
    assert state["hooks"]["ema"]["num_updates"] == state["meta"]["iter"] == 3
    assert state["optimizer"]["base_lr"] == pytest.approx(0.01 * 2 / 16)


def test_distillation_from_a_trained_teacher(trained, tmp_path):
    config, teacher_dir = trained
    distill = f"""
distill = dict(
    teacher=dict(config={str(config)!r}, checkpoint={str(teacher_dir / "checkpoints" / "last.pkl")!r}),
    terms=[dict(type="LocalizationKD", region="main", weight=0.25, temperature=10, schedule=dict(start=1))],
)
max_epoch = 1
"""
    late = write_config(tmp_path, distill.replace("start=1", "start=400"))
    assert run(late, tmp_path / "short", "--dry-run") == 0  # a dry run is shorter than the training
    assert run(late, tmp_path / "short") == 2
    assert run(write_config(tmp_path, distill), tmp_path / "work") == 0
    names = set(losses(tmp_path / "work")[2])
    assert {
        "loss_cls",
        "loss_bbox",
        "loss_dfl",
        "loss_ld",
        "distill/raw/loss_ld",
        "distill/region/main",
    } <= names
    assert "teacher" in (tmp_path / "work" / "log.txt").read_text()
    state = read_training_state(tmp_path / "work" / "checkpoints" / "last.pkl")
    assert set(state["model"]) == set(read_training_state(teacher_dir / "checkpoints" / "last.pkl")["model"])


def test_global_knowledge_resumed_in_an_epoch_goes_on_with_its_prototypes(trained, tmp_path):
    config, teacher_dir = trained
    weights = str(teacher_dir / "checkpoints" / "last.pkl")
    distill = f"""
pretrained_weights = {weights!r}
distill = dict(
    teacher=dict(config={str(config)!r}, checkpoint={weights!r}),
    terms=[
        dict(type="RobustFeatures", schedule=dict(type="EpochDecay")),
        dict(type="RobustLabels"),
        dict(type="GlobalKnowledge", schedule=dict(type="EpochDecay", epochs=4)),
    ],
)
"""
    assert run(write_config(tmp_path, distill), tmp_path / "none") == 2  # nobody computes prototypes
    config = write_config(
        tmp_path, distill + 'hooks = [dict(type="PrototypeHook", min_side_px=8.0, batch_size=2)]\n'
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(config, whole) == 0
    assert run(config, stopped, "--opts", "max_epoch=null", "max_iter=4", "scheduler.by_epoch=true") == 0
    assert run(config, stopped, "--resume") == 0
    first, second = losses(whole), losses(stopped)
    assert first[6] == second[6] and first[6]["loss_global_knowledge"] > 0
    assert (
        first[6]["distill/factor/loss_robust_features"],
        first[2]["distill/factor/loss_global_knowledge"],
    ) == (0.5, 1.0)
    states = [
        read_training_state(each / "checkpoints" / "last.pkl")["hooks"]["prototypes"]
        for each in (whole, stopped)
    ]
    np.testing.assert_array_equal(states[0]["student"], states[1]["student"])
    assert states[0]["mask"].any() and (whole / "prototypes" / "epoch_002.jpg").is_file()


def test_python_interface_finds_what_the_command_line_finds(trained, tmp_path):
    config, work_dir = trained
    checkpoint = work_dir / "checkpoints" / "last.pkl"
    assert run(config, work_dir, "--task", "test") == 0
    expected = json.loads((work_dir / "results" / "test" / "detections.json").read_text())["images"][1]
    from jld.data import DrawnDataset

    image = DrawnDataset(split="test", num_images=3, image_size=64).read_image(1)
    detector = jld.init_detector(config, checkpoint, device="cpu")
    assert detector.classes == ("disc", "ring", "square", "triangle", "cross")
    found = jld.inference_detector(detector, image)
    # Alone in its batch the image takes another path through the convolutions' blocking.
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    file = tmp_path / "image.png"
    cv2.imwrite(str(file), image)
    published = publish_model(checkpoint, tmp_path / "tiny.safetensors")
    alone = jld.init_detector(published, device="cpu")
    listed = jld.inference_detector(alone, [file, image], batch_size=2)
    assert [entry["img_id"] for entry in listed] == [str(file), 1]
    for entry in listed:
        np.testing.assert_allclose(entry["boxes"], found["boxes"], atol=1e-3)


def test_one_call_distils_from_the_folder_of_a_run(trained, tmp_path):
    config, teacher_dir = trained
    run = jld.distill(
        config,
        teacher_dir,
        work_dir=str(tmp_path / "work"),
        max_epoch=1,
        optimizer={"lr": 0.005},
        overrides=["seed=3"],
        device="cpu",
    )
    assert run.checkpoint == tmp_path / "work" / "checkpoints" / "best.pkl" and run.checkpoint.is_file()
    assert 0 <= run.metrics["AP"] <= 1 and run.config.seed == 3
    resolved = load_config(run.work_dir / "config.py")
    # So short a training gets the recipe of short schedules.
    assert [(term.type, term.weight) for term in resolved.distill.terms] == [
        ("LocalizationKD", 12.0),
        ("LocalizationKD", 3.0),
    ]
    assert (resolved.optimizer.lr, resolved.optimizer.momentum) == (0.005, 0.9)
    assert losses(run.work_dir)[2]["loss_ld"] > 0
    assert run.detector().classes == ("disc", "ring", "square", "triangle", "cross")
    with pytest.raises(ValueError, match="needs a teacher"):
        jld.distill(config)
    assert cli("distill", config, teacher_dir, "max_iter=2", "max_epoch=null", tmp_path / "more") == 0
    assert losses(tmp_path / "more")[2]["loss_ld"] > 0
    words = (config, teacher_dir, "max_iter=4", "max_epoch=null", "--resume", tmp_path / "more")
    assert cli("distill", *words) == 0  # terms that are not given are those that it started with
    assert losses(tmp_path / "more")[4]["loss_ld"] > 0
    # A long training gets the published recipe: a dry run tries it, and a folder of the other keeps its own.
    words = (config, teacher_dir, "max_iter=6000", "max_epoch=null")
    assert cli("distill", *words, "--dry-run", tmp_path / "dry") == 0
    terms = load_config(tmp_path / "dry" / "dry_run" / "config.py").distill.terms
    assert [(term.type, term.weight) for term in terms] == [
        ("LocalizationKD", 0.5),
        ("LocalizationKD", 0.125),
        ("ClassificationKD", 10 * 5 / 80),
    ]
    assert cli("distill", *words, tmp_path / "more") == 2
    assert [term.weight for term in load_config(tmp_path / "more" / "config.py").distill.terms] == [12.0, 3.0]


def cli(command, config, *words):
    """`jld command config word ...`; the last word is the work folder."""
    return commands.main([command, *map(str, (config, *words[:-1])), f"--work_dir={words[-1]}", "--cpu"])


def test_python_interface_says_what_it_cannot_do(trained, tmp_path):
    config, _ = trained
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        jld.init_detector(config, device="gpu")
    detector = jld.init_detector(config, device="cpu")
    with pytest.raises(ValueError, match="uint8"):
        jld.inference_detector(detector, np.zeros((8, 8, 3)))
    from jld.checkpoint import write_safetensors

    write_safetensors(tmp_path / "bare.safetensors", {"a": np.zeros(1, np.float32)}, {})
    with pytest.raises(ValueError, match="does not carry its config"):
        jld.init_detector(tmp_path / "bare.safetensors")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--opts", "optimizer.lrr=1"], "did you mean 'lr'"),
        (["--task", "trian"], "did you mean 'train'"),
        (["--task", "val"], "train first or give --checkpoint"),
        (["--opts", "amp=true"], "write precision='bfloat16'"),
        (["--opts", "published={row: ld-coco}"], "no published row 'ld-coco'"),
        (["--opts", "dataset.test=null", "--task", "test"], "needs dataset.test"),
        (["--opts", "model.bbox_head.num_classes=7"], "num_classes is 7, but the dataset has 5"),
        (["--opts", "scale_test=[0]"], "dataset.val: scale_test=[0]: write factors above 0"),
        (
            ["--opts", "dataset.val.times=2", "--task", "train"],
            "dataset.val: DrawnDataset shows images several",
        ),
        (["--opts", "dataset.train.split=trian", "dataset.val.split=vla"], "did you mean 'val'"),
    ],
)
def test_mistakes_are_sentences_with_exit_code_2(trained, tmp_path, capsys, flags, said):
    assert run(trained[0], tmp_path / "work", *flags) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_a_missing_config_is_found_without_jittor(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "run_net.py"), "--config-file", str(tmp_path / "none.py")]
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *command[1:]],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "does not exist" in done.stderr.splitlines()[-1]
    assert " jittor" not in done.stderr
    debug = subprocess.run([*command, "--debug"], check=False, capture_output=True, text=True)
    assert debug.returncode == 2
    assert "Traceback" in debug.stderr


def test_list_names_every_part(capsys):
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name in ("detector\n", "GFL ", "StepLR", "RunLogger", "DrawnDataset", "LocalizationKD"):
        assert name in shown
    assert main([]) == 2
