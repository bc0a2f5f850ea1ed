import copy
import pickle

import pytest

from jld.config import Config, MissingKeyError, config_file, load_config, to_plain
from jld.errors import ConfigError


def test_nested_sections_are_read_as_attributes_and_items():
    config = Config({"model": {"neck": {"num_outs": 5}}, "steps": [{"size": 1}], "pair": ({"x": 2}, 3)})
    assert config.model.neck.num_outs == 5 and config["model"]["neck"]["num_outs"] == 5
    assert config.steps[0].size == 1
    assert config.pair[0].x == 2 and isinstance(config.pair, tuple)
    assert isinstance(config, dict) and config == to_plain(config)


def test_a_missing_key_is_an_error_that_names_the_nearest(write):
    path = write("run.py", "dataset = dict(train=dict(batch_size=2))")
    config = load_config(path)
    with pytest.raises(ConfigError) as error:
        _ = config.dataset.train.batchsize
    assert str(error.value) == f"{path}: dataset.train has no key 'batchsize': did you mean 'batch_size'?"
    with pytest.raises(MissingKeyError, match="the config has no key 'modle'"):
        config["modle"]


def test_a_missing_key_behaves_as_python_expects():
    config = Config({"a": 1})
    assert not hasattr(config, "b")
    assert config.get("b") is None and config.get("b", 7) == 7 and "b" not in config
    with pytest.raises(KeyError):
        config["b"]
    with pytest.raises(AttributeError):
        _ = config.b


def test_writing_converts_and_keeps_the_place():
    config = Config()
    config.optimizer = {"lr": 0.1}
    config.optimizer.setdefault("momentum", 0.9)
    config |= {"seed": 3}
    assert config.optimizer.momentum == 0.9 and config.seed == 3
    with pytest.raises(ConfigError, match="optimizer has no key 'momentun'"):
        _ = config.optimizer.momentun
    del config.seed
    assert "seed" not in config


def test_building_copies_so_that_sections_are_never_shared():
    norm = {"groups": 32}
    config = Config({"a": norm, "b": norm})
    config.a.groups = 1
    assert config.b.groups == 32 and norm == {"groups": 32}
    other = config.copy()
    other.b.groups = 2
    assert config.b.groups == 32


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_copies_and_pickles(duplicate):
    config = Config({"a": {"b": [1, {"c": None}]}})
    twin = duplicate(config)
    assert twin == config and twin.a.b[1].c is None
    twin.a.b[1].c = 5
    assert config.a.b[1].c is None


def test_to_plain_gives_builtin_types_only():
    plain = to_plain(Config({"a": {"b": ({"c": 1},)}}))
    assert type(plain) is dict and type(plain["a"]) is dict and type(plain["a"]["b"][0]) is dict


def test_config_file(write):
    path = write("x.yaml", "a: 1")
    assert config_file(load_config(path)) == path
    assert config_file({"a": 1}) is None
