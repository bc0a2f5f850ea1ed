import pytest

from jld.data import values

NUMBERS = {"12": 12, " -0.5 ": -0.5, "1e3": 1000, ".5": 0.5, "5.": 5, 7: 7, 2.25: 2.25}
NO_NUMBERS = [
    "1_000",
    "0x10",
    "١٢",
    "1 2",
    "",
    "one",
    True,
    None,
    [1],
    "nan",
    "Infinity",
    float("inf"),
    10**400,
    "1e999",
]


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers(value):
    assert values.number(value) == NUMBERS[value]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"no number|not finite"):
        values.number(value)


def test_json_keeps_numbers_out_of_quotes():
    assert values.json_number(96.0) == 96
    with pytest.raises(ValueError, match=r"is the text '96\.0', but must be a number"):
        values.json_number("96.0")


def test_sides_are_whole_and_possible():
    assert values.side(640.0) == 640
    for value in (0, -3, 640.5, 2_000_000, None, True):
        with pytest.raises(ValueError):
            values.side(value)


def test_flags_are_words_numbers_and_nothing():
    for value in (1, 1.0, True, "1", "1.0", "True", " yes ", "Y"):
        assert values.flag(value) is True
    for value in (0, 0.0, False, None, "", "0", "false", "Unspecified", "none", "N"):
        assert values.flag(value) is False
    for value in (2, -1, 0.5, "2", "maybe", [], {}):
        with pytest.raises(ValueError, match="must say yes or no"):
            values.flag(value)


def test_identifiers_are_compared_across_types():
    assert {values.identifier(value) for value in (7, "7", 7.0)} == {7}
    assert (
        values.identifier("007") == "007" and values.identifier("-3") == -3 and values.identifier("a") == "a"
    )
    for value in (None, True, 7.5, "", [7], {}):
        with pytest.raises(ValueError, match="must be a whole number or text"):
            values.identifier(value)
    with pytest.raises(ValueError, match="results name categories by it"):
        values.whole_identifier("cat")


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "is null, but must be text"),
        (" ", "must be text"),
        ("a\0.png", "control character"),
        ("\ud83d.png", "half a character"),
        ("D:\\data\\a.png", "a file of a Windows drive"),
        ("x" * 256, "longer than a file name can be"),
    ],
)
def test_names_that_no_file_can_have(value, reason):
    with pytest.raises(ValueError, match=reason):
        values.file_name(value)


def test_file_names_keep_their_spaces():
    assert values.file_name(" a b.png") == " a b.png" and values.text(" a b ") == "a b"
