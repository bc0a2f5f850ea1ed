"""What LGD's files hold beside the student, and the teacher among it."""

import numpy as np
import pytest

from jld.checkpoint.names import student_part
from jld.checkpoint.names.lgd import painter_part
from tests.golden_cases import case

STUDENT = (
    "student.raw_backbone.stem.conv1.weight",
    "student.backbone.fpn_lateral3.weight",
    "student.fpn.fpn_lateral3.weight",
    "student.head.cls_score.bias",
)
ATTENTION = {"in_proj_weight": (768, 256), "in_proj_bias": (768,)}


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "num_parameters"), [("l_teacher_ctx", 8_304_336), ("l_teacher_mask_ctx", 11_043_289)]
)
def test_the_teacher_is_found_whole_and_the_student_alone(name, num_parameters):
    shapes = dict(case(name)[0]["params"]["teacher"]["shapes"])
    shapes |= {f"teacher.multi_head_attn.{key}": shape for key, shape in ATTENTION.items()}
    beside = ["adapter.distill.adapter.0.weight", *shapes]
    state = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    state |= {key: np.zeros(1, np.float32) for key in (*STUDENT, beside[0])}
    painter = painter_part(state)
    assert len(painter) == 52 and sum(values.size for values in painter.values()) == num_parameters
    assert {key.split(".")[0] for key in painter} == {
        "encoder",
        "value_proj",
        "appearance",
        "attention",
        "mapper",
    }
    assert painter["encoder.conv4.weight"].shape == (256, 1088)
    student, dropped = student_part(state)
    assert set(student) == {key.removeprefix("student.") for key in STUDENT}
    assert set(dropped) == set(beside) and "teacher" in dropped["teacher.local_inst_proj_1D.bias"]
