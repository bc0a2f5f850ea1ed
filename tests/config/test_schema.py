from typing import get_args

import pytest

from jld.config import TOP_LEVEL, Config, describe_schema, fill_defaults
from jld.config.annotations import fits
from jld.config.schema import (
    AUTO_SCALE_KEYS,
    DATASET_KEYS,
    DISTILL_KEYS,
    LESSON_KEYS,
    LOADER_KEYS,
    REQUIRED,
    Precision,
)
from jld.ops.precision import PRECISIONS

EXPECTED = """
    model dataset optimizer scheduler logger max_epoch max_iter eval_interval checkpoint_interval
    checkpoint_iters keep_checkpoints log_interval work_dir name pretrained_weights
    pretrained_classes resume_path flip_test scale_test merge_iou_threshold distill seed imports ema
    accumulate_steps auto_scale_lr published precision hooks best_metric schedule_factor
"""


def test_the_top_level_keys():
    assert {key.name for key in TOP_LEVEL} == set(EXPECTED.split())


@pytest.mark.parametrize(
    "keys", [TOP_LEVEL, DATASET_KEYS, LOADER_KEYS, DISTILL_KEYS, LESSON_KEYS, AUTO_SCALE_KEYS]
)
def test_tables_are_consistent(keys):
    names = [key.name for key in keys]
    assert len(names) == len(set(names))
    for key in keys:
        assert key.default is REQUIRED or fits(key.default, key.kind), key.name
        assert key.meaning and not key.meaning.endswith(".")


def test_precisions_are_those_of_the_operator():
    assert get_args(Precision) == PRECISIONS


def test_the_description_shows_every_key(toy_parts):
    text = describe_schema()
    for key in (*TOP_LEVEL, *DATASET_KEYS, *LOADER_KEYS, *DISTILL_KEYS, *AUTO_SCALE_KEYS):
        assert f"| `{key.name}` |" in text and key.meaning in text
    assert "| `seed` | int | `0` |" in text


def test_the_description_reads_constructors_where_the_type_may_be_left_out(toy_parts):
    text = describe_schema().split("### `schedule` of type TermSchedule\n")[1].split("###")[0]
    assert "| `start` | int | `0` | its first step |\n" in text
    assert "| `decay` | 'constant' or 'linear' | `'constant'` | its end |" in text
    assert "### `ema` of type EMAHook\n" in describe_schema()


def test_defaults_fill_what_is_missing_and_nothing_else():
    given = Config(
        {"model": {"type": "X"}, "log_interval": 7, "max_iter": None, "name": "run", "work_dir": "out"}
    )
    filled = fill_defaults(given)
    assert filled.log_interval == 7 and filled.work_dir == "out" and filled.accumulate_steps == 1
    assert filled.dataset == {"train": None, "val": None, "test": None}
    assert filled.distill is None and filled.seed == 0
    assert set(filled) == set(EXPECTED.split())
    assert "seed" not in given


def test_the_teacher_is_frozen_by_default():
    filled = fill_defaults({"distill": {"teacher": {"config": "a.py"}}})
    assert filled.distill.teacher == {"config": "a.py", "type": "FrozenTeacher"}
    assert filled.distill.regions is None
    own = fill_defaults({"distill": {"teacher": {"type": "SelfTeacher"}}})
    assert own.distill.teacher.type == "SelfTeacher"


def test_the_average_and_the_scaling_have_defaults_too():
    filled = fill_defaults({"ema": {"decay": 0.9}, "auto_scale_lr": {}})
    assert filled.ema == {"type": "EMAHook", "decay": 0.9}
    assert filled.auto_scale_lr == {"base_batch_size": 16}


def test_defaults_are_not_shared_between_configs():
    first, second = fill_defaults({}), fill_defaults({})
    first.dataset.train = {"type": "X"}
    assert second.dataset.train is None
