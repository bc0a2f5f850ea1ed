"""The pages as a site: it builds without a warning, and what it shows comes from itself."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ABSENT = 'the site needs mkdocs-material: pip install -e ".[docs]"'


class Fetched(HTMLParser):
    """Addresses that a browser fetches by itself to show a page; links that a reader follows are none."""

    def __init__(self):
        super().__init__()
        self.addresses, self.classes = [], set()

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        self.classes |= set(values.get("class", "").split())
        names = ["src", "srcset", "poster", "data", "action"] + ["href"] * (tag in ("link", "use", "image"))
        if values.get("rel") not in ("alternate", "canonical", "next", "prev"):
            self.addresses += [values[name] for name in names if name in values]
        self.addresses += re.findall(r"url\(['\"]?([^)'\"]+)", values.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason=ABSENT)
    folder = tmp_path_factory.mktemp("site")
    words = ["build", "--strict", "-f", str(ROOT / "docs/site/mkdocs.yml"), "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words], env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # With --quiet or --verbose mkdocs does not count all that it would warn of.
    assert "INFO    -  Documentation built" in done.stderr
    return folder


def test_every_page_is_there(site):
    pages = [
        path.relative_to(ROOT) for part in ("*", "docs/*", "projects/*/*") for path in ROOT.glob(f"{part}.md")
    ]
    assert len(pages) > 30
    built = [
        site / page.parent / ("" if page.stem == "README" else page.stem) / "index.html" for page in pages
    ]
    assert [str(page) for page in built if not page.is_file()] == []
    # Of the notebook the cells, of a config that a page links to its text.
    assert "LocalizationKD" in (site / "docs/quick_start/index.html").read_text(encoding="utf-8")
    config = "configs/quick_start/noisy_gfl_student.py"
    assert (site / f"{config}.txt").read_bytes() == (ROOT / config).read_bytes()
    assert f'href="../../{config}.txt"' in (site / "docs/model_zoo/index.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert len(fetched.addresses) > 3
        outside = [
            each for each in fetched.addresses if re.match(r"(?!data:)([a-z+]+:)?//|(?!data:)[a-z]+:", each)
        ]
        assert outside == [], page
        # What the theme's script asks other servers for: diagrams, and the stars of a repository.
        assert fetched.classes.isdisjoint({"mermaid", "md-source"}), page
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        addresses = re.findall(r"(?:url\(|@import )['\"]?([^)'\"]+)", style.read_text(encoding="utf-8"))
        assert [each for each in addresses if not each.startswith(("data:", "#")) and "//" in each] == [], (
            style
        )


def test_a_page_leads_to_its_translation(site):
    english, chinese = (
        (site / f"docs/my_labels{end}/index.html").read_text(encoding="utf-8") for end in ("", "_zh-CN")
    )
    assert '<html lang="en"' in english and '<html lang="zh"' in chinese
    assert '<a href="../my_labels_zh-CN/" hreflang="zh"' in english
    assert '<a href="../my_labels/" hreflang="en"' in chinese
