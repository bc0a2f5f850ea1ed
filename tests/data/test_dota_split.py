"""Cutting whole datasets: files, restart, manifest, the command line."""

import json
import os
import pickle
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jld.boxes.rotated import rboxes_to_polys, reorder_corners
from jld.config import load_config
from jld.data import DOTADataset, ImageDataset
from jld.data.dota import (
    DOTA1_CLASSES,
    SplitSettings,
    find_images,
    read_label_file,
    read_plan,
    remove_result,
    split_dataset,
)
from jld.data.dota.leftovers import hold_folder
from jld.data.images import ImageReader
from jld.errors import ConfigError, DataError
from tests.real_data import real_dataset

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = SplitSettings(subimage_size=64, overlap_size=16)
IMAGES = {
    "P0001": ((100, 90), ["10 10 30 10 30 20 10 20 plane 0", "70 70 80 70 80 80 70 80 ship 1"]),
    "P0002": ((50, 40), []),
    "P0003": ((130, 64), ["50 20 80 20 80 40 50 40 harbor 0"]),
}


def write_dota(folder, images=IMAGES):
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for image_id, ((width, height), lines) in images.items():
        pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{image_id}.png"), pixels)
        text = "\n".join(["imagesource:GoogleEarth", "gsd:0.1", *lines, ""])
        (folder / "labelTxt" / f"{image_id}.txt").write_text(text)
    return folder


@pytest.fixture
def source(tmp_path):
    return write_dota(tmp_path / "source" / "train")


def split(source, target, settings=SETTINGS, **options):
    return split_dataset(find_images([source]), target, settings, classes=DOTA1_CLASSES, **options)


def contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and ".progress" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_patches_hold_the_pixels_of_their_place(source, tmp_path):
    manifest = split(source, tmp_path / "out")
    image = cv2.imread(str(source / "images" / "P0001.png"))
    patch = cv2.imread(str(tmp_path / "out" / "images" / "P0001__1.0__36___26.png"))
    np.testing.assert_array_equal(patch, image[26:90, 36:100])
    padded = cv2.imread(str(tmp_path / "out" / "images" / "P0002__1.0__0___0.png"))
    assert padded.shape == (64, 64, 3) and (padded[40:] == 0).all() and (padded[:, 50:] == 0).all()
    annotation, _ = read_label_file(tmp_path / "out" / "labelTxt" / "P0001__1.0__36___26.txt")
    assert annotation.names == ("ship",) and annotation.polys[0].tolist() == [34, 44, 44, 44, 44, 54, 34, 54]
    assert manifest["num_images"] == 3 and manifest["num_patches"] == 4 + 1 + 3 and manifest["is_complete"]
    assert manifest["num_objects"] == sum(
        len(read_label_file(file)[0]) for file in (tmp_path / "out" / "labelTxt").iterdir()
    )


def test_several_rates_resize_the_image(source, tmp_path):
    settings = SplitSettings(subimage_size=64, overlap_size=16, multi_scale=(0.5, 1.0))
    split(source, tmp_path / "out", settings)
    names = {file.stem for file in (tmp_path / "out" / "images").iterdir()}
    assert "P0001__0.5__0___0" in names and "P0001__1.0__0___0" in names
    half, _ = read_label_file(tmp_path / "out" / "labelTxt" / "P0001__0.5__0___0.txt")
    assert half.polys[0].tolist() == [5, 5, 15, 5, 15, 10, 5, 10]


def test_mmrotate_style_resizes_the_window_and_pads_with_its_colour(source, tmp_path):
    settings = SplitSettings(subimage_size=64, overlap_size=16, multi_scale=(0.5, 1.0), style="mmrotate")
    split(source, tmp_path / "out", settings)
    names = {file.stem for file in (tmp_path / "out" / "annfiles").iterdir()}
    assert names == {file.stem for file in (tmp_path / "out" / "images").iterdir()}
    # 128 px windows would show less than 60 % of image; P0002 has nothing better than its 64 px window.
    assert {name.split("__")[1] for name in names} == {"64"} and "P0002__64__0___0" in names
    padded = cv2.imread(str(tmp_path / "out" / "images" / "P0002__64__0___0.png"))
    assert (padded[40:] == (104, 116, 124)).all()
    with (tmp_path / "out" / "labels.pkl").open("rb") as stream:
        flags = {entry["filename"]: entry["ann"] for entry in pickle.load(stream)}
    assert all(len(ann["bboxes_ignore"]) == 0 for ann in flags.values())


def test_labels_pkl_is_what_jdet_reads(source, tmp_path):
    split(source, tmp_path / "out")
    with (tmp_path / "out" / "labels.pkl").open("rb") as stream:
        entries = pickle.load(stream)
    assert [entry["filename"] for entry in entries] == sorted(entry["filename"] for entry in entries)
    by_name = {entry["filename"]: entry for entry in entries}
    assert "P0002__1.0__0___0.png" not in by_name  # empty
    entry = by_name["P0001__1.0__0___0.png"]
    assert (entry["width"], entry["height"]) == (64, 64)
    assert entry["ann"]["labels"].tolist() == [1] and entry["ann"]["labels"].dtype == np.int64
    assert entry["ann"]["bboxes"].dtype == np.float32 and entry["ann"]["bboxes_ignore"].shape == (0,)
    polys = reorder_corners(rboxes_to_polys(entry["ann"]["bboxes"]))
    np.testing.assert_allclose(polys, [[10, 10, 30, 10, 30, 20, 10, 20]], atol=1e-4)
    ignored = by_name["P0001__1.0__36___26.png"]["ann"]
    assert ignored["labels_ignore"].tolist() == [7] and ignored["bboxes"].shape == (0,)
    harbor = by_name["P0003__1.0__0___0.png"]["ann"]  # 13 of 30 px are left: flag 2, in neither list
    assert harbor["labels"].shape == harbor["labels_ignore"].shape == (0,)


def test_empty_patches_are_listed_on_request(source, tmp_path):
    split(source, tmp_path / "out", SplitSettings(subimage_size=64, overlap_size=16, keep_empty=True))
    with (tmp_path / "out" / "labels.pkl").open("rb") as stream:
        assert "P0002__1.0__0___0.png" in {entry["filename"] for entry in pickle.load(stream)}


def test_a_stopped_run_goes_on_and_ends_with_the_same_files(source, tmp_path):
    split(source, tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop(done, _total):
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        split(source, tmp_path / "out", on_progress=stop)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert not manifest["is_complete"]
    first_patch = tmp_path / "out" / "images" / "P0001__1.0__0___0.png"
    written = first_patch.stat().st_mtime_ns
    seen = []
    split(source, tmp_path / "out", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)] and first_patch.stat().st_mtime_ns == written
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_unfinished_patches_are_not_used(source, tmp_path):
    def stop(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(source, tmp_path / "out", on_progress=stop)
    images = str(tmp_path / "out" / "images")
    for read in (
        lambda: DOTADataset(str(tmp_path / "out")),
        lambda: DOTADataset(images_dir=images, annotations_file=str(tmp_path / "out" / "labelTxt")),
        lambda: ImageDataset(images),
    ):
        with pytest.raises(DataError, match=r"out: preprocessing did not finish; run tools/preprocess\.py"):
            read()


def test_marks_that_no_parser_can_hold_are_cut_again(source, tmp_path):
    split(source, tmp_path / "out")
    (mark, *_) = (tmp_path / "out" / ".progress").iterdir()
    mark.write_text("[" * 200_000)
    split(source, tmp_path / "out")
    assert json.loads(mark.read_text())["patches"]


def test_changed_and_removed_images_lose_their_old_patches(source, tmp_path):
    split(source, tmp_path / "out")
    (source / "images" / "P0003.png").unlink()
    (source / "labelTxt" / "P0003.txt").unlink()
    cv2.imwrite(str(source / "images" / "P0001.png"), np.zeros((60, 60, 3), np.uint8))
    manifest = split(source, tmp_path / "out")
    names = {file.stem for file in (tmp_path / "out" / "images").iterdir()}
    assert names == {"P0001__1.0__0___0", "P0002__1.0__0___0"} and manifest["num_patches"] == 2


def test_what_a_killed_run_left_is_removed(source, tmp_path):
    split(source, tmp_path / "whole")
    target = tmp_path / "out"
    target.mkdir()
    (target / ".manifest.json.01234567.tmp").write_bytes(b"{")  # killed before there was a manifest
    split(source, target)
    for folder in ("", ".progress", "images", "labelTxt"):
        (target / folder / ".P0003.json.89abcdef.tmp").write_bytes(b"")
    (target / "images" / "P0009__1.0__0___0.png").write_bytes(
        b""
    )  # its image is gone, its mark was not written
    (target / "labelTxt" / "P0009__1.0__0___0.txt").write_bytes(b"")
    for name in ("notes.txt", "mine.tmp", "images/cover.png"):
        (target / name).write_text("not ours")
    split(source, target)
    found = contents(target)
    assert [found.pop(name) for name in ("notes.txt", "mine.tmp", "images/cover.png")] == [b"not ours"] * 3
    assert found == contents(tmp_path / "whole")
    assert {file.suffix for file in (target / ".progress").iterdir()} == {".json"}


@pytest.mark.parametrize("has_labels", [True, False])
def test_damaged_patches_are_cut_again(source, tmp_path, caplog, has_labels):
    def cut(target):
        sources = find_images([source], has_labels=has_labels)
        steps = []
        split_dataset(
            sources,
            target,
            SETTINGS,
            classes=DOTA1_CLASSES if has_labels else None,
            on_progress=lambda done, total: steps.append(done),
        )
        return steps

    assert cut(tmp_path / "out") == [0, 1, 2, 3] and cut(tmp_path / "out") == [3] and not caplog.messages
    whole = contents(tmp_path / "out")
    patch = tmp_path / "out" / "images" / "P0001__1.0__0___26.png"
    bytes_of_patch = bytearray(patch.read_bytes())
    bytes_of_patch[len(bytes_of_patch) // 2] ^= 4
    times = patch.stat()
    for damage in (
        lambda: patch.write_bytes(bytes_of_patch),
        lambda: patch.write_bytes(bytes(len(bytes_of_patch))),
        lambda: patch.write_bytes(b""),
        patch.unlink,
        lambda: (tmp_path / "out/.progress/P0001.json").write_text('["no mark"]'),
        lambda: (
            (tmp_path / "out/labelTxt/P0001__1.0__0___0.txt").write_text("") if has_labels else patch.unlink()
        ),
    ):
        damage()
        if patch.is_file():
            os.utime(patch, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of a file says nothing
        assert cut(tmp_path / "out") == [2, 3]
        assert contents(tmp_path / "out") == whole
    assert len(caplog.messages) == 5 and "patches of 1 images are missing, damaged" in caplog.text


def test_a_second_run_waits_for_the_first(source, tmp_path, caplog):
    target, done = tmp_path / "out", []
    with hold_folder(target):
        second = threading.Thread(target=lambda: done.append(split(source, target)))
        second.start()
        while not caplog.messages:
            second.join(0.01)
        assert not done and list(target.iterdir()) == []
    second.join()
    assert done[0]["num_images"] == 3 and "another run is at work here" in caplog.text


def test_images_are_read_as_the_config_says(source, tmp_path, caplog):
    stored = np.random.default_rng(5).integers(0, 255, (40, 100, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(source / "images" / "P0001.png", exif=exif)
    cv2.imwrite(str(source / "images" / "P0002.png"), np.full((50, 40), 4095, np.uint16))
    (source / "labelTxt" / "P0001.txt").write_text("70 10 90 10 90 30 70 30 plane 0\n")
    with pytest.raises(DataError, match=r"P0001.*orientation 6.*image_reader=dict\(orientation='stored'\)"):
        split(source, tmp_path / "out")
    plan = {
        "type": "DOTA",
        "source_dataset_path": str(source.parent),
        "target_dataset_path": str(tmp_path / "planned"),
        "tasks": [{"label": "train", "config": {"subimage_size": 64, "overlap_size": 16}}],
        "image_reader": {"orientation": "stored"},
    }
    (task,) = read_plan(plan)[1]
    options = {"classes": task.classes, "image_reader": task.image_reader}
    caplog.clear()
    manifest = split_dataset(task.sources(), task.target, task.settings, **options)
    assert manifest["num_deep_images"] == 1 and "1 images have more than 8 bits per sample (16" in caplog.text
    patch = cv2.imread(str(task.target / "images" / "P0001__1.0__36___0.png"))
    np.testing.assert_array_equal(patch[:40], stored[:, 36:, ::-1])
    assert cv2.imread(str(task.target / "images" / "P0002__1.0__0___0.png"))[0, 0].tolist() == [255] * 3
    with pytest.raises(ConfigError, match=r"image_reader.orientation was 'stored', now None"):
        split_dataset(task.sources(), task.target, task.settings, classes=task.classes)
    small = ImageReader(orientation="stored", max_pixels=3999)  # a limit changes no patch
    (source / "images" / "P0001.png").touch()
    with pytest.raises(DataError, match=r"P0001.* 100 x 40 = 4,000 px, more than the limit of 3,999"):
        split_dataset(task.sources(), task.target, task.settings, **{**options, "image_reader": small})


def test_an_image_is_decoded_once_for_all_rates_and_windows(source, tmp_path, monkeypatch):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *given: decoded.append(1) or decode(*given))
    for style in ("jdet", "mmrotate"):
        rates = SplitSettings(subimage_size=64, overlap_size=16, multi_scale=(0.5, 1.0, 1.5), style=style)
        assert split(source, tmp_path / style, rates)["num_patches"] > 20
    assert len(decoded) == 2 * 3


def test_worker_processes_give_the_same_files(source, tmp_path):
    split(source, tmp_path / "one")
    split(source, tmp_path / "two", num_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_other_settings_are_an_error_that_says_which(source, tmp_path):
    split(source, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"overlap_size was 16, now 8.*--clear"):
        split(source, tmp_path / "out", SplitSettings(subimage_size=64, overlap_size=8))
    assert remove_result(tmp_path / "out") and not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        split(source, tmp_path / "mine")
    assert not remove_result(tmp_path / "mine") and (tmp_path / "mine" / "notes.txt").exists()


def test_all_malformed_lines_are_shown_before_anything_is_cut(source, tmp_path):
    for image_id in ("P0001", "P0003"):
        with (source / "labelTxt" / f"{image_id}.txt").open("a") as stream:
            stream.write("1 2 3 plane 0\n")
    with pytest.raises(DataError, match=r"(?s)2 label lines.*P0001\.txt:5.*P0003\.txt:4"):
        split(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    manifest = split(source, tmp_path / "out", skip_malformed=True)
    assert len(manifest["left_out"]) == 2 and manifest["is_complete"]


def test_broken_images_are_named_together_and_the_others_kept(source, tmp_path):
    for image_id in ("P0001", "P0002"):
        (source / "images" / f"{image_id}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"(?s)2 images could not be cut.*P0001.*P0002"):
        split(source, tmp_path / "out")
    assert (tmp_path / "out" / ".progress" / "P0003.json").is_file()
    assert not (tmp_path / "out" / "labels.pkl").exists()


def test_sources_are_checked(source, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        find_images([tmp_path / "nowhere"])
    (source / "labelTxt" / "P0002.txt").unlink()
    with pytest.raises(DataError, match=r"P0002\.txt.*no label file"):
        find_images([source])
    assert len(find_images([source], has_labels=False)) == 3
    with pytest.raises(DataError, match="same name"):
        find_images([source, source], has_labels=False)


def plan_config(source, tmp_path, **changes):
    task = {"label": "train", "config": {"subimage_size": 64, "overlap_size": 16, "multi_scale": [1.0]}}
    return {
        "type": "DOTA",
        "source_dataset_path": str(source.parent),
        "target_dataset_path": str(tmp_path / "out"),
        "tasks": [task],
        **changes,
    }


def test_plan_follows_jdets_names(source, tmp_path):
    tasks = [
        {"label": "trainval", "config": {"multi_scale": [0.5, 1.0, 1.5], "horizontal_flip": False}},
        {"label": "test", "config": {"subimage_size": 1024, "overlap_size": 200, "rotation_angles": [0.0]}},
    ]
    _, (trainval, test) = read_plan(plan_config(source, tmp_path, tasks=tasks, type="DOTA2"))
    assert trainval.target.name == "trainval_600_150_0.5-1.0-1.5" and len(trainval.classes) == 18
    assert [folder.name for folder in trainval.folders] == ["train", "val"]
    assert test.target.name == "test_1024_200_1.0" and test.classes is None


def test_a_plan_may_name_classes_of_its_own(source, tmp_path):
    _, (task,) = read_plan(plan_config(source, tmp_path, classes=["harbor", "plane", "ship"]))
    manifest = split_dataset(task.sources(), task.target, task.settings, classes=task.classes)
    assert manifest["settings"]["classes"] == ["harbor", "plane", "ship"] and manifest["num_objects"] > 0
    _, (task,) = read_plan(plan_config(source, tmp_path, classes=["plane"]))
    with pytest.raises(DataError, match="ship"):
        split_dataset(task.sources(), tmp_path / "few", task.settings, classes=task.classes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "DOTA3"}, "DOTA"),
        ({"typo": 1}, "typo"),
        ({"target_dataset_path": None}, "target_dataset_path"),
        ({"tasks": [{"label": "tests"}]}, "did you mean 'test'"),
        ({"tasks": [{"label": "val", "config": {"subimage": 3}}]}, "subimage_size"),
        ({"tasks": [{"label": "val", "config": {"vertical_flip": True}}]}, "vertical_flip"),
        ({"tasks": [{"label": "val", "config": {"overlap_size": 700}}]}, "below subimage_size"),
        ({"tasks": [{"label": "val", "config": {"multi_scale": [0]}}]}, "rates above 0"),
        ({"style": "mmrot"}, "did you mean 'mmrotate'"),
        ({"convert_tasks": ["train"]}, "FAIR"),
        ({"type": "FAIR", "convert_tasks": ["train"]}, "source_fair_dataset_path"),
    ],
)
def test_plan_problems_are_explained(source, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_plan(plan_config(source, tmp_path, **changes))


@pytest.mark.parametrize(("image", "label"), [("e\u0301#% .b", "\u00e9#% .b"), ("\u00e9", "e\u0301")])
def test_labels_are_found_however_their_accents_are_stored(source, tmp_path, image, label):
    (source / "images/P0001.png").rename(source / f"images/{image}.png")
    (source / "labelTxt/P0001.txt").rename(source / f"labelTxt/{label}.TXT")
    assert [each.label_file for each in find_images([source])][-1] == str(source / f"labelTxt/{label}.TXT")


@pytest.mark.parametrize("name", ["a\nb", os.fsdecode(b"a\xff")])
def test_names_that_no_list_can_hold_are_refused_before_anything_is_cut(source, tmp_path, name):
    (source / "images/P0001.png").rename(source / f"images/{name}.png")
    (source / "labelTxt/P0001.txt").rename(source / f"labelTxt/{name}.txt")
    with pytest.raises(DataError, match="1 images cannot be used"):
        find_images([source])


def test_target_must_not_hold_the_source(source, tmp_path):
    with pytest.raises(ConfigError, match="must not hold the source"):
        read_plan(plan_config(source, tmp_path, target_dataset_path=str(tmp_path)))


def test_tool_cuts_goes_on_and_clears(source, tmp_path, monkeypatch, capsys):
    config = tmp_path / "cut.py"
    config.write_text("\n".join(f"{key} = {value!r}" for key, value in plan_config(source, tmp_path).items()))

    command = ["tools/preprocess.py", f"--config-file={config}"]
    before = contents(source.parent)
    done = subprocess.run(
        [sys.executable, *command, "--workers=2"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "8 patches of 3 images" in done.stdout
    assert (tmp_path / "out" / "train_64_16_1.0" / "labels.pkl").is_file()
    main = runpy.run_path(str(ROOT / command[0]))["main"]

    def run(*flags):
        monkeypatch.setattr(sys, "argv", [*command, "--workers=1", *flags])
        return main()

    assert run() == 0
    assert run("--clear") == 0 and "removed" in capsys.readouterr().out
    assert not (tmp_path / "out" / "train_64_16_1.0").exists() and contents(source.parent) == before
    (source / "labelTxt" / "P0001.txt").write_text("nonsense\n")
    assert run() == 2 and "P0001.txt:1" in capsys.readouterr().err


def test_shipped_configs_make_what_the_dataset_configs_read():
    made = set()
    for file in sorted((ROOT / "configs/preprocess").glob("*.py")):
        assert f"--config-file=configs/preprocess/{file.name}\n" in file.read_text()
        conversions, tasks = read_plan(load_config(file))
        assert tasks and not conversions
        made |= {str(task.target) for task in tasks}
    datasets = [load_config(file).dataset for file in (ROOT / "configs/_base_/datasets").glob("dota_*.py")]
    assert len(datasets) == 2
    assert {section.dataset_dir for dataset in datasets for section in dataset.values()} <= made


# Objects by class and flag in the patches of two real images, counted with the released splitters.
REAL_COUNTS = {
    "mmrotate": {
        "P0706__1024__0___0": {"ship": (484, 2, 8), "harbor": (5, 0, 0)},
        "P0706__1024__0___158": {"ship": (473, 4, 10), "harbor": (4, 0, 1)},
        "P0706__1024__87___0": {"ship": (491, 0, 6), "harbor": (5, 0, 0)},
        "P0706__1024__87___158": {"ship": (488, 3, 7), "harbor": (4, 0, 1)},
        "P1888__1024__0___0": {"large-vehicle": (50, 0, 0), "small-vehicle": (14, 0, 0)},
    },
    "jdet": {
        "P0706__1.0__0___0": {"ship": (492, 2, 3), "harbor": (5, 0, 0)},
        "P0706__1.0__0___158": {"ship": (482, 4, 11), "harbor": (5, 0, 0)},
        "P0706__1.0__87___0": {"ship": (497, 0, 2), "harbor": (5, 0, 0)},
        "P0706__1.0__87___158": {"ship": (494, 4, 7), "harbor": (5, 0, 0)},
        "P1888__1.0__0___0": {"large-vehicle": (50, 0, 0), "small-vehicle": (14, 0, 0)},
    },
}


@pytest.mark.parametrize("style", REAL_COUNTS)
def test_real_patches_hold_as_many_objects_as_the_released_ones(tmp_path, style):
    settings = SplitSettings(subimage_size=1024, overlap_size=200, style=style)
    sources = find_images([real_dataset("dota_sample")])
    manifest = split_dataset(sources, tmp_path / "out", settings, classes=DOTA1_CLASSES)
    assert manifest["num_objects"] == {"mmrotate": 2060, "jdet": 2082}[style]
    counted = {}
    for file in (tmp_path / "out" / settings.label_folder).iterdir():
        annotation, problems = read_label_file(file)
        assert not problems
        flags = {name: annotation.difficult[np.array(annotation.names) == name] for name in annotation.names}
        counted[file.stem] = {
            name: tuple(np.bincount(each, minlength=3).tolist()) for name, each in flags.items()
        }
    assert counted == REAL_COUNTS[style]
    sizes = {file.stem: cv2.imread(str(file)).shape for file in (tmp_path / "out" / "images").iterdir()}
    assert set(sizes) == set(counted) and set(sizes.values()) == {(1024, 1024, 3)}


def test_objects_far_from_their_image_are_refused(tmp_path):
    images = {"P1": ((100, 90), ["10 10 30 10 30 20 10 20 plane 0", "70 70 1e9 70 80 80 70 80 ship 1"])}
    source = write_dota(tmp_path / "source", images)
    with pytest.raises(
        DataError, match=r"P1\.txt: object 2 \(ship\) has a corner further outside of its image"
    ):
        split(source, tmp_path / "out")
