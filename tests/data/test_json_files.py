import pytest

from jld.data.json_files import AREA, BOX, FILE_NAME, FLAG, IDENTIFIER, SIDE, read_columns, read_json
from jld.errors import DataError

FIELDS = {"id": IDENTIFIER, "file": FILE_NAME, "width": SIDE, "box": BOX, "area": AREA, "crowd": FLAG}
SOUND = {"id": 1, "file": "a.png", "width": 60, "box": [1, 2, 3.5, 4], "area": 7, "crowd": 0}


def test_sound_columns_are_taken_as_they_are_and_keys_that_are_not_asked_for_passed_over():
    columns, kept, problems = read_columns(
        [SOUND, {**SOUND, "id": 2, "more": "x"}], FIELDS, "images", "a.json"
    )
    assert kept == [0, 1] and not problems and "more" not in columns
    assert columns["id"] == [1, 2] and columns["box"] == [[1, 2, 3.5, 4]] * 2


def test_one_odd_value_does_not_change_the_others():
    entries = [
        SOUND,
        {**SOUND, "id": "2", "area": None, "crowd": "yes"},
        {**SOUND, "id": 3.0, "box": [1, 2, 3, 4]},
    ]
    columns, kept, problems = read_columns(entries, FIELDS, "images", "a.json")
    assert kept == [0, 1, 2] and not problems
    assert (
        columns["id"] == [1, 2, 3] and columns["area"] == [7, 0, 7] and columns["crowd"] == [0, True, False]
    )


def test_every_problem_of_every_object_is_listed():
    entries = [None, SOUND, {**SOUND, "box": [1], "width": 0}, {"id": 9}]
    columns, kept, problems = read_columns(entries, FIELDS, "images", "a.json")
    assert kept == [1] and columns["file"] == ["a.png"]
    assert [str(problem).removeprefix("a.json: ") for problem in problems] == [
        "images[0] is null, but must be an object.",
        "images[3] (id 9): file is missing.",
        "images[2] (id 1): width is 0, but must be a whole number of px from 1 to 1000000.",
        "images[3] (id 9): width is missing.",
        "images[2] (id 1): box is [1], but must be [x, y, width, height].",
        "images[3] (id 9): box is missing.",
    ]


def test_nothing_is_an_empty_column():
    assert read_columns([], FIELDS, "images", "a.json") == ({key: [] for key in FIELDS}, [], [])


@pytest.mark.parametrize(
    "content, reason",
    [
        (b'{"a": 1,}', r"a\.json:1: no valid json, .* at column 9"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "no valid json for a dataset"),
        ('"图像"'.encode("gbk"), "is not in the encoding UTF-8"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_that_is_no_json_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_json(path, "annotation file")
