"""Students that start from parts of their teacher."""

import dataclasses

import numpy as np
import pytest

from jld.distill import Distiller, build_distiller
from jld.distill.start import init_from_teacher
from jld.errors import ConfigError
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
    assert said.startswith(f"neck and bbox_head start from the teacher's weights ({copied} arrays)")
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
    assert "neck start" in init_from_teacher(student, distiller, ["neck"])


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
