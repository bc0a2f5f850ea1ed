"""The benchmark's own logic on tiny networks: what is counted, divided and printed, not how fast it is."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jld.apis import register_parts
from jld.errors import JldError
from jld.toolchain import jittor as jt
from projects.benchmark import (
    PeerTools,
    Report,
    RotatedSizes,
    Settings,
    benchmark_assignment,
    benchmark_convolutions,
    benchmark_inference,
    benchmark_methods,
    benchmark_networks,
    benchmark_rois,
    benchmark_rotated,
    benchmark_scores,
    benchmark_train,
    machine_report,
    networks,
    peak,
    peer,
    rois,
)
from projects.benchmark.alternate import JLD, WINDOW, add_busy_row, alternate, busy_cores, side_by_side
from projects.benchmark.clock import TIMING_COLUMNS, StageClock, Timing, counted_reads, loaded_kernels
from projects.benchmark.core import LABEL_GUIDED
from projects.benchmark.methods import COLUMNS, METHODS, section_of
from projects.benchmark.operations import Convolution
from projects.benchmark.peak import peak_facts
from projects.benchmark.peer import Duel, has_module, open_peers, peer_facts
from projects.benchmark.rotated_peers import run_devkit, run_mmrotate
from projects.benchmark.rotated_scene import detections_and_truths
from projects.benchmark.scene import TITLES, make_distiller, make_student, random_batch
from projects.benchmark.train import ALONE, RESTING, TERM_OFF, disagreement, make_loop, shares
from tools import benchmark as tool

TINY = Settings(
    height=64, width=96, batch=1, boxes=3, num_classes=4, student_depth=18, teacher_depth=18, base_channels=8,
    head_channels=16, steps=2, warmup=1,
)  # fmt: skip
STAGES = [
    "batch to device", "student forward", "assignment", "teacher forward", "task losses",
    "distillation regions", "distillation terms", "backward", "optimizer",
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def parts():
    register_parts()


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    monkeypatch.setattr(peer, "PRODUCT_SIDES", {"cpu": 64, "cuda": 64})


@pytest.fixture
def python_without_torch(tmp_path):
    return _program(tmp_path / "python", "sys.exit(1) if sys.argv[1] == '-c' else print('null')")


def _program(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def fake_torch(tmp_path):
    """An interpreter whose torch_peer answers without measuring: 2 ms and 1 ms of CPU time for everything."""
    return _program(
        tmp_path / "fake_torch",
        "if sys.argv[1] == '-c': sys.exit()\n"
        "assert sys.argv[1:3] == ['-m', 'torch_peer']\n"
        "given = json.loads(sys.argv[3])\n"
        "if given['boxes'] == 99: sys.exit(3)\n"
        "def say(**values): print(json.dumps(values), flush=True)\n"
        "say(version='1', threads=given['threads'], given=given)\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if asked['task'] == 'die': sys.exit(4)\n"
        "    count = asked.get('count')\n"
        "    if given['compiled']: say(failure='no compiler')\n"
        "    elif asked['task'] == 'detections': say(count=9)\n"
        "    elif count: say(times={asked['task']: [[2.0] * count, [1.0] * count]})\n"
        "    else: say(host=7.0)\n",
    )


def _same(milliseconds, cpu_milliseconds):
    return Timing((float(milliseconds),), (float(cpu_milliseconds),))


def test_timing_gives_median_and_quartiles():
    timing = Timing((5.0, 1.0, 2.0, 3.0, 4.0), (7.0, 7.0, 6.0, 8.0, 9.0))
    assert (timing.median, timing.quartiles, timing.cpu_median) == (3.0, (2.0, 4.0), 7.0)
    assert timing.cells() == ("3.0", "2.0 - 4.0", "7.0")


def test_report_aligns_columns_and_keeps_single_measurements_in_its_data():
    timing = Timing((1.0, 3.0), (2.0, 4.0))
    report = Report("title", ("", *TIMING_COLUMNS), [("step", timing)], {"count": 7})
    assert report.as_text().splitlines() == [
        "title", "",
        "      median ms  quartiles  CPU ms",
        "step        2.0  1.5 - 2.5     3.0", "",
        "count  7",
    ]  # fmt: skip
    assert report.as_data()["rows"] == [["step", {"ms": [1.0, 3.0], "cpu_ms": [2.0, 4.0]}]]


def test_stage_clock_keeps_the_order():
    clock = StageClock()
    for _ in range(3):
        assert clock.run("second", lambda: 2) == 2
        clock.run("first", lambda: None)
    timings = clock.timings()
    assert list(timings) == ["second", "first"]
    assert [len(timing.milliseconds) for timing in timings.values()] == [3, 3]


def test_every_way_to_read_a_value_is_counted_and_restored():
    var = jt.array(np.arange(3, dtype=np.float32)) + 1
    before = dict(jt.Var.__dict__)
    with counted_reads() as counts:
        assert var.numpy().tolist() == [1, 2, 3]
        assert var.data[0] == 1
        assert float(var[2]) == 3  # through item
        assert np.asarray(var).shape == (3,)
        var.data = np.zeros(3, np.float32)  # writing is not reading
        (var * 2).sync()  # neither is launching
    assert counts == {"numpy": 1, "data": 1, "item": 1, "__array__": 1}
    assert {name: jt.Var.__dict__[name] for name in before} == before


def test_counting_ends_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), counted_reads() as counts:
        1 / 0  # noqa: B018
    jt.ones((1,)).numpy()
    assert counts == {}


def test_random_boxes_lie_in_the_image_and_follow_the_seed():
    batch = random_batch(Settings(height=64, width=512, boxes=11, num_classes=3))
    again = random_batch(Settings(height=64, width=512, boxes=11, num_classes=3))
    boxes = batch["boxes"][batch["box_mask"] > 0]
    assert batch["boxes"].shape == (2, 16, 4)
    assert batch["box_mask"].sum(1).tolist() == [11, 11]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 512).all() and (boxes[:, 3] <= 64).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 8).all()
    assert not batch["boxes"][batch["box_mask"] == 0].any()
    assert batch["labels"].max() == 2
    np.testing.assert_array_equal(batch["images"], again["images"])


def test_shares_relate_distillation_to_both_forward_passes():
    ms = {"student forward": 60, "teacher forward": 40, "distillation regions": 1, "distillation terms": 3}
    timings = {name: _same(value, value / 2) for name, value in {**ms, "distillation gradient": 2}.items()}
    timings["distillation terms"] = _same(3, 4.5)
    timings |= {"step": _same(300, 300), "step without distillation": _same(250, 270)}
    found = list(shares(timings).values())
    assert found == pytest.approx([4.0, 10.0, 12.0, 10.0])


def test_shares_of_a_teacher_that_paints_are_those_of_all_stages():
    timings = {"step": _same(30, 20), ALONE: _same(20, 16), "features": _same(1, 1)}
    timings |= {row: _same(9, cpu) for row, cpu in zip(LABEL_GUIDED, (1, 2, 3, 3), strict=True)}
    assert list(shares(timings).values()) == pytest.approx([1.5, 1.25, 10, 20, 30, 30])
    assert shares({"step": _same(1, 1), "features": _same(1, 1)}) == {}


TWO_STAGE_STAGES = [
    "batch to device", "features", "RPN, its sample", "proposals", "sample of RoIs", "RoI head", "mask head",
    "task losses", "backward", "optimizer",
]  # fmt: skip


def test_a_two_stage_step_has_its_own_stages_and_reads_nothing():
    report = benchmark_train(replace(TINY, detector="mask_rcnn"))
    assert report.title.startswith("training step: Mask R-CNN R-18, 1 x 3 x 64 x 96")
    assert [row[0].strip() for row in report.rows] == ["step", *TWO_STAGE_STAGES]
    facts = report.facts
    assert facts["values read by the host in a steady step"] == 0
    assert facts["RoIs, jld"] > facts["positive RoIs, jld"] >= TINY.boxes  # the objects' own boxes among them
    assert facts["operations of one step, GFLOP"] > 0 and not any("torch" in name for name in facts)


def test_a_label_guided_step_is_measured_beside_the_plain_one():
    settings = replace(TINY, detector="lgd_retinanet")
    report = benchmark_train(settings)
    names = [row[0].strip() for row in report.rows]
    assert names[:5] == ["step", TERM_OFF, RESTING, ALONE, "batch to device"] and {*LABEL_GUIDED} < {*names}
    assert report.facts["values read by the host in a steady step"] == 0
    step, quiet, resting, alone = (row[1].median for row in report.rows[:4])
    assert report.facts["step / step without distillation"] == pytest.approx(step / alone)
    # The first ninth of a released training with a backbone that rests, until the sixth without the term.
    mean = (step * 15 + quiet + resting * 2) / 18
    assert report.facts["mean step of all phases / step without distillation"] == pytest.approx(mean / alone)
    student = make_student(settings)
    loop = make_loop(student, make_distiller(settings, student), random_batch(settings))
    trained = {slot.name for slot in loop.optimizer.slots}
    assert any(name.startswith("distill.teacher.painter.") for name in trained)
    assert any(name.startswith("distill.loss_distill.adapter.") for name in trained)


def test_a_method_is_measured_with_the_terms_of_its_config():
    settings = replace(TINY, num_classes=3)
    report = benchmark_methods(settings, ["MGD"])
    (name, terms, step, plain, ratio, own) = report.rows[0]
    assert (name, terms, len(COLUMNS)) == ("MGD", "MGD", 6)
    assert plain > 0 and ratio == pytest.approx(step / plain)
    two_convolutions_of_five_levels = 5 * 2 * (16 * 16 * 9 + 16)
    assert own * 1e6 == pytest.approx(two_convolutions_of_five_levels)
    with pytest.raises(JldError, match=r"unknown method 'CrosKD'.*CrossKD"):
        benchmark_methods(settings, ["PKD", "CrosKD"])


def test_every_method_has_terms():
    kinds = {name: [term["type"] for term in section_of(name)["terms"]] for name in METHODS}
    assert kinds["LD"] == ["LocalizationKD"] * 2 and kinds["KD"] == ["ClassificationKD"]
    assert kinds["CrossKD+PKD"] == ["CrossKD", "PKD"] and all(kinds.values())
    named = {
        "CrossKD",
        "PKD",
        "BCKD",
        "FGD",
        "MGD",
        "CWD",
        "FeatureImitation",
        "GID",
        "FBKD",
        "DeFeat",
        "FGFI",
    }
    assert all(kinds[name] == [name] for name in named)


def test_masks_are_ellipses_within_their_boxes():
    batch = random_batch(replace(TINY, detector="mask_rcnn"))
    masks, boxes = batch["mask_bitmaps"], batch["boxes"]
    assert masks.shape == (1, 8, 64, 96) and masks.dtype == np.uint8
    assert not masks[batch["box_mask"] == 0].any()
    for mask, (x1, y1, x2, y2) in zip(masks[0, :3], boxes[0], strict=False):
        assert mask.sum() == pytest.approx(np.pi / 4 * (x2 - x1) * (y2 - y1), rel=0.1)
        rows, columns = np.nonzero(mask)
        assert y1 - 0.5 <= rows.min() and rows.max() + 0.5 <= y2
        assert x1 - 0.5 <= columns.min() and columns.max() + 0.5 <= x2


def test_rois_are_compared_with_equal_results_only(monkeypatch):
    settings = replace(TINY, head_channels=8, steps=1)
    monkeypatch.setattr(rois, "ROIS", 40)
    report = benchmark_rois(settings)
    rows = ["RoIAlign", "RoIAlign with gradient", "NMS of proposals"]
    assert [row[0] for row in report.rows] == rows
    assert report.facts["proposals looked at in an image"] == 3 * (16 * 24 + 8 * 12 + 4 * 6 + 2 * 3 + 1)
    both = [jt.array([2.0, 4.0]), jt.zeros((3,)), jt.ones((1, 2))]  # no box reads the second level
    ours = dict(zip(rows, (both[-1], both, jt.array([[0, 3, 5, 9]])), strict=True))

    def answering(**changes):
        given = {"crops": np.ones((1, 2)), "gradient/0": np.array([2, 4.00001]), "gradient/1": np.zeros(3)}
        given["kept/0"] = [0, 3, 5]
        return SimpleNamespace(ask=lambda task, file: np.savez(file, **given | changes))

    assert list(rois.compare(ours, 9, answering()).values()) == pytest.approx([0, 2.5e-6, 3], rel=0.1)
    wrong = {"crops": np.array([[1, 1.1]])}, {"gradient/1": np.array([0, np.nan, 0])}
    for changes in ({"kept/0": [0, 3, 6]}, {"kept/0": [0, 3]}, *wrong):
        with pytest.raises(JldError, match="results are others"):
            rois.compare(ours, 9, answering(**changes))


def test_train_table_has_every_stage_and_a_steady_step_reads_nothing():
    report = benchmark_train(TINY)
    names = [row[0].strip() for row in report.rows]
    assert names == ["step", "step without distillation", *STAGES, "distillation gradient (part of backward)"]
    assert all(len(row[1].milliseconds) == TINY.steps and row[1].median > 0 for row in report.rows)
    facts = report.facts
    assert facts["values read by the host in a steady step"] == 0
    assert facts["kernels used by a step"] >= facts["of them compiled now"] >= 0
    assert facts["kernels used by a step"] > 50
    assert facts["peak memory, MiB"] > 50
    assert facts["first step, s"] > 0
    assert 0 < facts["share of the peak, jld, %"] and 0 < facts["the same in CPU time, jld, %"]
    json.dumps(report.as_data())


def test_a_step_in_float16_reads_nothing_either():
    report = benchmark_train(replace(TINY, precision="float16", steps=1))
    assert report.title.endswith(", convolutions in float16")
    assert report.facts["values read by the host in a steady step"] == 0


def test_precision_is_a_flag_of_training_alone(capsys):
    assert tool.settings_of(tool.parser().parse_args(["--precision", "bfloat16"])).precision == "bfloat16"
    assert tool.settings_of(tool.parser().parse_args([])).precision == "float32"
    with pytest.raises(SystemExit):
        tool.main(["--what", "inference", "--precision", "bfloat16"])
    assert "is for --what train" in capsys.readouterr().err


def test_inference_counts_images_and_detections():
    report = benchmark_inference(TINY)
    whole, network = (row[1].median for row in report.rows)
    assert report.facts["images per second"] == pytest.approx(1e3 / whole)
    assert whole > network * 0.5  # the part is not longer than the whole, up to noise
    assert report.facts["detections kept"] > 0
    gflop = report.facts["operations of one image, GFLOP"]
    peak = next(value for name, value in report.facts.items() if name.startswith("peak ("))
    assert report.facts["share of the peak, jld, %"] == pytest.approx(100 * gflop / (whole / 1e3) / peak)


def test_assignment_has_two_rows_per_number_of_objects():
    report = benchmark_assignment(TINY, object_counts=(2, 9))
    names = ["ATSS, 2 objects, 8 slots", "VLR, 2 objects, 8 slots", "ATSS, 9 objects, 16 slots"]
    assert [row[0] for row in report.rows] == [*names, "VLR, 9 objects, 16 slots"]
    assert report.facts["priors"] == 96 + 24 + 6 + 2 + 1


def test_scores_of_both_backends_are_equal():
    pytest.importorskip("hotcoco")
    report = benchmark_scores(TINY, num_images=4)
    assert [row[0] for row in report.rows] == ["pycocotools", "hotcoco"]
    assert report.rows[0][2] == report.rows[1][2] and float(report.rows[0][2]) > 0
    assert float(report.facts["largest difference of the twelve"]) <= 1e-12


def test_convolution_table():
    shape = Convolution(1, 4, 8, 6, 5, 3, 2)
    assert shape.operations() == 2 * 5 * 4 * 3 * 4 * 9
    report = benchmark_convolutions(TINY, shapes=[shape])
    assert [row[0] for row in report.rows] == [
        f"1x4x8x6 -> 5, 3x3 / 2, {name}" for name in ("jld", "library")
    ]
    (_, forward, speed, ratio, *_), (_, library, *_) = report.rows
    assert speed == pytest.approx(shape.operations() / forward.cpu_median / 1e6)
    assert ratio == pytest.approx(forward.cpu_median / library.cpu_median)
    assert len(report.as_text().splitlines()) == 5


def test_a_rotated_step_is_measured_with_its_own_terms():
    settings = replace(TINY, detector="rotated", num_classes=3)
    batch = random_batch(settings)
    assert batch["boxes"].shape == (1, 8, 5) and batch["boxes"][0, :3, 4].min() > 0
    distiller = make_distiller(settings, make_student(settings))
    kinds = [type(term).__name__ for term in distiller.terms]
    assert kinds == ["LocalizationKD", "ClassificationKD"]
    assert {term.region for term in distiller.terms} == {"rotated_ld_released"}
    assert settings.pair() == "rotated RetinaNet R-18 from R-18"


SMALL = RotatedSizes(
    gts=30, anchors=500, assigned=10, assigned_px=64, nms_boxes=200, images=1, image_px=1100, objects=40,
    detections=2000,
)  # fmt: skip


def test_rotated_tasks_agree_with_plain_loops(python_without_torch):
    report = benchmark_rotated(replace(TINY, steps=1), PeerTools(python_without_torch), SMALL)
    tasks = ["IoU", "max-IoU", "NMS", "splitting", "merging", "evaluating"]
    assert [row[0].split()[0] for row in report.rows] == tasks
    assert {row[2] for row in report.rows} == {"plain loops"}
    for _, ours, _, theirs, ratio, cpu_ratio in report.rows:
        assert ratio == pytest.approx(theirs.median / ours.median)
        assert cpu_ratio == pytest.approx(theirs.cpu_median / ours.cpu_median)
    facts = report.facts
    assert facts["IoU: largest difference from plain loops"] < 1e-6
    pairs = [value.split(", ") for name, value in facts.items() if name.endswith("of plain loops")]
    pairs += [value.split(", ") for name, value in facts.items() if name.endswith("by plain loops")]
    assert len(pairs) == 4 and all(ours == plain for ours, plain in pairs)


def test_rotated_competitors_are_run_where_they_are(tmp_path):
    """A splitter, a merger and an evaluator with the public tools' names and arguments."""
    (tmp_path / "tools/data/dota/split").mkdir(parents=True)
    (tmp_path / "tools/data/dota/split/img_split.py").write_text(
        "import pathlib, sys\n"
        "def main():\n    (pathlib.Path(sys.argv[sys.argv.index('--save-dir') + 1])).mkdir()\n"
    )
    (tmp_path / "ResultMerge_multi_process.py").write_text(
        "import pathlib\npy_cpu_nms_poly_fast = None\n"
        "def mergebase(source, target, nms):\n"
        "    assert len(list(pathlib.Path(source).iterdir())) == 15 and pathlib.Path(target).is_dir()\n"
    )
    (tmp_path / "dota_evaluation_task1.py").write_text(
        "import pathlib\ndef voc_eval(found, labels, images, name, ovthresh, use_07_metric):\n"
        "    for image in pathlib.Path(images).read_text().split():\n"
        "        assert len(pathlib.Path(labels.format(image)).read_text().split()) == 600\n"
        "    assert pathlib.Path(found.format(name)).is_file()\n"
    )
    tools = PeerTools(devkit=tmp_path, mmrotate=tmp_path)
    source = tmp_path / "source"
    assert run_mmrotate(tools, source, tmp_path / "patches", 1024, 200)["mmRotate"].median >= 0
    assert (tmp_path / "patches").is_dir()
    found, truths = detections_and_truths(SMALL)
    for task, arguments in (("merge", (found,)), ("evaluate", (found, truths))):
        (tmp_path / task).mkdir()
        assert list(run_devkit(tools, task, tmp_path / task, *arguments)) == ["DOTA_devkit"]
    assert run_devkit(PeerTools(), "merge", tmp_path, found) == {}
    assert run_mmrotate(PeerTools(), source, tmp_path, 1024, 200) == {}


def test_without_torch_there_is_no_ratio(python_without_torch):
    report = benchmark_networks(TINY, Duel(python_without_torch))
    assert report.facts == {"peer": "torch is not installed: no ratio"}
    assert [len(row) for row in report.rows] == [2, 2]


def test_the_peer_is_told_the_sizes_and_divides(fake_torch, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    student = make_student(TINY)
    with open_peers(TINY, Duel(fake_torch), student, None, random_batch(TINY)) as peers:
        given = peers["torch"].about.pop("given")
        assert list(peers) == ["torch"]
        assert peer_facts(Duel(fake_torch), peers) == {
            "peer": "torch 1, 3 threads",
            "peak memory of torch, host, MiB": 7.0,
        }
    assert (given["width"], given["student_depth"], given["device"]) == (96, 18, "cpu")
    assert (given["threads"], given["channels_last"], given["precision"]) == (3, False, "float32")
    assert (given["compiled"], given["product_side"]) == (False, 64)
    monkeypatch.setattr(networks, "measure", lambda function, count, warmup: _same(6, 0.5))
    report = benchmark_networks(TINY, Duel(fake_torch, channels_last=True))
    assert [row[3:] for row in report.rows] == [(3.0, 0.5), (3.0, 0.5)]
    assert report.facts["peer"].startswith("torch 1, 3 threads")


def test_nobody_is_asked_without_torch_or_for_a_rotated_detector(python_without_torch, fake_torch):
    rotated = replace(TINY, detector="rotated")
    for settings, duel in (
        (TINY, Duel()),
        (TINY, Duel(python_without_torch)),
        (rotated, Duel(fake_torch)),
    ):
        with open_peers(settings, duel, None, None, {}) as peers:
            assert peers == {}


def test_a_peer_that_fails_is_named(fake_torch, tmp_path):
    with pytest.raises(JldError, match="ended with code 3"):
        with open_peers(replace(TINY, boxes=99), Duel(fake_torch), None, None, {}):
            pass
    with open_peers(TINY, Duel(fake_torch), None, None, {}) as peers:
        for _ in range(3):  # again and again, and the way out is free
            with pytest.raises(JldError, match="ended with code 4"):
                peers["torch"].ask("die")
    with pytest.raises(JldError, match="cannot be started"):
        has_module(str(tmp_path / "missing"))


class _Peer:
    def __init__(self, log):
        self.log = log

    def times(self, task, count):
        self.log.append(("torch", task, count))
        return {task: Timing((4.0,) * count, (2.0,) * count)}


def test_both_are_measured_in_turn():
    log = []

    def task(count):
        log.append(("jld", "a", count))
        return {"a": Timing((1.0,) * count, (3.0,) * count)}

    settings = replace(TINY, steps=WINDOW + 2, warmup=1)
    sides = alternate({"a": task}, {"torch": _Peer(log)}, settings)
    turns = [("jld", 1), ("torch", 1), ("jld", WINDOW), ("torch", WINDOW), ("jld", 2), ("torch", 2)]
    assert log == [(side, "a", count) for side, count in turns]
    assert sides[JLD]["a"].milliseconds == (1.0,) * settings.steps
    assert sides["torch"]["a"].cpu_milliseconds == (2.0,) * settings.steps
    assert alternate({"a": task}, {}, settings, warm=("a",)).keys() == {JLD}


def test_a_busy_row_is_compared_with_the_quiet_one():
    sides = {JLD: {"step": _same(10, 1)}, "torch": {"step": _same(2, 1)}, "torch.compile": {}}
    failed = SimpleNamespace(times=lambda task, count: {})
    row, facts = add_busy_row(
        sides,
        "step",
        lambda count: {"step": _same(30, 1)},
        {"torch": _Peer([]), "torch.compile": failed},
        replace(TINY, steps=1),
    )
    assert (row, sides[JLD][row].median, sides["torch"][row].median) == ("step, busy cores", 30.0, 4.0)
    assert list(facts.values()) == [3.0, 2.0] and sides["torch.compile"] == {}


def test_side_by_side_divides_jld_by_torch():
    ours, theirs = {"a": _same(6, 2), "b": _same(1, 1)}, {"a": _same(3, 4), "b": _same(1, 1)}
    table = side_by_side({JLD: ours, "torch": theirs}, {"a": "first"})
    assert table["rows"] == [("first", ours["a"], theirs["a"], 2.0, 0.5)]
    assert table["columns"][-2:] == ("jld / torch", "in CPU time")
    alone = side_by_side({JLD: ours}, {"b": "b"})
    assert alone == {"columns": ("", *TIMING_COLUMNS), "rows": [("b", ours["b"])]}
    assert side_by_side({JLD: ours, "torch": {"a": _same(3, 4)}}, {"b": "b"}) == alone  # it lacks the row


def test_two_peers_and_the_faster_of_them_in_every_row():
    ours = {"a": _same(6, 6), "b": _same(6, 6)}
    eager, compiled = {"a": _same(2, 1), "b": _same(3, 4)}, {"a": _same(4, 3), "b": _same(1, 2)}
    sides = {JLD: ours, "torch": eager, "torch.compile": compiled}
    table = side_by_side(sides, {"a": "a", "b": "b"})
    assert [row[4:] for row in table["rows"]] == [(3, 6, 1.5, 2, 3, 6), (2, 1.5, 6, 3, 6, 3)]
    ratios = [f"jld / {rival}" for rival in ("torch", "torch.compile", "the faster")]
    assert table["columns"][-6::2] == tuple(ratios)
    assert table["columns"][7] == "torch.compile median ms"


def test_a_compiler_that_fails_is_a_sentence_of_the_table(fake_torch):
    report = benchmark_networks(TINY, Duel(fake_torch, compiled=True))
    assert report.columns[-2:] == ("jld / torch", "in CPU time")
    assert [len(row) for row in report.rows] == [5, 5]
    failure = "torch.compile failed, so there is no ratio to it: no compiler"
    assert report.facts["peer, torch.compile"] == failure
    facts = benchmark_inference(TINY, Duel(fake_torch, compiled=True)).facts
    assert facts["detections kept by torch"] == 9 and "share of the peak, torch, %" in facts
    assert not any("torch.compile, " in name for name in facts)


def test_the_share_of_the_peak_is_of_the_best_product(monkeypatch):
    times = Timing((4.0, 2.0, 8.0), (3.0, 5.0, 6.0))
    monkeypatch.setattr(peak, "measure", lambda function, steps, warmup: times)
    product = Timing((1.0, 9.0), (4.0, 9.0))
    torch = SimpleNamespace(times=lambda task, count: {task: product})
    sides = {JLD: {"step": _same(10, 20)}, "torch": {"step": _same(20, 40)}, "torch.compile": {}}
    facts = peak_facts("step", 64**3, "all", sides, {"torch": torch})
    peak_gflops, gflop, *shares_found = list(facts.values())[:-1]
    assert (peak_gflops, gflop) == pytest.approx((2 * 64**3 / 1e6, 64**3 / 1e9))
    # Half the product's operations in 10 times its milliseconds; in CPU time NumPy's best is 3 ms.
    assert shares_found == pytest.approx([100 / 2 / 10, 100 / 2 * 3 / 20, 100 / 2 / 20, 100 / 2 * 3 / 40])
    assert "torch)" in next(iter(facts))
    facts = peak_facts("step", 64**3, "all", sides, {})
    assert "NumPy)" in next(iter(facts)) and next(iter(facts.values())) == pytest.approx(2 * 64**3 / 2e6)


def test_busy_loops_run_inside_the_block_only():
    def children():
        return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())

    before = children()
    with busy_cores() as count:
        assert count == len(os.sched_getaffinity(0))
        assert len(children() - before) == count
    assert children() <= before


def test_disagreement_is_a_share_of_the_total():
    assert disagreement({"loss": 4.0, "other": 1.0, "total": 9.0}, {"loss": 3.0, "other": 1.0}) == 0.25


def test_machine_report_names_versions_and_load():
    machine = machine_report()
    assert re.match(r"jittor 1\.\d+\.\d+\.\d+, oneDNN (\d+\.\d+|None)", machine["versions"])
    assert machine["device"] == "cpu"
    assert loaded_kernels(since=float("inf")) == 0


def test_flags_fill_the_settings():
    def settings(*flags):
        return tool.settings_of(tool.parser().parse_args(flags))

    assert settings() == Settings()
    assert settings("--what", "assign") == Settings(height=800, width=1344)
    assert settings("--what=assign", "--height=64").height == 64
    assert settings("--what=methods").pair() == "GFL R-50 from R-101"
    assert settings("--teacher-depth=101", "--batch=4") == Settings(teacher_depth=101, batch=4)


def test_detectors_of_the_flags_are_those_of_the_scene(capsys):
    assert set(tool.DETECTORS) == set(TITLES)
    assert set(tool.WITHOUT_PEER) == set(TITLES) - set(peer.NEEDS)
    for flags in (["--what=inference", "--detector=faster_rcnn"], ["--detector=mask_rcnn", "--peer-compile"]):
        with pytest.raises(SystemExit):
            tool.main(flags)
    assert "is for --what train" in (said := capsys.readouterr().err) and "is for gfl" in said


def test_flags_name_the_peer():
    def duel(*flags):
        return tool.duel_of(tool.parser().parse_args(flags))

    assert duel() == Duel(sys.executable)
    assert duel("--no-peer", "--shared") == Duel(None, shared=True)
    assert duel("--peer-compile") == Duel(sys.executable, compiled=True)
    assert duel("--detector=rotated") == Duel(None)
    assert duel("--peer-python=p", "--peer-memory-format=channels_last") == Duel("p", channels_last=True)
    assert duel("--peer-memory-format=contiguous").channels_last is False


def test_the_program_prints_and_writes(tmp_path, capsys):
    file = tmp_path / "result.json"
    sizes = ["--height=64", "--width=96", "--steps=1", "--warmup=1", "--boxes=3"]
    assert tool.main(["--what=assign", *sizes, f"--json={file}"]) == 0
    printed = capsys.readouterr().out
    assert "ATSS, 20 objects" in printed and "load" in printed
    written = json.loads(file.read_text())
    assert written["reports"][0]["title"].startswith("assignment")
    assert written["machine"]["command"]
