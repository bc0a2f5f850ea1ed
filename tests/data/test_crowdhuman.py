"""CrowdHuman's .odgt: whole and visible people, what is ignored, and what is wrong in a line."""

import json

import cv2
import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data.crowdhuman import CrowdHumanDataset
from jld.data.problems import errors_of
from jld.errors import ConfigError, DataError
from jld.evaluation import CrowdHumanEvaluator
from jld.registry import build


def person(fbox, vbox, tag="person", **extra):
    return {"tag": tag, "fbox": fbox, "vbox": vbox, "hbox": [1, 1, 4, 4], "extra": extra, "head_attr": {}}


LINES = [
    {
        "ID": "273271,c9db000d5146c15",
        "gtboxes": [
            person([-10, 5, 40, 60], [0, 5, 30, 45], box_id=0, occ=1),
            person([30, 10, 20, 30], [30, 10, 20, 20], box_id=1, ignore=1),
            person([40, 20, 30, 20], [40, 20, 30, 20], tag="mask"),
        ],
    },
    {"ID": "273271,1a", "gtboxes": [person([4, 4, 20, 30], [4, 4, 10, 30], ignore=0)]},
]


@pytest.fixture
def folder(tmp_path):
    for entry in LINES:
        data = cv2.imencode(".jpg", np.zeros((50, 80, 3), np.uint8))[1]
        (tmp_path / f"{entry['ID']}.jpg").write_bytes(data.tobytes())
    return tmp_path


def read(folder, lines=LINES, **options):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "train.odgt").write_text(f"{text}\n")
    return CrowdHumanDataset(str(folder), "train.odgt", **options)


def test_people_and_what_is_ignored(folder):
    data = read(folder)
    assert data.classes == ("person",) and data.image_ids == [entry["ID"] for entry in LINES]
    first, second = data.ground_truth()
    np.testing.assert_allclose(first["boxes"], [[-10, 5, 30, 65], [30, 10, 50, 40], [40, 20, 70, 40]])
    assert first["is_crowd"].tolist() == [False, True, True] and second["is_crowd"].tolist() == [False]
    assert (first["height"], first["width"]) == (50, 80)
    account = data.account()
    assert (account.images, account.objects, account.trained) == (2, 4, 2)
    assert str(account.ignored) == f"2 crowds, first: person of image {LINES[0]['ID']}"
    sample = data.get(0, np.random.default_rng(0))
    assert len(sample["boxes"]) == 1 and len(sample["boxes_ignore"]) == 2


def test_the_benchmarks_own_scores(folder):
    data = read(folder)
    assert data.default_evaluator == "CocoEvaluator"
    first, second = data.ground_truth()
    # Everything is found, and something in the ignored object; only the part within the image is compared.
    boxes = np.concatenate([np.clip(first["boxes"], 0, [80, 50, 80, 50]), [[31, 11, 40, 20]]])
    found = [
        Detections(first["img_id"], [0.9, 0.8, 0.7, 0.95], [0] * 4, boxes=boxes),
        Detections(second["img_id"], [0.6], [0], boxes=second["boxes"]),
    ]
    metrics = CrowdHumanEvaluator()(found, [first, second], data.classes)
    assert (metrics["AP"], metrics["mMR"], metrics["JI"]) == (0.5, 0, 1)
    assert metrics["per_class"]["person"]["num_gts"] == 2


def test_visible_parts_and_heads_by_option(folder):
    visible = read(folder, boxes="vbox").ground_truth()[0]["boxes"]
    np.testing.assert_allclose(visible[0], [0, 5, 30, 50])
    np.testing.assert_allclose(read(folder, boxes="hbox").ground_truth()[1]["boxes"], [[1, 1, 5, 5]])
    hidden = {**person([0, 0, 20, 30], [0, 0, 9, 9]), "head_attr": {"ignore": 1}}
    lines = [{"ID": LINES[1]["ID"], "gtboxes": [hidden]}]
    for boxes, is_ignored in (("hbox", True), ("fbox", False)):
        assert read(folder, lines, boxes=boxes).ground_truth()[0]["is_crowd"].tolist() == [is_ignored]
    with pytest.raises(ConfigError, match=r"CrowdHumanDataset\.boxes is 'fbx': did you mean 'fbox'"):
        read(folder, boxes="fbx")


def test_a_config_builds_it(folder):
    read(folder)
    built = build({"type": "CrowdHumanDataset", "root": str(folder), "anno_file": "train.odgt"})
    assert len(built) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"ID": "a"', r"train\.odgt:2: no valid json"),
        ("[1]", r"train\.odgt:2: no image of CrowdHuman"),
        ({"ID": 3, "gtboxes": []}, r"train\.odgt:2: ID is 3"),
        ({"ID": "gone", "gtboxes": []}, r"gone\.jpg"),
        ({"ID": LINES[1]["ID"], "gtboxes": [{"tag": "person", "fbox": [1, 2, 3]}]}, r"gtboxes\[0\]: fbox is"),
        ({"ID": LINES[1]["ID"], "gtboxes": [person([1, 2, 3, 4], [], ignore="x")]}, "extra holds an ignore"),
        (LINES[0], "again|earlier|twice"),
    ],
)
def test_what_is_wrong_in_a_line_is_said(folder, line, said):
    with pytest.raises(DataError, match=said):
        read(folder, [LINES[0], line])


def test_what_cannot_be_read_is_counted(folder):
    broken = {"ID": "gone", "gtboxes": LINES[0]["gtboxes"]}
    half = {"ID": LINES[1]["ID"], "gtboxes": [*LINES[1]["gtboxes"], {"tag": "person"}]}
    data = read(folder, [LINES[0], broken, half], strict=False)
    assert len(data) == 2 and len(errors_of(data.problems)) == 2
    account = data.account()
    assert (account.images, account.images_used, account.objects, account.trained) == (3, 2, 8, 2)


def test_a_file_without_images_is_refused(folder):
    with pytest.raises(DataError, match="names no image"):
        read(folder, [])
