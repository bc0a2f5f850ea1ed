import sys

import pytest

from jld.config import load_config
from jld.errors import ConfigError

DEFAULTS = {"name", "work_dir"}


def values_of(path):
    return {key: value for key, value in load_config(path).items() if key not in DEFAULTS}


def failure(path):
    with pytest.raises(ConfigError) as error:
        load_config(path)
    return str(error.value)


def test_python_keeps_plain_globals_only(write):
    path = write(
        "run.py",
        '''
        """A header."""
        import os
        from math import sqrt
        from pathlib import Path
        _helper = [1, 2]
        def function(): ...
        class Thing: ...
        lr = 0.01 / 8
        sizes = [*_helper, int(sqrt(9))]
        nothing = None
        ''',
    )
    assert values_of(path) == {"lr": 0.00125, "sizes": [1, 2, 3], "nothing": None}


def test_the_file_name_and_folder_fill_name_and_work_dir(write):
    config = load_config(write("ld_gfl.py", ""))
    assert config.name == "ld_gfl" and config.work_dir == "work_dirs/ld_gfl"
    config = load_config(write("other.py", "name = 'mine'"))
    assert config.name == "mine" and config.work_dir == "work_dirs/mine"
    assert load_config(write("third.py", "work_dir = 'out'")).work_dir == "out"


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_yaml_types_follow_yaml_1_2(write, suffix):
    path = write(
        "run" + suffix,
        """
        lr: 1e-3
        on_off: [no, on, yes, true, False]
        ratio: 1:20
        day: 2021-01-02
        numbers: [07, 0x1F, -3, 1.5, .inf]
        nothing: null
        empty:
        text: "12"
        """,
    )
    assert values_of(path) == {
        "lr": 0.001,
        "on_off": ["no", "on", "yes", True, False],
        "ratio": "1:20",
        "day": "2021-01-02",
        "numbers": [7, 31, -3, 1.5, float("inf")],
        "nothing": None,
        "empty": None,
        "text": "12",
    }


def test_an_empty_file_is_an_empty_config(write):
    assert values_of(write("a.yaml", "")) == {} == values_of(write("a.py", ""))


def test_yaml_anchors_and_merge_keys_work(write):
    path = write("a.yaml", "base: &b {x: 1, y: 2}\nchild: {<<: *b, y: 3}\n")
    assert values_of(path)["child"] == {"x": 1, "y": 3}


def test_inheritance_merges_dicts_and_replaces_lists(write):
    write("_base_/model.py", "model = dict(type='A', neck=dict(outs=5, levels=[1, 2]), head=dict(a=1))")
    write("_base_/run.yml", "max_epoch: 12\nmodel: {head: {a: 2, b: 3}}\n")
    path = write(
        "leaf/run.py",
        "_base_ = ['../_base_/model.py', '../_base_/run.yml']\nmodel = dict(neck=dict(levels=[3]))\n",
    )
    assert values_of(path) == {
        "model": {"type": "A", "neck": {"outs": 5, "levels": [3]}, "head": {"a": 2, "b": 3}},
        "max_epoch": 12,
    }


def test_a_value_replaces_a_dict_and_a_dict_replaces_a_value(write):
    write("base.py", "distill = dict(terms=[1])\nema = None")
    path = write("leaf.py", "_base_ = 'base.py'\ndistill = None\nema = dict(decay=0.9)")
    assert values_of(path) == {"distill": None, "ema": {"decay": 0.9}}


def test_cover_replaces_the_inherited_dict(write):
    write("base.py", "model = dict(backbone=dict(type='ResNet', depth=50), neck=dict(outs=5))")
    path = write("leaf.py", "_base_ = 'base.py'\nmodel = dict(backbone=dict(_cover_=True, type='Swin'))")
    assert values_of(path) == {"model": {"backbone": {"type": "Swin"}, "neck": {"outs": 5}}}


def test_cover_acts_between_sibling_bases(write):
    write("one.py", "model = dict(backbone=dict(type='ResNet', depth=50))")
    write("two.py", "model = dict(backbone=dict(_cover_=True, type='Swin', width=96))")
    path = write("leaf.py", "_base_ = ['one.py', 'two.py']\nmodel = dict(backbone=dict(width=128))")
    assert values_of(path) == {"model": {"backbone": {"type": "Swin", "width": 128}}}


def test_cover_survives_from_a_base_that_inherits_itself(write):
    write("root.py", "model = dict(a=1)")
    write("two.py", "_base_ = 'root.py'\nmodel = dict(_cover_=True, b=2)")
    write("one.py", "model = dict(c=3)")
    assert values_of(write("leaf.py", "_base_ = ['one.py', 'two.py']")) == {"model": {"b": 2}}


def test_cover_false_merges_and_leaves_no_trace(write):
    write("base.py", "model = dict(a=1)")
    path = write("leaf.py", "_base_ = 'base.py'\nmodel = dict(_cover_=False, b=[dict(_cover_=True, c=1)])")
    assert values_of(path) == {"model": {"a": 1, "b": [{"c": 1}]}}


@pytest.mark.parametrize(
    "name", ["os.py", "numpy.py", "v1.2_lr0.01.py", "with space-and-dash.py", "json.yaml"]
)
def test_any_file_name_works_and_python_is_left_alone(write, name):
    path = write(name, "lr = 0.5" if name.endswith(".py") else "lr: 0.5")
    modules, search_path = dict(sys.modules), list(sys.path)
    assert load_config(path).lr == 0.5
    assert sys.modules == modules and sys.path == search_path


def test_two_files_of_one_name_do_not_mix(write):
    write("a/model.py", "size = 1")
    write("b/model.py", "size = 2")
    assert load_config(write("a/x.py", "_base_ = 'model.py'")).size == 1
    assert load_config(write("b/x.py", "_base_ = 'model.py'")).size == 2


def test_a_circle_of_bases_names_the_chain(write):
    first = write("a.py", "_base_ = 'b.py'")
    second = write("b.py", "_base_ = ['a.py']")
    assert f"{first} -> {second} -> {first}" in failure(first)


def test_the_same_base_twice_is_no_circle(write):
    write("root.py", "x = 1")
    write("a.py", "_base_ = 'root.py'")
    write("b.py", "_base_ = 'root.py'\ny = 2")
    assert values_of(write("leaf.py", "_base_ = ['a.py', 'b.py']")) == {"x": 1, "y": 2}


def test_a_missing_file_is_named_with_the_one_that_includes_it(write, tmp_path):
    path = write("leaf.py", "_base_ = 'schedule1x.py'")
    near = write("schedule_1x.py", "")
    message = failure(path)
    assert message == (
        f"config file {tmp_path / 'schedule1x.py'} does not exist (named in _base_ of {path}); "
        f"did you mean {near}?"
    )
    assert "does not exist" in failure(tmp_path / "nowhere" / "x.py")


def test_other_suffixes_and_folders_are_refused(write, tmp_path):
    assert "must end in .py, .yaml or .yml" in failure(write("a.json", "{}"))
    (tmp_path / "folder.py").mkdir()
    assert "does not exist" in failure(tmp_path / "folder.py")


def test_syntax_errors_name_file_and_line(write):
    path = write("bad.py", "a = 1\nmodel = dict(type='X'\n")
    assert failure(path).startswith(f"{path}, line 2: ")
    path = write("bad.yaml", "a: 1\nb: [1, 2\n")
    assert failure(path).startswith(f"{path}, line 3: ")


def test_errors_while_running_name_file_and_line(write):
    base = write("base.py", "x = 1\ny = x / 0\n")
    message = failure(write("leaf.py", "_base_ = 'base.py'"))
    assert message == f"{base}, line 2: ZeroDivisionError: division by zero."


def test_a_repeated_yaml_key_is_an_error(write):
    path = write("twice.yaml", "model:\n  lr: 1\n  lr: 2\n")
    assert failure(path) == f"{path}, line 3: duplicate key 'lr'."


def test_yaml_cannot_execute_anything(write):
    path = write("evil.yaml", "x: !!python/object/apply:os.getcwd []\n")
    assert "could not determine a constructor" in failure(path)


def test_yaml_must_be_a_mapping(write):
    assert "must hold `key: value` lines, got a list" in failure(write("a.yaml", "- 1\n"))


def test_base_must_be_file_names(write):
    assert "_base_ must be a file name or a list of file names, got 3" in failure(write("a.py", "_base_ = 3"))


def test_binary_files_are_refused(write, tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe")
    assert "not a UTF-8 text file" in failure(tmp_path / "a.yaml")
    (tmp_path / "b.py").write_bytes(b"a = 1\0")
    assert str(tmp_path / "b.py") in failure(tmp_path / "b.py")
