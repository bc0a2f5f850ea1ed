"""JDet's own top-level keys keep their meaning in every config, and are gone afterwards."""

import pytest

from jld.config import load_config, prepare_config
from jld.config.jdet.keys import CLASS_IOU, UNSERVED, translate_keys
from jld.errors import ConfigError
from tests.config.jdet_texts import write_jdet_config

IDLE = "amp = False\nparameter_groups_generator = None\n"


def test_keys_that_ask_for_nothing_are_dropped(write):
    config = load_config(write("a.py", f"{IDLE}seed = 3"))
    assert config == {"seed": 3, "name": "a", "work_dir": "work_dirs/a"}


@pytest.mark.parametrize("kind", [1, 2])
def test_the_type_of_merging_becomes_a_table(write, kind):
    config = load_config(write("a.py", f"merge_nms_threshold_type = {kind}"))
    assert config.merge_iou_threshold == CLASS_IOU and config.merge_iou_threshold["ship"] == 0.2
    assert "merge_nms_threshold_type" not in config


def test_the_type_of_merging_wins_over_what_was_there():
    both = {"merge_iou_threshold": 0.3, "merge_nms_threshold_type": 0}
    assert translate_keys(both) == {"merge_iou_threshold": None}
    assert translate_keys({"merge_iou_threshold": 0.3}) == {"merge_iou_threshold": 0.3}


@pytest.mark.parametrize("ours", ["merge_nms_threshold_type = 0", "merge_iou_threshold = 0.3"])
@pytest.mark.parametrize("theirs", ["merge_nms_threshold_type = 1", "merge_iou_threshold = 0.5"])
def test_the_later_file_wins_under_either_name(write, caplog, ours, theirs):
    write("base.py", theirs)
    config = load_config(write("a.py", f"_base_ = 'base.py'\n{ours}"))
    assert config.merge_iou_threshold == (0.3 if "0.3" in ours else None) and not caplog.records
    assert "merge_nms_threshold_type" not in config


@pytest.mark.parametrize(("kind", "threshold"), [(0, 0.3), (1, 0.3), (2, {"ship": 0.3})])
def test_two_thresholds_in_one_file_are_not_passed_over_in_silence(write, caplog, kind, threshold):
    text = f"merge_iou_threshold = {threshold}\nmerge_nms_threshold_type = {kind}"
    assert load_config(write("a.py", text)).merge_iou_threshold == (CLASS_IOU if kind else None)
    assert f"a.py: merge_nms_threshold_type={kind} wins over merge_iou_threshold" in caplog.text


@pytest.mark.parametrize("value", [3, True, 1.0, "1", None])
def test_what_is_no_type_stays_for_the_validation(value):
    assert translate_keys({"merge_nms_threshold_type": value}) == {"merge_nms_threshold_type": value}


def test_the_given_config_is_left_as_it_was():
    given = {"amp": False, "merge_nms_threshold_type": 1}
    translate_keys(given)
    assert given == {"amp": False, "merge_nms_threshold_type": 1}


@pytest.mark.usefixtures("toy_parts")
def test_overrides_are_translated_too(valid_file):
    assert prepare_config(valid_file).merge_iou_threshold == CLASS_IOU
    assert prepare_config(valid_file, ["merge_nms_threshold_type=0"]).merge_iou_threshold is None
    assert not set(UNSERVED) & set(prepare_config(valid_file, ["amp=false"]))
    with pytest.raises(ConfigError, match="amp: True is not served here: write precision='bfloat16'"):
        prepare_config(valid_file, ["amp=true"])


def test_a_jdet_config_may_hold_them(tmp_path):
    path = write_jdet_config(tmp_path, "plain", tail=f"{IDLE}merge_nms_threshold_type = 2\n")
    config = load_config(path)
    assert config.merge_iou_threshold == CLASS_IOU and not set(UNSERVED) & set(config)
