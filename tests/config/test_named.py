"""Configs by name: shipped ones from anywhere, a user's own below ./configs."""

from pathlib import Path

import pytest

from jld.config import find_config, load_config, named_configs, shipped_configs
from jld.config.named import is_shipped
from jld.errors import ConfigError


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(name, text="model = dict(type='Net')\n"):
    path = Path("configs", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_shipped_config_is_found_by_name_from_anywhere(elsewhere):
    path = find_config("ld_gfl_r18_from_r101_1x_coco")
    assert path == shipped_configs() / "ld" / "ld_gfl_r18_from_r101_1x_coco.py" and is_shipped(path)
    config = load_config("ld_gfl_r18_from_r101_1x_coco")
    assert (config.name, config.model.type) == (path.stem, "GFL")
    assert config.work_dir == f"work_dirs/{path.stem}"  # in the current folder
    # What it names itself is found as well.
    assert load_config(config.distill.teacher.config).model.backbone.depth == 101


def test_own_configs_have_names_too_and_hide_shipped_ones_of_their_place(elsewhere):
    mine, hiding = own("new/mine.py"), own("gfl/gfl_r18_1x_coco.py")
    own("_base_/part.py")
    assert find_config("mine") == mine and find_config("gfl_r18_1x_coco") == hiding
    assert not is_shipped(hiding) and "part" not in named_configs()
    for name, said in (("part", "known are: atss"), ("gfl_r18_1x_cocoo", "did you mean 'gfl_r18_1x_coco'")):
        with pytest.raises(ConfigError, match=f"neither a file nor a config '{name}': {said}"):
            find_config(name)
    other = own("new/gfl_r18_1x_coco.py")
    with pytest.raises(ConfigError, match=rf"several configs .* one of {hiding}, {other}"):
        find_config("gfl_r18_1x_coco")


def test_a_base_may_be_named_from_any_folder(elsewhere):
    mine = own("mine.py", "_base_ = 'gfl_r18_1x_coco'\nmax_epoch = 3\n").rename(elsewhere / "mine.py")
    config = load_config(mine)
    assert (config.name, config.max_epoch, config.model.backbone.depth) == ("mine", 3, 18)
    mine.write_text("_base_ = ['configs/gfl/gfl_r18_1x_coco.py']\n")
    assert load_config(mine).model.backbone.depth == 18
    (elsewhere / "gfl_r18_1x_coco.yaml").write_text("size: 1\n")
    mine.write_text("_base_ = 'gfl_r18_1x_coco.yaml'\n")  # what lies beside comes first
    assert load_config(mine).size == 1
    (elsewhere / "other.py").write_text("size = 2\n")
    (elsewhere / "gfl_r18_1x_coco").mkdir()
    (elsewhere / "gfl_r18_1x_coco/config.py").write_text("size = 3\n")
    below = elsewhere / "below/mine.py"
    below.parent.mkdir()
    below.write_text("_base_ = 'other.py'\n")  # the working directory has one, too
    with pytest.raises(ConfigError, match=r"below/other\.py does not exist"):
        load_config(below)
    below.write_text("_base_ = 'gfl_r18_1x_coco'\n")  # a run's folder of this name is none
    assert load_config(below).model.backbone.depth == 18
    mine.write_text("_base_ = 'gfl_r18_1x_cocoo'\n")
    with pytest.raises(ConfigError, match=r"mine\.py: _base_ 'gfl_r18_1x_cocoo': .*'gfl_r18_1x_coco'"):
        load_config(mine)


def test_a_run_is_named_by_its_folder(elsewhere):
    run = elsewhere / "work_dirs/mine"
    run.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"work_dirs/mine is no run's folder: it has no config\.py"):
        find_config("work_dirs/mine")
    (run / "config.py").write_text("model = dict(type='Net')\n")
    assert find_config("work_dirs/mine") == Path("work_dirs/mine/config.py")
    assert load_config(run).model.type == "Net"


def test_paths_stay_paths(elsewhere):
    (elsewhere / "gfl_r18_1x_coco").write_text("")
    for name in ("gfl_r18_1x_coco", "gfl_r18_1x_coco.py", "a/b", "/configs/gfl/gfl_r18_1x_coco.py"):
        assert find_config(name) == Path(name)
    with pytest.raises(ConfigError, match=r"does not exist; did you mean .*configs/gfl/gfl_r18_1x_coco\.py"):
        load_config("configs/gfl/gfl_r18_1x_coc.py")


def test_every_shipped_name_is_one_file():
    double = {name for name, files in named_configs().items() if len(files) > 1}
    assert double == set()
