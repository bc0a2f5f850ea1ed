"""The student is found behind the prefixes of training frameworks, beside teachers and averages."""

import numpy as np
import pytest

from jld.checkpoint import convert_state, publish_model, read_checkpoint, write_safetensors
from jld.checkpoint.names import detect_origin, student_part

ARRAYS = {
    "backbone.layer1.0.conv1.weight": np.full((2, 2, 1, 1), 1, np.float32),
    "neck.fpn_convs.0.conv.weight": np.full((2, 2, 3, 3), 2, np.float32),
    "bbox_head.gfl_cls.bias": np.full(3, 3, np.float32),
}
SHAPES = {name: values.shape for name, values in ARRAYS.items()}


def behind(prefix, shift=0):
    return {prefix + name: values + shift for name, values in ARRAYS.items()}


PREFIXES = ["", "module.", "model.", "student.", "architecture.", "_orig_mod.", "detector."]


@pytest.mark.parametrize("outer", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("beside", ["teacher.", "teacher_model.", "ema.", "model_ema.", "optimizer_state."])
def test_the_student_is_found(prefix, outer, beside):
    if not outer + prefix and beside == "optimizer_state.":
        pytest.skip("unknown names beside plain ones are left over, and said to be")
    state = behind(outer + prefix) | behind(outer + beside if prefix else beside, 10)
    converted, report = convert_state(state, SHAPES, detect_origin(state))
    assert {name: float(values.flat[0]) for name, values in converted.items()} == {
        name: float(values.flat[0]) for name, values in ARRAYS.items()
    }
    if outer + prefix:
        assert report.is_complete and len(report.dropped) == 3


def test_why_something_is_left_out_is_said():
    _, dropped = student_part(behind("student.") | {"teacher.backbone.a": np.ones(1), "step": np.ones(1)})
    assert dropped["teacher.backbone.a"] == "teacher kept beside the student"
    assert dropped["step"] == "beside the model, which is student.*"


@pytest.mark.parametrize("prefix", ["ema.", "ema_model.module.", "model.model_ema.", "averaged_model."])
def test_an_average_without_a_model_beside_it_is_the_model(prefix):
    part, dropped = student_part(behind(prefix) | {"ema.num_updates": np.ones(1)})
    assert set(part) >= set(ARRAYS) and set(dropped) <= {"ema.num_updates"}


@pytest.mark.parametrize(
    "prefix", ["network.", "lit_model.model.", "models.0.", "_fsdp_wrapped_module.", "model_s."]
)
@pytest.mark.parametrize("beside", ["", "teacher.", "model_ema."])
def test_a_prefix_that_all_parts_share_is_taken_off_whatever_its_name(prefix, beside):
    state = (
        behind(prefix) | {prefix + "step": np.ones(1)} | (behind(f"{prefix}{beside}", 9) if beside else {})
    )
    part, _ = student_part(state)
    assert {name: float(part[name].flat[0]) for name in ARRAYS} == {
        name: float(values.flat[0]) for name, values in ARRAYS.items()
    }


@pytest.mark.parametrize("prefixes", [("teacher.",), ("net_a.", "net_b."), ("encoder_q.", "encoder_k.")])
def test_neither_a_teacher_nor_one_of_two_is_taken_for_the_student(prefixes):
    state = {name: values for prefix in prefixes for name, values in behind(prefix).items()}
    assert student_part(state) == (state, {})


def test_plain_states_stay_as_they_are():
    state = behind("") | {"model.extra": np.ones(1)}
    part, dropped = student_part(state)
    assert part == state and not dropped
    assert student_part({"a.b": 1})[0] == {"a.b": 1} and student_part({}) == ({}, {})


def test_a_wrapped_file_is_published_as_the_student(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", behind("architecture.") | behind("teacher.", 5), {})
    path = publish_model(tmp_path / "a.safetensors", tmp_path / "out" / "m")
    assert set(read_checkpoint(path).state) == set(ARRAYS)
