import ast
import random
from pathlib import Path

import numpy as np
import pytest

from jld.config import Config, dump_config, dump_text, load_config
from jld.errors import ConfigError


def round_trip(values, tmp_path):
    values = {"name": "run", "work_dir": "out", **values}
    return load_config(dump_config(values, tmp_path / "work" / "config.py")), values


def same(left, right):
    """Equal with equal types; a Config counts as a dict."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def test_every_kind_of_value_survives(tmp_path):
    loaded, values = round_trip(
        {
            "numbers": [1, -2, 0.1, 1e-30, float("inf"), float("-inf"), True, None],
            "tuples": ((), (1,), (1, (2, 3)), [(4,)]),
            "numpy_values": [
                np.float32(0.1),
                np.float64(0.1),
                np.int64(-3),
                np.bool_(True),
                np.float32("inf"),
                np.str_("a"),
            ],
            "texts": [
                "",
                "it's",
                'say "no"',
                "both ' and \"",
                "back\\slash",
                "new\nline",
                "中文",
                "{}",
                b"\x00raw",
            ],
            "keys": {"plain": 1, "class": 2, "a b": 3, "": 4},
            "number_keys": {0: "a", 1.5: "b", (1, 2): "c", None: "d"},
            "empty": [{}, [], ()],
            "file": Path("data/coco"),
            "section": {"type": "X", "inner": {"self": 1}},
        },
        tmp_path,
    )
    assert same(loaded, values)


def test_nan_survives(tmp_path):
    loaded, _ = round_trip({"x": float("nan"), "y": np.float32("nan")}, tmp_path)
    assert np.isnan(loaded.x) and np.isnan(loaded.y) and type(loaded.y) is np.float32


def random_value(rng, depth):
    scalars = [
        lambda: rng.randint(-(10**9), 10**9),
        lambda: rng.uniform(-1, 1) * 10.0 ** rng.randint(-20, 20),
        lambda: rng.choice([True, False, None]),
        lambda: "".join(rng.choice("ab'\"\\\n{}#é ") for _ in range(rng.randint(0, 8))),
        lambda: np.float32(rng.random()),
    ]
    nested = [
        lambda: [random_value(rng, depth - 1) for _ in range(rng.randint(0, 4))],
        lambda: tuple(random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))),
        lambda: {rng.choice("abcdefg") * rng.randint(1, 3): random_value(rng, depth - 1) for _ in range(4)},
        lambda: {rng.randint(0, 99): random_value(rng, depth - 1) for _ in range(2)},
    ]
    return rng.choice(scalars + nested if depth else scalars)()


@pytest.mark.parametrize("seed", range(30))
def test_random_configs_survive_and_a_second_dump_is_the_same(tmp_path, seed):
    rng = random.Random(seed)
    loaded, values = round_trip({f"key_{i}": random_value(rng, 4) for i in range(6)}, tmp_path)
    assert same(loaded, values)
    body = dump_text(Config(values)).split("\n", 1)[1]
    assert dump_text(loaded).split("\n", 1)[1] == body


def test_the_resolved_config_needs_nothing_else(write, tmp_path):
    write("base.py", "model = dict(type='A', x=dict(y=1))")
    config = load_config(write("leaf.py", "_base_ = 'base.py'\nmodel = dict(x=dict(z=(1, 2)))"))
    path = dump_config(config, tmp_path / "elsewhere" / "config.py")
    assert load_config(path) == config
    assert "_base_" not in path.read_text()
    assert "leaf.py" in ast.get_docstring(ast.parse(path.read_text()))
    assert [file.name for file in path.parent.iterdir()] == ["config.py"]


def test_lines_stay_short():
    text = dump_text({"model": {"sizes": list(range(100)), "names": [f"class_{i}" for i in range(40)]}})
    assert "sizes=[\n" in text
    assert max(map(len, text.splitlines())) <= 110
    assert 'optimizer = dict(type="SGD", lr=0.01)\n' in dump_text({"optimizer": {"type": "SGD", "lr": 0.01}})


def test_what_is_not_plain_data_is_refused_by_its_place():
    with pytest.raises(ConfigError, match=r"model\.steps\.1 is a set: a config can only hold plain data"):
        dump_text({"model": {"steps": [1, {2}]}})
    with pytest.raises(ConfigError, match="lr is a function"):
        dump_text({"lr": lambda: 1})


@pytest.mark.parametrize("key", ["a-b", "class", "_hidden", "np", 3])
def test_top_level_keys_must_be_names(key):
    with pytest.raises(ConfigError, match="cannot be written as a Python name"):
        dump_text({key: 1})
