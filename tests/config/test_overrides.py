import pytest

from jld.config import Config, apply_overrides, config_file, load_config, parse_value
from jld.errors import ConfigError

CONFIG = {
    "model": {"neck": {"num_outs": 5}, "head": {"classes": {0: "cat"}}},
    "dataset": {
        "train": {"transforms": [{"type": "Resize", "min_size": 800}, {"type": "Flip"}], "sizes": (1, 2)}
    },
    "optimizer": {"lr": 0.01},
    "ema": None,
    "distill": {"terms": []},
}


def failure(*overrides):
    with pytest.raises(ConfigError) as error:
        apply_overrides(CONFIG, overrides)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-3", 0.001),
        ("-0.5", -0.5),
        ("True", True),
        ("true", True),
        ("None", None),
        ("null", None),
        ("~", None),
        ("(1, 2)", (1, 2)),
        ("[1, a]", [1, "a"]),
        ("['H', 'V']", ["H", "V"]),
        ("{type: StepLR, gamma: 0.1}", {"type": "StepLR", "gamma": 0.1}),
        ("dict", "dict"),
        ("weights/r101.pth", "weights/r101.pth"),
        ("'12'", "12"),
        ("''", ""),
        (".inf", float("inf")),
        ("no", "no"),
        (" 3 ", 3),
    ],
)
def test_values_are_python_or_yaml(text, value):
    parsed = parse_value(text)
    assert parsed == value and type(parsed) is type(value)


def test_nested_keys_list_items_and_whole_sections():
    config = apply_overrides(
        CONFIG,
        [
            "model.neck.num_outs=3",
            "dataset.train.transforms.0.min_size=320",
            "dataset.train.transforms.-1.prob=0.5",
            "dataset.train.sizes.1=7",
            "model.head.classes.0=dog",
            "distill=null",
            "optimizer.lr = 1e-4",
        ],
    )
    assert config.model.neck.num_outs == 3
    assert config.dataset.train.transforms == [
        {"type": "Resize", "min_size": 320},
        {"type": "Flip", "prob": 0.5},
    ]
    assert config.dataset.train.sizes == (1, 7)
    assert config.model.head.classes == {0: "dog"}
    assert config.distill is None and config.optimizer.lr == 1e-4


def test_the_original_is_left_alone():
    original = Config(CONFIG)
    apply_overrides(original, ["dataset.train.transforms.0.min_size=1", "model.neck.num_outs=1"])
    assert original == CONFIG


def test_the_last_key_may_be_new_and_later_overrides_see_earlier_ones():
    config = apply_overrides(
        CONFIG, ["optimizer.grad_clip={max_norm: 35}", "optimizer.grad_clip.max_norm=10", "seed=3"]
    )
    assert config.optimizer.grad_clip == {"max_norm": 10} and config.seed == 3


def test_an_equals_sign_may_be_part_of_the_value():
    assert apply_overrides(CONFIG, ["note=a=b"]).note == "a=b"


def test_unknown_paths_name_the_nearest_key():
    assert failure("modle.neck.num_outs=3") == (
        "override 'modle.neck.num_outs=3': there is no modle: did you mean 'model'?"
    )
    assert "there is no model.nek: did you mean 'neck'?" in failure("model.nek.num_outs=3")
    message = failure("optimizer.grad_clip.max_norm=35")
    assert "To add a section write optimizer.grad_clip={max_norm: ...}." in message


def test_wrong_places_say_what_stands_there():
    assert "ema is None and has no keys; set it as a whole, ema={decay: ...}." in failure("ema.decay=0.9")
    assert "optimizer.lr is a float and has no keys" in failure("optimizer.lr.x=1")
    assert "dataset.train.transforms has 2 items, numbered from 0" in failure(
        "dataset.train.transforms.2.prob=1"
    )
    assert "'resize' must be a number; Resize is number 0." in failure(
        "dataset.train.transforms.resize.min_size=1"
    )


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=1", ""])
def test_the_form_is_checked(override):
    assert "must read key.path=value" in failure(override)


def test_values_that_cannot_be_read():
    assert (
        failure("seed=")
        == "override 'seed=': the value is empty: write null for None or '' for an empty string."
    )
    assert "neither a Python nor a YAML value" in failure("seed=[1, 2")
    assert "neither a Python nor a YAML value" in failure("seed={[1]: 2}")


def test_work_dir_follows_the_name_unless_it_was_chosen(write):
    path = write("run.py", "")
    assert apply_overrides(load_config(path), ["name=other"]).work_dir == "work_dirs/other"
    assert apply_overrides(load_config(path), ["name=other", "work_dir=out"]).work_dir == "out"
    chosen = load_config(write("chosen.py", "work_dir = 'here'"))
    assert apply_overrides(chosen, ["name=other"]).work_dir == "here"
    assert config_file(apply_overrides(load_config(path), [])) == path
