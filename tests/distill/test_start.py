"""Students that start from parts of their teacher."""

import dataclasses

import numpy as np
import pytest

from jld.config import Config, fill_defaults, load_config
from jld.distill import Distiller, build_distiller
from jld.distill.start import init_from_teacher
from jld.errors import ConfigError
from jld.runner import runner
from tests.distill import test_distiller as tiny

weights, teacher_file = tiny.weights, tiny.teacher_file


@pytest.fixture(scope="module", autouse=True)
def parts():
    tiny.register_parts()


def test_the_named_modules_are_the_teachers_and_go_on_learning(weights, teacher_file):
    student = tiny.new_student(weights)
    distiller = tiny.distilled(student, teacher_file)
    trainable = {name for name, var in student.named_parameters() if not var.is_stop_grad()}
    said = init_from_teacher(student, distiller, ["neck", "bbox_head"])
    copied = 0
    for name, values in tiny.model_arrays(student).items():
        is_copied = name.startswith(("neck.", "bbox_head."))
        np.testing.assert_array_equal(values, weights[is_copied][name], err_msg=name)
        copied += is_copied
    assert said.startswith(f"the student starts from its teacher's neck and bbox_head ({copied} arrays)")
    assert {name for name, var in student.named_parameters() if not var.is_stop_grad()} == trainable
    theirs = distiller.teacher.detector.bbox_head.gfl_cls.weight
    student.bbox_head.gfl_cls.weight.assign(student.bbox_head.gfl_cls.weight * 0)
    assert theirs.numpy().any(), "the teacher keeps its own"


def test_what_does_not_fit_is_named_and_nothing_is_copied(weights, teacher_file, tmp_path):
    student = tiny.new_student(weights)
    distiller = tiny.distilled(student, teacher_file)
    with pytest.raises(ConfigError, match=r"no module 'bbox_heads': did you mean 'bbox_head'"):
        init_from_teacher(student, distiller, ["neck", "bbox_heads"])

    wide = tiny.tiny_config()
    wide.model.bbox_head.update(stacked_convs=2)
    teacher = tiny.filled_teacher(wide, tmp_path / "deep.safetensors", 3)
    deep = build_distiller({"teacher": teacher, "terms": tiny.TERMS}, student)
    with pytest.raises(ConfigError, match=r"the student has no bbox_head\.cls_convs\.1\.conv\.weight"):
        init_from_teacher(student, deep, ["neck", "bbox_head"])

    wide = tiny.tiny_config()
    wide.model.backbone.update(base_channels=16)
    wide.model.neck.update(in_channels=[16, 32, 64, 128])
    teacher = tiny.filled_teacher(wide, tmp_path / "wide.safetensors", 3)
    wider = build_distiller({"teacher": teacher, "terms": tiny.TERMS}, student)
    said = r"neck\.lateral_convs\.0\.conv\.weight has the shape \(16, 16, 1, 1\) in the student and \(16, 32,"
    with pytest.raises(ConfigError, match=said):
        init_from_teacher(student, wider, ["bbox_head", "neck"])
    for name, values in tiny.model_arrays(student).items():
        np.testing.assert_array_equal(values, weights[0][name], err_msg=name)


def test_classes_in_another_order_keep_their_last_layer(weights, teacher_file):
    student = tiny.new_student(weights)
    distiller = tiny.distilled(student, teacher_file)
    student.classes, distiller.teacher.detector.classes = tuple("abcde"), tuple("badce")
    with pytest.raises(ConfigError, match="classes in another order"):
        init_from_teacher(student, distiller, ["bbox_head"])
    assert "teacher's neck (" in init_from_teacher(student, distiller, ["neck"])


def test_one_teacher_is_needed(weights, teacher_file):
    student = tiny.new_student(weights)
    one = tiny.distilled(student, teacher_file)
    lessons = [
        dataclasses.replace(one.lessons[0], teacher="first"),
        dataclasses.replace(one.lessons[1], teacher="second"),
    ]
    two = Distiller({"first": one.teacher, "second": one.teacher}, lessons, one.regions)
    with pytest.raises(ConfigError, match="copies from a single FrozenTeacher"):
        init_from_teacher(student, two, ["neck"])


@pytest.mark.parametrize("resumed", [False, True], ids=["a new run", "a resumed run"])
def test_a_run_starts_so_unless_it_resumes(resumed, weights, teacher_file, tmp_path, monkeypatch, caplog):
    """What stands in the loop when training would begin."""
    base = load_config(tiny.ROOT / "configs/quick_start/gfl_student.py")
    config = fill_defaults(
        Config(
            {
                **base,
                "model": tiny.tiny_config().model,
                "work_dir": str(tmp_path / "run"),
                "resume_path": str(tmp_path / "last.pkl") if resumed else None,
                "distill": {
                    "teacher": {"config": tiny.tiny_config(), "checkpoint": teacher_file},
                    "terms": tiny.TERMS,
                    "init_from_teacher": ["neck"],
                },
            }
        )
    )
    monkeypatch.setattr(runner.parts, "agree_on_classes", lambda datasets, weights, log: datasets)
    monkeypatch.setattr(runner.parts, "account_of", lambda *_: {"fingerprint": None})
    monkeypatch.setattr(runner.Runner, "_new_detector", lambda self, dataset: tiny.new_student(weights))
    monkeypatch.setattr(runner.Runner, "_train", lambda self, loop, *_: tiny.model_arrays(loop.detector))
    runs = runner.Runner(config)
    monkeypatch.setattr(runs.log, "propagate", True)
    with caplog.at_level("INFO"):
        arrays = runs.train()
    for name, values in arrays.items():
        is_copied = name.startswith("neck.") and not resumed
        np.testing.assert_array_equal(values, weights[is_copied][name], err_msg=name)
    assert ("the student starts from its teacher's neck" in caplog.text) == (not resumed)
