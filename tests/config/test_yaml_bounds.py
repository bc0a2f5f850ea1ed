"""YAML that unfolds, nests or lies is refused with its file and line, as a config and as an override."""

import pytest

from jld.config import load_config, parse_value
from jld.errors import ConfigError

BOMB = "a: &a [1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} {{x: *{last}, y: *{last}, z: *{last}, u: *{last}}}\n"
    for last, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{last}'] * 9)}]}}\n"
    for last, name in zip("abcdefg", "bcdefgh", strict=True)
)
REFUSED = {
    "aliases": (BOMB, "unfold to more than"),
    "merges": (MERGES, "unfold to more than"),
    "a list in itself": ("a: 1\nb: &b [1, *b]\n", "line 2: an alias refers to a value that holds it"),
    "a mapping in itself": ("b: &b {x: {y: *b}}\n", "an alias refers to a value that holds it"),
    "brackets": ("a: " + "[" * 900 + "]" * 900, "more than 60 levels deep"),
    "blocks": ("\n".join(" " * depth + "a:" for depth in range(90)), "more than 60 levels deep"),
    "timestamp": (
        "a: 1\nb: !!timestamp 2025-02-30\n",
        "line 2: '2025-02-30' is no value of the kind timestamp",
    ),
    "integer": ("a: !!int seven", "'seven' is no value of the kind int"),
    "boolean": ("a: !!bool often", "'often' is no value of the kind bool"),
    "mapping": ("a: !!map [1, 2]", "pairs"),
    "set": ("a: !!set [1]", "pairs"),
    "digits": ("a: " + "7" * 6000, "no value of the kind int"),
    "hexadecimal digits": ("a: 0x" + "7" * 6000, "more digits"),
    "length": ("a: [" + "1, " * 200_000 + "]", "letters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_config_needs_is_refused(tmp_path, name):
    text, said = REFUSED[name]
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_aliases_and_depth_of_honest_files_stay(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(
        "base: &base {lr: 0.1, steps: [1, 2]}\none: *base\ntwo: {<<: *base, lr: 1e-3}\nx: "
        + "[" * 30
        + "]" * 30
    )
    config = load_config(path)
    assert config.one == {"lr": 0.1, "steps": [1, 2]} and config.two == {"lr": 1e-3, "steps": [1, 2]}


@pytest.mark.parametrize(
    "text", ["[" * 400 + "]" * 400, "{a: &a [*a]}", "!!timestamp 2025-02-30", "0x" + "9" * 3000]
)
def test_overrides_are_bounded_alike(text):
    with pytest.raises(ConfigError, match="neither a Python nor a YAML value") as caught:
        parse_value(text)
    assert len(str(caught.value)) < 400


def test_bases_without_end_are_refused(tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.py").write_text(f"_base_ = '{number + 1}.py'\n")
    (tmp_path / "60.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match="more than 50 files"):
        load_config(tmp_path / "0.py")
    assert load_config(tmp_path / "30.py").x == 1
