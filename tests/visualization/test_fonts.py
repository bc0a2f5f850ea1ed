"""Fonts for names in any script."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from jld.utils import logging as logs
from jld.visualization import fonts
from jld.visualization.boxes import box_marks
from jld.visualization.figures import make_figure, use_fonts

OTHER = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXNonUni.ttf"
# A character that only the other font has, standing for a script that matplotlib's font lacks.
ODD = chr(0xE000)


@pytest.fixture
def system(monkeypatch):
    """A machine with the given fonts."""

    def use(*paths):
        monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: list(map(str, paths)))
        fonts._system_font.cache_clear()

    monkeypatch.setattr(logs, "_said", set())
    yield use
    fonts._system_font.cache_clear()


def test_a_font_of_the_system_writes_what_the_own_one_lacks(system, tmp_path):
    broken = tmp_path / "NotoSansBroken.ttf"
    broken.write_bytes(b"no font")
    system(broken, OTHER)
    assert ODD not in fonts._characters(fonts.OWN) and ODD in fonts._characters(OTHER)
    assert fonts.font_file("Größe, Ёлка, ∑") == fonts.OWN
    assert fonts.font_file(f"a{ODD}") == OTHER
    assert fonts.font(ODD, 20).path == str(OTHER)
    figure = make_figure(2, 2)
    text = figure.text(0.5, 0.5, ODD)
    use_fonts(figure)
    assert "STIXNonUnicode" in text.get_fontfamily()


def test_without_such_a_font_numbers_are_written_and_a_sentence_says_why(system, caplog):
    system()
    marks = box_marks((100, 100), np.array([[10, 10, 50, 50]]), [1], [0.5], classes=["a", f"人{ODD}"])
    assert marks[-1].text == "1 0.50"
    (said,) = [text for text in caplog.messages if "no font" in text]
    assert "'人" in said and "fonts-noto-cjk" in said
