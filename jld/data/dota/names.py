"""Names of patches: which image, which scale, which place.

JDet (and the DOTA development kit) write `ID__<rate>__<x>___<y>`: the image was resized by `rate`, then cut.
MMRotate writes `ID__<window size>__<x>___<y>`: the window was resized, the image was not. Both look alike, so
the style must be known; a rate of 1024 is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jld.errors import DataError, one_of

STYLES = ("jdet", "mmrotate")
PATTERN = re.compile(r"(?P<image_id>.+?)(?:__(?P<middle>\d+(?:\.\d+)?))?__(?P<x>\d+)___(?P<y>\d+)")
# No published setting enlarges images more than this; a window is never this small.
LARGEST_RATE = 16.0


@dataclass(frozen=True)
class PatchName:
    """Where a patch lies: image point = (patch point + (x, y)) / rate."""

    image_id: str
    rate: float
    x: int
    y: int


def check_style(style: str) -> str:
    """The style, if it is one.

    Raises:
        ConfigError: unknown style.
    """
    return one_of(style, STYLES, f"unknown patch style {style!r}")


def patch_name(image_id: str, middle: object, x: int, y: int) -> str:
    """`ID__<middle>__<x>___<y>`; the middle is the rate ("jdet") or the window size in px ("mmrotate")."""
    return f"{image_id}__{middle}__{x}___{y}"


def parse_patch_name(name: str, style: str) -> PatchName:
    """Reads a patch name (without suffix); a name of the form `ID__<x>___<y>` has the rate 1.

    Args:
        name: such as `P0706__1.0__824___0`.
        style: "jdet" or "mmrotate".
    Raises:
        ConfigError: unknown style.
        DataError: not a patch name, or a window size where a rate is expected.
    """
    match = PATTERN.fullmatch(name)
    if match is None:
        raise DataError(f"{name!r} is no patch name; expected ID__<rate>__<x>___<y>.")
    middle = match["middle"]
    rate = 1.0 if check_style(style) == "mmrotate" or middle is None else float(middle)
    if not 0 < rate <= LARGEST_RATE:
        raise DataError(
            f"patch {name!r} has {middle} where the rate is expected: was it cut in the style 'mmrotate'? "
            "Then say so."
        )
    return PatchName(match["image_id"], rate, int(match["x"]), int(match["y"]))
