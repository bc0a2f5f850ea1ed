"""Hook of mkdocs: the pages of the repository under the places where they lie, and the files they link to.

So a link that works on a forge works in the site, and no page exists twice.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "docs/*.md", "docs/*.ipynb", "projects/*/*.md")
LINK = re.compile(r"\]\(([^)\s#]+)")
CHINESE = "_zh-CN.md"


def on_config(config: MkDocsConfig) -> None:
    """Headings get the anchors that they have on a forge, Chinese ones too."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts the pages and what they link to in the place of what mkdocs found in docs/."""
    kept = [file for file in files if file.src_dir != config.docs_dir]  # of the theme
    pages = sorted(path for pattern in PAGES for path in ROOT.glob(pattern))
    linked = {target for page in pages for target in files_linked_by(page)} - set(pages)
    return Files([*kept, *(site_file(path, config) for path in [*pages, *sorted(linked)])])


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A link to the notebook leads to its page."""
    return re.sub(r"(\]\([^)\s:]+)\.ipynb\)", r"\1.md)", markdown)


def on_page_context(context: Any, page: Page, config: MkDocsConfig, nav: Any) -> Any:
    """The language of the page, and the same page in the other one where it exists."""
    uri = page.file.src_uri
    config.theme["language"] = "zh" if uri.endswith(CHINESE) else "en"
    urls = {each.file.src_uri: each.url for each in nav.pages}
    english = uri.replace(CHINESE, ".md")
    twins = (english, english.replace(".md", CHINESE))
    starts = ("README.md", f"README{CHINESE}")
    for entry, twin, start in zip(config.extra["alternate"], twins, starts, strict=True):
        entry["link"] = urls.get(twin, urls[start]) or "."
    return context


def files_linked_by(page: Path) -> set[Path]:
    """Files of the repository, other than pages, that a page links to or shows."""
    text = page.read_text(encoding="utf-8")
    targets = {(page.parent / link).resolve() for link in LINK.findall(text) if "://" not in link}
    return {path for path in targets if path.is_file() and path.suffix not in (".md", ".ipynb")}


def site_file(path: Path, config: MkDocsConfig) -> File:
    """A file of the repository as one of the site: a notebook as a page, source as text."""
    uri = path.relative_to(ROOT).as_posix()
    if path.suffix == ".ipynb":
        return File.generated(config, uri.replace(".ipynb", ".md"), content=as_markdown(path))
    file = File.generated(config, uri, abs_src_path=str(path))
    if path.suffix == ".py":
        file.dest_uri = f"{uri}.txt"  # which servers and browsers show, where they would download a .py
    return file


def as_markdown(notebook: Path) -> str:
    """The cells of a notebook as one page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for kind, text in texts)
