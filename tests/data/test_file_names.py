from pathlib import Path

from jld.data.file_names import portable, repeated, unusable


def test_backslashes_become_folders_unless_a_file_is_called_so(tmp_path):
    (tmp_path / "x\\y.png").touch()
    names, (said,) = portable(["x\\y.png", "train\\cam1\\a.png", "b.png"], tmp_path, "list.txt")
    assert names == ["x\\y.png", "train/cam1/a.png", "b.png"]
    assert "holds 1 name with backslashes" in str(said) and said.severity == "warning"
    assert portable(["a.png"], Path(), "list.txt") == (["a.png"], [])


def test_one_file_in_two_spellings_is_one_file():
    again, (problem,) = repeated(["a.png", "b.png", "./sub/../a.png"], ["one", "two", "three"], "list.txt")
    assert again == {2} and "three is the file ./sub/../a.png of one" in str(problem)


def test_unusable_names_are_numbered():
    (problem,) = unusable(["a.png", "b\0.png"], "list.txt")
    assert "list.txt: name 2 is 'b\\x00.png', which holds a control character." in str(problem)
