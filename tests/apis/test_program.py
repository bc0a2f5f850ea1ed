"""What a command line says of errors, and with which code it ends."""

import pytest

from jld.apis.program import FAILED, guarded, program
from jld.errors import DataError


@program
def tool(error=None, code=None):
    """Fails, or ends with a code."""
    if error is not None:
        raise error
    return code


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DataError("a.xml: no box.\x1b"), "a.xml: no box.\\x1b"),
        (FileNotFoundError(2, "No such file", "x.json"), "x.json: No such file."),
        (OSError("the disk"), "a file: the disk."),
        (type("ToolchainError", (RuntimeError,), {})("no compiler."), "no compiler."),
    ],
)
def test_errors_of_the_user_are_sentences_and_code_2(error, sentence, capsys):
    assert tool(error) == FAILED == 2
    assert capsys.readouterr().err == f"jld: {sentence}\n"


def test_codes_and_other_errors_pass():
    assert (tool(), tool(code=1)) == (0, 1) and tool.__name__ == "tool"
    with pytest.raises(RuntimeError, match="a bug"):
        tool(RuntimeError("a bug"))


def test_the_outer_of_two_speaks_and_its_traceback_if_wanted(capsys):
    assert guarded(lambda: tool(DataError("twice?")), debug=True) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.count("DataError: twice?") == 1
