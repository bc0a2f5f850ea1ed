"""Fonts for names in any script: matplotlib's own, or one of the system that has the characters."""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from jld.utils.logging import warn_once

OWN = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
# Looked at first among the fonts that have the characters: plain ones with many scripts.
PREFERRED = ("NotoSans", "SourceHan", "wqy", "DroidSansFallback", "msyh", "simhei", "PingFang", "Arial")
CURE = "install one (Debian: fonts-noto-cjk) to have them drawn"


def font_file(text: str) -> Path | None:
    """A font that has every character of a text; None, said once, where the machine has none."""
    missing = frozenset(text) - _characters(OWN) - frozenset("\n\t")
    if not missing:
        return OWN
    found = _system_font(missing)
    if found is None:
        shown = "".join(sorted(missing)[:8])
        warn_once(f"no font on this machine has the characters {shown!r}: {CURE}.")
    return found


def font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font for a text, `size` px high from line to line; matplotlib's own where there is none."""
    return _loaded(font_file(text) or OWN, max(1, size))


def families(text: str) -> list[str]:
    """Names of font families with which matplotlib can write a text."""
    path = font_file(text)
    if path in (None, OWN):
        return ["DejaVu Sans"]
    font_manager.fontManager.addfont(path)
    return ["DejaVu Sans", font_manager.FontProperties(fname=path).get_name()]


@functools.lru_cache(maxsize=64)
def _loaded(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@functools.lru_cache(maxsize=256)
def _characters(path: Path) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(str(path)).get_charmap()))
    except (RuntimeError, OSError):  # a damaged file, or a format of bitmaps
        return frozenset()


@functools.lru_cache(maxsize=1024)
def _system_font(characters: frozenset[str]) -> Path | None:
    paths = sorted(map(Path, font_manager.findSystemFonts()))

    def rank(path: Path) -> int:
        return next((k for k, name in enumerate(PREFERRED) if path.name.startswith(name)), len(PREFERRED))

    return next((path for path in sorted(paths, key=rank) if characters <= _characters(path)), None)
