"""Every config that ships: it loads, is valid, says what it reproduces, and builds when shrunk to a toy.

Nothing is evaluated here, so Jittor compiles nothing. The sizes of the full models are compared with the
published checkpoints in tests/models/test_parameters.py.
"""

import ast
import functools
import json
import re
from pathlib import Path

import pytest

from jld.apis import register_parts
from jld.config import Config, fill_defaults, load_config, named_sections, to_plain, validate_config
from jld.distill import build_distiller
from jld.evaluation import published_row, published_rows
from jld.models import InputStatistics, build_detector
from jld.registry import DETECTORS
from jld.runner.checks import check_promises
from jld.runner.parts import build_schedule

ROOT = Path(__file__).resolve().parent.parent
LEAVES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("configs/**/*.py", "projects/*/configs/**/*.py")
    for path in ROOT.glob(pattern)
    if not {"_base_", "preprocess"} & set(path.parts)
)
TABLES = (
    "COCO Main LD table",
    "Self-LD table",
    "logit mimicking against feature imitation",
    "VOC table",
    "model zoo of its LD port",
    "GFL model zoo",
)
SPLITS = ("val2017", "test2007")  # test-dev is the same training, scored elsewhere
SHRINK = 8
TOY_DEPTH = {18: 18, 34: 18, 50: 50, 101: 50, 152: 50}


@pytest.fixture(scope="module", autouse=True)
def parts():
    register_parts()


@functools.cache
def load(leaf):
    return load_config(ROOT / leaf)


DISTILLED = [leaf for leaf in LEAVES if load(leaf).get("distill")]


def header(leaf):
    """The config's docstring on one line."""
    return " ".join((ast.get_docstring(ast.parse((ROOT / leaf).read_text())) or "").split())


def claim(leaf):
    """What the header says was published."""
    return re.search(r"Published: (.+?) Measured with jld: (.+)", header(leaf))


def is_rotated(leaf):
    return load(leaf).model.type.startswith("Rotated")


def shrunk(model):
    """The same kinds of parts with few channels and blocks, without a weights file."""
    model = to_plain(model)
    backbone, neck = model["backbone"], model["neck"]
    if backbone["type"] == "SwinTransformer":
        narrower = SHRINK
        backbone.update(depths=[2, 2, 2, 2], embed_dims=backbone["embed_dims"] // narrower, pretrained=None)
    else:
        narrower = SHRINK if backbone.get("base_channels", 64) == 64 else 1
        backbone.update(
            depth=TOY_DEPTH[backbone["depth"]],
            base_channels=backbone.get("base_channels", 64) // narrower,
            pretrained=None,
        )
    if backbone.get("groups", 1) > 1:
        backbone.update(groups=2, base_width=32)  # the width of a group must stay a whole number
    neck.update(in_channels=[width // narrower for width in neck["in_channels"]], out_channels=32)
    model.get("rpn_head", model.get("bbox_head")).update(in_channels=32, feat_channels=32)
    if "roi_head" in model:
        model["roi_head"]["bbox_head"].update(in_channels=32, fc_out_channels=32)
        if "mask_head" in model["roi_head"]:
            model["roi_head"]["mask_head"].update(in_channels=32, conv_out_channels=32)
    return model


@functools.cache
def built(text):
    return build_detector(json.loads(text))


def toy(leaf):
    """The shrunk detector of a config; configs with the same model share it."""
    return built(json.dumps(shrunk(load(leaf)["model"]), sort_keys=True))


def test_every_row_of_the_main_tables_has_one_config():
    claimed = [row for leaf in LEAVES if (row := (load(leaf).get("published") or {}).get("row"))]
    wanted = {
        row.id for row in published_rows().values() if row.source.endswith(TABLES) and row.split in SPLITS
    }
    # The baselines of the self-LD table are those of the first table.
    wanted -= {"ld-coco-self-r18-baseline", "ld-coco-self-r50-baseline"}
    assert len(wanted) > 25 and wanted <= set(claimed), sorted(wanted - set(claimed))
    assert len(claimed) == len(set(claimed)), "two configs claim one row"


@pytest.mark.parametrize("leaf", LEAVES)
def test_loads_and_is_valid(leaf):
    config = load(leaf)
    assert validate_config(config) == []
    check_promises(fill_defaults(config))
    if config.get("scheduler"):
        build_schedule(config)


@pytest.mark.parametrize("leaf", LEAVES)
def test_header_names_its_command_and_scores(leaf):
    text = header(leaf)
    command = re.search(r"Command: python tools/run_net\.py --config-file=(\S+) --task=train\b", text)
    assert command and command.group(1) == leaf, "the command must be the one that trains this file"
    assert claim(leaf), "the header needs `Published: ... Measured with jld: ...`"
    summary = text.split("Command:")[0]
    assert len(summary) > 20, "the header must start with what the file reproduces"


@pytest.mark.parametrize("leaf", LEAVES)
def test_published_scores_are_those_of_the_row(leaf):
    config, said = load(leaf), claim(leaf).group(1)
    scores = {name: float(value) for name, value in re.findall(r"\b(AP\d*) (\d+\.\d)", said)}
    row = (config.get("published") or {}).get("row")
    if row is None:
        assert not scores, "a score is claimed, but `published` names no row"
        return
    published = published_row(row)
    assert scores and scores == {name: published.metrics.get(name) for name in scores}
    assert (published.teacher is not None) == ("distill" in config)


@pytest.mark.parametrize("leaf", LEAVES)
def test_lr_follows_the_images_of_a_step(leaf):
    """The published rule of rows: 0.01 for 16 images, of two stages 0.02, rotated 0.0025 for 2."""
    config = load(leaf)
    per_image = 0.0025 / 2 if is_rotated(leaf) else (0.02 if "roi_head" in config.model else 0.01) / 16
    if (config.get("published") or {}).get("row"):
        for optimizer in named_sections("optimizer", config.optimizer).values():
            if optimizer.type == "SGD":
                assert optimizer.lr == pytest.approx(per_image * config.dataset.train.batch_size)


@pytest.mark.parametrize("leaf", LEAVES)
def test_builds_when_shrunk(leaf):
    config, detector = load(leaf), toy(leaf)
    assert type(detector) is DETECTORS.get(config.model.type)
    assert len(list(detector.parameters())) > 100
    num_classes = detector.interface.num_classes
    named = config.dataset.train.get("classes") or config.dataset.train.get("kinds") or ()
    assert num_classes == len(named) or num_classes in (4, 5, 15, 20, 80)


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if "/rotated/" in leaf])
def test_angles_of_model_and_data_are_of_one_version(leaf):
    config = load(leaf)
    versions = {section.angle_version for section in (config.dataset.train, config.dataset.val)}
    assert versions == {config.model.bbox_head.box_coder.angle_version}


@pytest.mark.parametrize("leaf", DISTILLED)
def test_teacher_suits_the_student(leaf):
    config = load(leaf)
    section = to_plain(config.distill)
    several = {name: toy_teacher(teacher) for name, teacher in section.get("teachers", {}).items()}
    student = toy(leaf)
    student.normalisation = InputStatistics.from_config(config)
    section |= {"teacher": toy_teacher(section["teacher"]), "teachers": several}
    distiller = build_distiller(section, student)
    assert [term.weight > 0 for term in distiller.terms] == [True] * len(config.distill.terms)


def toy_teacher(teacher):
    """The section of a shrunk teacher; one without a config of its own is made of the student."""
    if "config" not in teacher:
        return teacher
    assert (ROOT / teacher["config"]).is_file(), f"there is no teacher config {teacher['config']}"
    assert teacher["checkpoint"], "a distilled row names the weights of its teacher"
    config = load(teacher["config"])
    # Teacher and student see the same pixels, or the teacher re-normalises: never an unknown third thing.
    assert InputStatistics.from_config(config) is not None
    return {"config": Config({**config, "model": shrunk(config["model"])}), "checkpoint": None}


@pytest.mark.parametrize("leaf", DISTILLED)
def test_student_is_the_plain_one(leaf):
    """A distilled config changes nothing of the student but `distill`: the gain is the teacher's."""
    config = load(leaf)
    name = Path(leaf).name
    kinds = "(?:gflv2|gfl|atss|fcos|retinanet|faster_rcnn)(?:_dist)?"
    match = re.match(rf"[a-z]+_({kinds})_([rx]\d+\w*?)(?:_from_\w+?)?_(1x_coco|2x_coco|4e_voc)", name)
    plain = str(Path(leaf).with_name(re.sub(r"^[a-z]+_(imitation_)?", "", name)))  # ld_gfl_student.py
    if match:
        (found,) = ROOT.glob(f"configs/*/{match[1]}_{match[2]}_{match[3]}.py")
        plain = str(found.relative_to(ROOT))
    if name.startswith("lgd") and not (ROOT / plain).is_file():
        (found,) = ROOT.glob(f"configs/*/{re.sub(r'^lgd(ld)?_|_from_r101', '', name)}")
        plain = str(found.relative_to(ROOT))
    elif is_rotated(leaf):
        plain = re.sub(r"ld_(\w+)_(r\d+)_from_r\d+_", r"\1_dist_\2_", name).removeprefix("ld_")
        plain = str(Path(leaf).with_name(plain))
    other = load(plain)
    own, theirs = to_plain(config.model), to_plain(other.model)
    for model in (own, theirs):
        model.get("bbox_head", {}).pop("loss_bbox", None)  # some rows were run with CIoU
    assert own == theirs
    assert to_plain(config.scheduler) == to_plain(other.scheduler)
    for key in ("max_epoch", "max_iter"):
        assert config.get(key) == other.get(key)


@pytest.mark.parametrize(
    "plain, twin",
    [
        ("noisy_gfl_student", "ld_noisy_gfl_student"),
        ("noisy_gfl_student", "ld_imitation_noisy_gfl_student"),
        ("rotated_student", "ld_rotated_student"),
    ],
)
def test_the_quick_starts_students_differ_in_their_distillation_alone(plain, twin):
    plain, taught = (to_plain(load(f"configs/quick_start/{name}.py")) for name in (plain, twin))
    assert taught.pop("distill")["terms"] and "distill" not in plain
    of_file = {key: plain[key] for key in ("name", "work_dir")}
    assert {**taught, **of_file} == plain


TWO_STAGES = [leaf for leaf in DISTILLED if leaf.startswith("projects/two_stage/")]
GUIDED = [leaf for leaf in DISTILLED if leaf.startswith("projects/lgd/")]


@pytest.mark.parametrize("leaf", [*TWO_STAGES, *GUIDED])
def test_students_of_projects_that_compare_differ_from_their_twins_in_distillation_alone(leaf):
    """A label-guided one has a second optimizer, of the same settings, for what its teacher learns."""
    taught = to_plain(load(leaf))
    plain = to_plain(load(re.sub(r"/(lgd|crosskdpkd)_", "/", leaf)))
    assert taught.pop("distill")["terms"] and "distill" not in plain
    if leaf in GUIDED:
        both = taught["optimizer"]
        wanted = {
            "student": dict(match="*", but_not="distill.teacher.*"),
            "teacher": dict(match="distill.teacher.*"),
        }
        assert both == {name: part | plain["optimizer"] for name, part in wanted.items()}
        taught["optimizer"] = plain["optimizer"]
        assert taught.pop("auto_scale_lr") is None
    of_file = {key: plain[key] for key in ("name", "work_dir")}
    assert {**taught, **of_file} == plain


def test_the_quick_starts_ld_is_the_recipe_and_imitation_comes_on_top():
    recipe = to_plain(load_config(ROOT / "configs/_base_/distill/short_schedule.py").distill)["terms"]
    terms = [
        to_plain(load(f"configs/quick_start/{name}_noisy_gfl_student.py").distill)["terms"]
        for name in ("ld", "ld_imitation")
    ]
    assert terms[0] == recipe and terms[1][-1]["type"] == "FeatureImitation"
    assert terms[1][:-1] == [term | {"weight": term["weight"] / 4} for term in recipe]


def test_the_quick_starts_boxes_are_wrong_to_learn_from_and_right_to_be_scored_on():
    student, teacher = (
        load(f"configs/quick_start/noisy_gfl_{name}.py").dataset for name in ("student", "teacher")
    )
    assert student.train.box_noise > 0 and "box_noise" not in student.val and student == teacher
