"""The report page: nothing of the data acts, nothing is fetched, everything is there."""

import re

import numpy as np
import pytest

from jld.visualization.figures import make_figure
from jld.visualization.report import Note, Section, Table, Text, drawing, photo, write_report

pytest.importorskip("jinja2")
EVIL = '<script>alert("x")</script>'


def test_names_from_data_are_escaped_and_visible(tmp_path):
    figure = make_figure(2, 2)
    figure.text(0, 0, EVIL)
    blocks = [
        Note(EVIL), Text(EVIL, EVIL), Text(EVIL, is_long=True), Table([EVIL], [[EVIL], ["a\u202eb"]]),
        photo(np.zeros((900, 30, 3), np.uint8), EVIL), drawing(figure, '" onerror="alert(1)'),
    ]  # fmt: skip
    path = write_report(tmp_path / "new" / "report.html", EVIL, [Section(EVIL, blocks)])
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page and page.count("&lt;script&gt;") >= 9
    assert 'onerror="' not in page and "\u202e" not in page and r"a\u202eb" in page


def test_the_page_asks_the_network_for_nothing(tmp_path):
    blocks = [drawing(make_figure(2, 2), "a drawing"), photo(np.zeros((4, 4, 3), np.uint8), "a photo")]
    page = write_report(tmp_path / "a.html", "run", [Section("Pictures", blocks)]).read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 3 and all(each.startswith(("data:image/", "#part")) for each in addresses)
    assert "http" not in page.replace("http-equiv", "") and "default-src 'none'" in page


def test_photos_are_small():
    large = np.random.default_rng(0).integers(0, 255, (3000, 2000, 3)).astype(np.uint8)
    assert len(photo(large, "").address) < 400_000
