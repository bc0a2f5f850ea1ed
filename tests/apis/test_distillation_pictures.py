"""Region and edge pictures of a real step: what is drawn is what training would have used."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jld.apis.distillation_pictures import _Step, draw_distillation, pixels_of, surest_positives
from jld.config import prepare_config
from jld.data import DrawnDataset
from jld.errors import ConfigError
from jld.models import InputStatistics
from jld.visualization.canvas import blank

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/quick_start/gfl_student.py")
# Two images, of which the first has no object, through a detector with an eighth of the channels.
TINY = [
    "model.backbone.base_channels=8",
    "model.neck.in_channels=[8, 16, 32, 64]",
    "model.neck.out_channels=16",
    "model.bbox_head.in_channels=16",
    "model.bbox_head.feat_channels=16",
    "model.bbox_head.stacked_convs=1",
    "dataset.val.num_images=2",
]


def distilled(**more):
    """The tiny detector with one of its kind as teacher."""
    config = prepare_config(CONFIG, TINY)
    teacher = {"type": "FrozenTeacher", "config": config.copy(), "checkpoint": None}
    terms = [dict(type="LocalizationKD", region=region) for region in ("main", "vlr")]
    config["distill"] = {"teacher": teacher, "terms": terms, **more}
    return config


@pytest.fixture(scope="module")
def pictures():
    return list(draw_distillation(distilled(), split="val", num_images=5, num_boxes=1, regions=["inside_gt"]))


def test_one_picture_per_image(pictures):
    empty, full = pictures
    assert [picture.img_id for picture in pictures] == [0, 1]
    assert empty.counts == {"main": 0, "vlr": 0, "inside_gt": 0} and empty.edges is None
    assert full.counts["main"] > 0 and full.counts["vlr"] > full.counts["main"]
    # Every positive lies inside its object.
    assert full.counts["inside_gt"] >= full.counts["main"]
    assert full.edges.dtype == full.regions.dtype == full.features.dtype == np.uint8
    assert full.features.shape == empty.features.shape and not np.array_equal(full.features, empty.features)
    assert not np.array_equal(full.regions, empty.regions)


def test_without_a_teacher_only_named_regions_and_the_student_are_drawn(pictures):
    config = prepare_config(CONFIG, TINY)
    alone = list(draw_distillation(config, num_images=2, num_boxes=1, regions=["vlr", "main"]))
    # Regions depend on the boxes only; edges now show one network.
    assert alone[1].counts == {name: pictures[1].counts[name] for name in ("vlr", "main")}
    assert alone[1].edges is not None and not np.array_equal(alone[1].edges, pictures[1].edges)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(), "distils nothing, so there is no region to draw"),
        (dict(regions=["mian"]), "unknown region 'mian': did you mean 'main'?"),
        (dict(regions=["gi"]), "the region 'gi' compares two networks"),
        (dict(split="vla", regions=["main"]), r"no dataset\.vla: did you mean 'val'?"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, message):
    with pytest.raises(ConfigError, match=message):
        next(draw_distillation(prepare_config(CONFIG, TINY), **arguments))


def test_pixels_come_back_from_normalised_images():
    data = DrawnDataset("val", num_images=1)
    image = data.read_image(0)  # BGR
    statistics = InputStatistics((10.0, 20.0, 30.0), (2.0, 3.0, 4.0), is_rgb=True)
    tensor = (image[..., ::-1].transpose(2, 0, 1) - np.reshape(statistics.mean, (3, 1, 1))) / np.reshape(
        statistics.std, (3, 1, 1)
    )
    np.testing.assert_array_equal(pixels_of(tensor.astype(np.float32), statistics), image)
    raw = image.transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(pixels_of(raw, None), image)


def test_surest_positives():
    owners = np.array([-1, 0, 0, 1, -1, 2])
    labels = np.array([1, 0, 1])
    scores = np.array([[0.9, 0.9], [0.8, 0.2], [0.1, 0.5], [0.6, 0.0], [0.9, 0.9], [0.9, 0.3]])
    # The score of an object's own class counts: objects 0, 1, 2 have their best priors at 2, 3, 5.
    np.testing.assert_array_equal(surest_positives(owners, labels, scores, 5), [3, 2, 5])
    np.testing.assert_array_equal(surest_positives(owners, labels, scores, 2), [3, 2])
    assert len(surest_positives(np.full(6, -1), labels, scores, 5)) == 0
    assert len(surest_positives(np.full(6, -1), np.zeros(0, int), scores, 5)) == 0


@pytest.fixture
def tool(monkeypatch):
    """tools/visualize_distillation.py as a module."""
    path = ROOT / "tools/visualize_distillation.py"
    monkeypatch.setattr("sys.path", ["unchanged"])
    spec = importlib.util.spec_from_file_location("visualize_distillation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tool_writes_what_the_function_draws(tool, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--config-file", CONFIG, "--save_dir", str(out), "--regions", "vlr", "main", "--boxes", "1"]
    assert tool.main([*arguments, "--no_cuda", "--opts", *TINY]) == 0
    written = sorted(file.name for file in out.iterdir())
    assert written == [
        "0_features.png", "0_regions.png", "1_edges.png", "1_features.png", "1_regions.png"
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].endswith("vlr 0, main 0 priors; no edges")
    picture = cv2.imread(str(out / "1_regions.png"))
    assert picture.shape[1] > 600 and not np.array_equal(picture, blank(*picture.shape[:2]))


def test_tool_says_what_is_wrong(tool, capsys):
    assert tool.main(["--config-file", "nowhere.py"]) == 2
    assert capsys.readouterr().err.startswith("jld: config file nowhere.py does not exist")


def test_deltas_of_rotated_boxes_are_no_edges():
    stage = SimpleNamespace(predictions={"box_logits": np.zeros((1, 6, 5, 9))})
    context, step = SimpleNamespace(student=stage), SimpleNamespace(teacher=None)
    assert _Step._draw_edges(step, context, None, {}, (), 1, 1.0) is None
