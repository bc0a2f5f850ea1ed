"""The benchmark's PyTorch peer computes what jld computes: losses, gradients, steps and detections.

Needs an interpreter with torch: this one, or that of the environment variable JLD_TORCH_PYTHON.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from jld.apis import inference_detector, init_detector, register_parts
from jld.boxes.masks import to_bitmap
from jld.distill import Step, StepContext
from jld.models.pretrained import assign_state
from jld.models.targets import Targets
from jld.runner.history import total_loss
from jld.toolchain import jittor as jt
from projects.benchmark import Duel, Settings, benchmark_inference, benchmark_rois, benchmark_train, peer
from projects.benchmark.core import set_detection
from projects.benchmark.peer import has_module, open_peers, scene_arrays
from projects.benchmark.scene import BASE, make_distiller, make_student, random_batch
from projects.benchmark.train import ALONE, RESTING, TERM_OFF, make_loop, run_steps

# A bottleneck teacher: both kinds of blocks have to match.
SETTINGS = Settings(
    height=128, width=160, batch=2, boxes=3, num_classes=4, student_depth=18, teacher_depth=50,
    base_channels=8, head_channels=16, steps=2, warmup=1,
)  # fmt: skip
LR, STEPS, SCORE_THRESHOLD = 0.001, 2, 0.1
pytestmark = pytest.mark.slow
PYTHON = os.environ.get("JLD_TORCH_PYTHON", sys.executable)


@pytest.fixture(scope="module")
def torch_python():
    if not has_module(PYTHON):
        pytest.skip("torch is not installed; JLD_TORCH_PYTHON names an interpreter that has it")
    register_parts()
    return PYTHON


def _spread(detector, seed):
    """Weights under which every layer matters: no zero, no two equal levels, confident sides."""
    rng = np.random.default_rng(seed)
    state = {name: var.numpy() for name, var in detector.state_dict().items()}
    for name, value in state.items():
        noise = rng.standard_normal(value.shape).astype(np.float32)
        if name.endswith("running_var"):
            state[name] = np.exp(0.2 * noise)
        elif name.endswith(("running_mean", ".bias")):
            state[name] = value * 0.4 + 0.1 * noise
        elif value.ndim == 1 or name.endswith("scale"):
            state[name] = 1 + 0.2 * noise
        elif name.endswith(("gfl_cls.weight", "gfl_reg.weight")):
            state[name] = 0.3 * noise
    assign_state(detector, state, what="random weights")


def _batch():
    """Images of different sizes, one resized, with free slots."""
    batch = random_batch(SETTINGS)
    batch["pad_shapes"] = batch["pad_shapes"].copy()
    batch["pad_shapes"][1] = (128, 96)
    batch["img_shapes"] = batch["pad_shapes"] - np.float32(3)
    batch["scale_factors"] = np.float32([[1, 1, 1, 1], [1.5, 0.8, 1.5, 0.8]])
    batch["boxes"][1, :, 0::2] *= 0.6
    return batch


@pytest.fixture(scope="module")
def sides(torch_python, tmp_path_factory):
    """{name: array} of jld and of PyTorch."""
    folder = tmp_path_factory.mktemp("peer")
    jt.set_seed(0)
    student, batch = make_student(SETTINGS), _batch()
    distiller = make_distiller(SETTINGS, student)
    _spread(student, 1)
    _spread(distiller.teacher.detector, 2)
    np.savez(folder / "scene.npz", **scene_arrays(student, distiller.teacher.detector, batch))
    given = asdict(SETTINGS) | {"device": "cpu", "scene": str(folder / "scene.npz")}
    given |= {"channels_last": False, "compiled": False, "product_side": 8}
    given |= {"lr": LR, "steps": STEPS, "score_threshold": SCORE_THRESHOLD}
    (folder / "given.json").write_text(json.dumps(given))
    command = [torch_python, str(Path(__file__).with_name("torch_side.py"))]
    paths = {"PYTHONPATH": str(Path(peer.__file__).parent)}
    subprocess.run(
        [*command, folder / "given.json", folder / "torch.npz"], env=os.environ | paths, check=True
    )
    with np.load(folder / "torch.npz") as file:
        theirs = dict(file)
    return _of_jld(student, distiller, batch), theirs


def _of_jld(student, distiller, batch):
    loop = make_loop(student, distiller, batch)
    for optimizer in loop.optimizer.members.values():
        optimizer.lr = LR
    losses = loop.losses_of(batch)
    found = {f"loss/{name}": float(var) for name, var in losses.items()}
    loop.optimizer.backward(total_loss(losses))
    grads = loop.optimizer.gradients.take()
    found |= {f"gradient/{name}": grad.numpy() for name, grad in grads.items()}
    targets = Targets.from_batch(batch)
    images = jt.array(batch["images"])
    features = student.features(images)
    trace = student.predict(features, targets)
    assignment = trace.stage().assignment
    context = StepContext(Step(images, targets, student, features, trace), None, distiller.regions)
    found["positive"] = assignment.positive_mask.numpy() > 0
    found["gt_index"] = assignment.gt_index.numpy()
    found["region"] = context.region("vlr").numpy()
    set_detection(student, score_threshold=SCORE_THRESHOLD, nms_pre=100, max_per_image=50)
    for index, image in enumerate(student.detect(trace, batch)):
        found |= {f"{index}/{name}": image[name] for name in ("boxes", "scores", "labels")}
    run_steps(loop, STEPS)
    found |= {f"weight/{slot.name}": slot.param.numpy() for slot in loop.optimizer.slots}
    return found


def _part(side, prefix):
    return {name: value for name, value in side.items() if name.startswith(prefix)}


def test_assignment_and_region_are_the_same(sides):
    ours, theirs = sides
    positive = ours["positive"]
    assert positive.sum(1).min() > 0
    assert (ours["region"] > 0).sum() > positive.sum()
    np.testing.assert_array_equal(theirs["positive"], positive)
    np.testing.assert_array_equal(theirs["gt_index"][positive], ours["gt_index"][positive])
    np.testing.assert_allclose(theirs["region"], ours["region"], rtol=1e-5, atol=1e-6)


def test_losses_are_the_same(sides):
    ours, theirs = (_part(side, "loss/") for side in sides)
    names = ["cls", "bbox", "dfl", "ld", "ld_vlr", "kd"]
    assert sorted(ours) == sorted(theirs) == sorted(f"loss/loss_{name}" for name in names)
    assert min(ours.values()) > 1e-3
    for name, value in ours.items():
        # Forty layers in single precision, each library in its own order of summation.
        assert float(theirs[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("kind", ["gradient", "weight"])
def test_gradients_and_weights_after_steps_are_the_same(sides, kind):
    ours, theirs = (_part(side, f"{kind}/") for side in sides)
    assert sorted(ours) == sorted(theirs)
    # A level without an object gives its factor no gradient.
    assert sum(np.abs(value).max() > 0 for value in ours.values()) > len(ours) - 3
    for name, value in ours.items():
        # As above; a gradient is a sum of many terms of both signs.
        limit = 1e-4 * np.abs(value).max() + 1e-7
        np.testing.assert_allclose(theirs[name], value, rtol=0, atol=limit, err_msg=name)


@pytest.mark.parametrize("way", ["loop", "one look", "several looks", "found"])
def test_detections_are_the_same(sides, way):
    ours, theirs = sides
    for image in "01":
        assert 5 < len(ours[f"{image}/scores"]) <= 50
        np.testing.assert_array_equal(theirs[f"{way}/{image}/labels"], ours[f"{image}/labels"])
        np.testing.assert_allclose(theirs[f"{way}/{image}/scores"], ours[f"{image}/scores"], rtol=1e-4)
        np.testing.assert_allclose(theirs[f"{way}/{image}/boxes"], ours[f"{image}/boxes"], atol=1e-2)


def test_the_benchmark_compares_whole_steps_and_images(torch_python):
    settings = replace(SETTINGS, teacher_depth=18)
    report = benchmark_train(settings, Duel(torch_python, channels_last=True, shared=True))
    names = [row[0].strip() for row in report.rows]
    assert names[:3] == ["step", "step, busy cores", "step without distillation"]
    assert len(names) == 13 and {"teacher forward", "distillation terms", "backward"} < set(names)
    for _, ours, theirs, ratio, _ in report.rows:
        assert len(theirs.milliseconds) == len(ours.milliseconds) == settings.steps
        assert ratio == pytest.approx(ours.median / theirs.median)
    facts = report.facts
    assert facts["largest difference of a loss of the first step from torch's, share of the total"] < 1e-4
    assert facts["peak memory of torch, host, MiB"] > 50
    assert all(facts[f"step on busy cores, times as long, {side}"] > 0 for side in ("jld", "torch"))
    report = benchmark_inference(settings, Duel(torch_python, shared=True))
    assert [row[0].strip() for row in report.rows] == ["image", "of it network", "image, busy cores"]
    assert report.facts["detections kept"] == report.facts["detections kept by torch"] > 0
    assert 0 < report.facts["share of the peak, torch, %"] < 1000


def test_a_label_guided_step_has_the_same_losses(torch_python):
    report = benchmark_train(replace(SETTINGS, detector="lgd_retinanet", steps=1), Duel(torch_python))
    assert (
        report.facts["largest difference of a loss of the first step from torch's, share of the total"] < 1e-4
    )
    names = [row[0].strip() for row in report.rows]
    assert names[:4] == ["step", TERM_OFF, RESTING, ALONE] and [len(row) for row in report.rows] == [5] * 16


@pytest.fixture(params=["mmdet", "torchvision"])
def library(request, torch_python):
    """A peer's library that the interpreter has."""
    if not has_module(torch_python, peer.LIBRARIES[request.param]):
        pytest.skip(f"{request.param} is not there; JLD_TORCH_PYTHON names an interpreter that has it")
    return request.param


def test_others_crop_and_suppress_alike(torch_python, library):
    duel = Duel(torch_python, library=library)
    report = benchmark_rois(replace(SETTINGS, steps=1), duel)  # raises where they do not
    assert report.facts["proposals kept, the same in both"] > 100
    assert [len(row) for row in report.rows] == [5, 5, 5]


@pytest.mark.parametrize("library", ["mmdet"], indirect=True)
def test_losses_of_two_stages_are_those_of_mmdetection(torch_python, library):
    """Of the same weights and, drawn without chance, the same anchors and RoIs."""
    settings = replace(SETTINGS, detector="mask_rcnn", steps=1)
    report = benchmark_train(settings, Duel(torch_python, library=library))
    facts = report.facts
    # A pixel of a mask that is half covered may fall to either side.
    assert facts["largest difference of a loss of the first step from torch's, share of the total"] < 1e-4
    assert facts["positive RoIs, torch"] == facts["positive RoIs, jld"] >= settings.boxes
    assert [len(row) for row in report.rows] == [5] * 11


@pytest.mark.parametrize("library", ["torchvision"], indirect=True)
def test_a_two_stage_step_is_measured_beside_torchvisions(torch_python, library):
    """Of torchvision's widths, with the stages of jld."""
    settings = Settings("mask_rcnn", 64, 64, batch=1, boxes=2, num_classes=3, steps=1, warmup=1)
    report = benchmark_train(settings, Duel(torch_python, library=library))
    assert [len(row) for row in report.rows] == [5] * 11
    facts = report.facts
    assert facts["RoIs, torch"] > 0 and facts["positive RoIs, torch"] >= settings.boxes
    assert "torchvision: " in facts["peer"] and "differs: " in facts["peer"]


TORCHVISION = """
_base_ = [{base!r}]
model = dict(
    type="MaskRCNN",
    backbone=dict(depth=18, pretrained=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(
        bbox_head=dict(num_classes=3),
        mask_head=dict(
            type="MaskHead", num_classes=3, loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True)
        ),
    ),
)
dataset = dict(
    test=dict(
        type="ImageDataset",
        images_dir={folder!r},
        transforms=[
            dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
            dict(type="Pad", size_divisor=32),
        ],
    )
)
"""


@pytest.mark.parametrize("library", ["torchvision"], indirect=True)
def test_a_file_of_torchvision_finds_the_same_boxes(torch_python, library, tmp_path):
    side = Path(__file__).with_name("torchvision_side.py")
    subprocess.run([torch_python, str(side), tmp_path], check=True)
    config = tmp_path / "maskrcnn.py"
    base = str(BASE / "models" / "faster_rcnn_r50_torchvision_fpn.py")
    config.write_text(TORCHVISION.format(base=base, folder=str(tmp_path)))
    found = inference_detector(init_detector(config, tmp_path / "maskrcnn.pth"), tmp_path / "picture.png")
    with np.load(tmp_path / "found.npz") as expected:
        assert len(expected["scores"]) > 20
        np.testing.assert_array_equal(found.labels, expected["labels"] - 1)
        np.testing.assert_allclose(found.boxes, expected["boxes"], rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected["scores"], rtol=0, atol=1e-5)
        ours, theirs = np.stack([to_bitmap(mask) for mask in found.masks]) > 0, expected["masks"]
        assert theirs.any((1, 2)).all() and set(expected["labels"]) == {3}
        # It pastes masks into boxes of whole pixels, jld where they are.
        assert (ours != theirs).sum() < 0.2 * theirs.sum()


def test_compiled_networks_compute_the_same_and_are_a_side_of_their_own(torch_python, monkeypatch):
    monkeypatch.setattr(peer, "PRODUCT_SIDES", {"cpu": 64})
    report = benchmark_inference(
        replace(SETTINGS, student_depth=18, steps=1), Duel(torch_python, compiled=True)
    )
    facts = report.facts
    if "failed" in facts["peer, torch.compile"]:
        pytest.skip(facts["peer, torch.compile"])
    assert "networks: compiled" in facts["peer, torch.compile"] and "networks: eager" in facts["peer"]
    assert facts["detections kept by torch.compile"] == facts["detections kept by torch"]
    assert [len(row) for row in report.rows] == [10, 10]


def test_torch_says_why_it_could_not_compile(torch_python, monkeypatch, tmp_path):
    """The real `torch.compile`, without a compiler and with nothing compiled before."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    settings = replace(SETTINGS, steps=1)
    student, batch = make_student(settings), random_batch(settings)
    with open_peers(settings, Duel(torch_python, compiled=True), student, None, batch) as peers:
        assert peers["torch.compile"].times("network", 1) == {}
        assert peers["torch.compile"].times("image", 1) == {}
        said = peers["torch.compile"].describe()
        assert said.startswith("torch.compile failed") and "\n" not in said and len(said) < 400
        assert len(peers["torch"].times("network", 2)["network"].milliseconds) == 2
