"""jld's detectors under JDet's contract, with a stand-in for JDet."""

import numpy as np
import pytest

from jld.apis import register_parts
from jld.boxes.detections import Detections
from jld.bridge import jdet as bridge
from jld.checkpoint import write_safetensors
from jld.config import load_config, to_plain
from jld.errors import ConfigError, DataError
from jld.toolchain import jittor as jt
from tests.cli.tiny_config import write_config
from tests.jdet_package import jdet

_ = jdet
TERMS = [{"type": "LocalizationKD", "region": "main"}, {"type": "PKD", "adapter": "1x1"}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(the tiny detector's section without its type, a teacher's files)."""
    register_parts()
    folder = tmp_path_factory.mktemp("bridge")
    path = write_config(folder)
    section = to_plain(load_config(path).model)
    weights = folder / "teacher.safetensors"
    kind = section.pop("type")
    state = bridge.JDetModel(kind, **section).detector.state_dict()
    write_safetensors(weights, {name: var.numpy() for name, var in state.items()}, {})
    return kind, section, {"config": str(path), "checkpoint": str(weights)}


def batch(with_vars=False):
    rng = np.random.default_rng(0)
    wrap = jt.array if with_vars else np.asarray
    targets = [
        {
            "bboxes": wrap(np.array([[8, 8, 40, 48]], np.float32)),
            "labels": wrap(np.array([2], np.int32)),
            "img_id": number,
            "img_size": (64, 64),
            "ori_img_size": (32, 32),
            "scale_factor": np.array([2.0, 2.0, 2.0, 2.0]),
        }
        for number in (7, 9)
    ]
    return jt.array(rng.standard_normal((2, 3, 64, 64)).astype(np.float32)), targets


def test_every_detector_gets_a_name_once(jdet):
    names = bridge.register()
    assert {"jld.GFL", "jld.RotatedRetinaNet", "jld.FasterRCNN"} <= set(names) and bridge.register() == []
    assert jdet.MODELS._modules["jld.GFL"].args == ("GFL",)


def test_a_distilled_student_learns_with_its_adapter_and_without_its_teacher(tiny):
    kind, section, teacher = tiny
    jt.set_global_seed(0)
    model = bridge.JDetModel(kind, distill={"teacher": teacher, "terms": TERMS}, **section)
    model.train()
    losses = model(*batch(with_vars=True))
    assert {"loss_cls", "loss_bbox", "loss_dfl", "loss_ld", "loss_pkd"} <= set(losses)
    assert all("loss" in name for name in losses) and losses["loss_ld"].item() > 0
    names = [name for name, _ in model.named_parameters()]
    adapters = [name for name in names if name.startswith("distill_")]
    assert adapters and len(names) == len(adapters) + len(list(model.detector.named_parameters()))
    adapter = dict(model.named_parameters())[adapters[0]]
    gradient = jt.grad(sum(losses.values()), [adapter])[0]
    assert np.abs(gradient.numpy()).max() > 0


def test_detections_are_in_the_original_image(tiny):
    kind, section, _ = tiny
    section = {**section, "bbox_head": {**section["bbox_head"], "score_threshold": 0.0}}
    model = bridge.JDetModel(kind, **section)
    model.eval()
    first, second = model(*batch())
    assert (first["img_id"], second["img_id"]) == (7, 9)
    assert first["boxes"].shape[1] == 4 and len(first["boxes"]) == len(first["scores"]) > 0
    assert first["boxes"].max() <= 32 and first["labels"].min() >= 1  # COCODataset.save_results takes 1 away


def test_targets_of_images_alone_do_for_detecting_and_not_for_learning(tiny):
    kind, section, _ = tiny
    images, targets = batch()
    alone = [{key: each[key] for key in ("img_size", "ori_img_size", "scale_factor")} for each in targets]
    alone = [{**each, "img_file": f"{number}.png"} for number, each in enumerate(alone)]
    model = bridge.JDetModel(kind, **section)
    model.eval()
    assert [each["img_id"] for each in model(images, alone)] == ["0", "1"]
    model.train()
    with pytest.raises(DataError, match="no labels to learn from"):
        model(images, alone)


def test_rotated_detections_become_corners():
    found = Detections("a", np.array([0.9]), np.array([1]), rboxes=np.array([[10.0, 20.0, 8.0, 4.0, 0.0]]))
    corners, scores, labels = bridge._result(found)
    assert sorted(map(tuple, corners.reshape(4, 2).tolist())) == [(6, 18), (6, 22), (14, 18), (14, 22)]
    assert scores.tolist() == [np.float32(0.9)] and labels.tolist() == [1]


def test_statistics_of_the_pipeline_are_told(tiny):
    kind, section, _ = tiny
    model = bridge.JDetModel(kind, normalisation={"mean": [1, 2, 3], "std": [4, 5, 6]}, **section)
    assert model.detector.normalisation.describe() == "BGR mean 1, 2, 3 std 4, 5, 6"


def test_without_jdet_the_message_says_so():
    with pytest.raises(ConfigError, match=r"jld\.bridge\.jdet needs JDet on the Python path"):
        bridge.register()
