"""What all drawings share: colours, text in any script, and image files that are whole or not there."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from jld.checkpoint import atomic_write
from jld.errors import DataError
from jld.visualization.fonts import font

Color = tuple[int, int, int]

INK: Color = (40, 36, 33)
PAPER: Color = (255, 255, 255)
TRUTH: Color = (90, 235, 120)
EM_PX = 28
"""Height of a line of text at scale 1."""
GOLDEN_RATIO = 0.61803398875
SHADES = ((0.80, 0.95), (0.95, 0.75), (0.55, 1.0), (0.90, 0.55), (0.45, 0.80))  # saturation, value


def class_color(label: int) -> Color:
    """A colour (BGR) for a class, always the same; neighbouring labels differ strongly in hue."""
    hue = (0.58 + label * GOLDEN_RATIO) % 1.0
    # After some labels the hues come back close to earlier ones; another brightness keeps 80 classes apart.
    saturation, value = SHADES[label // 17 % len(SHADES)]
    return tuple(round(255 * channel) for channel in reversed(colorsys.hsv_to_rgb(hue, saturation, value)))


def as_bgr(image: np.ndarray) -> np.ndarray:
    """A writable copy of an image as uint8 [H, W, 3]; grey images are repeated over the three channels.

    Raises:
        DataError: neither uint8 [H, W, 3] nor uint8 [H, W].
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise DataError(
            f"a drawing needs an image as uint8 [H, W, 3] in BGR order, not {image.dtype} {image.shape}."
        )
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image.copy()


def blank(height: int, width: int, color: Color = PAPER) -> np.ndarray:
    """An image of one colour."""
    return np.full((height, width, 3), color, np.uint8)


def contrast_color(background: Color) -> Color:
    """Ink or paper, whichever reads better on a background."""
    blue, green, red = background
    return INK if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else PAPER


def text_size(text: str, scale: float) -> tuple[int, int, int]:
    """(width, height above the baseline, depth below it) of a line of text in px."""
    letters = font(text, round(EM_PX * scale))
    # Lines of one size are equally high, whatever their letters.
    _, top, _, bottom = letters.getbbox(f"{text}Hg", anchor="ls")
    return round(letters.getlength(text)), round(-top), round(bottom)


def put_text(
    image: np.ndarray, text: str, corner: tuple[int, int], *, scale: float = 0.5, color: Color = INK
) -> None:
    """Writes a line whose top left corner is at (x, y), into the image itself."""
    width, height, depth = text_size(text, scale)
    strip = Image.new("L", (width + 2, height + depth + 1))
    ImageDraw.Draw(strip).text((0, height), text, 255, font(text, round(EM_PX * scale)), anchor="ls")
    x, y = corner
    left, top = max(0, -x), max(0, -y)
    under = image[y + top : y + strip.height, x + left : x + strip.width]
    cover = np.asarray(strip, np.float32)[top:, left:][: under.shape[0], : under.shape[1], None] / 255
    under[:] = np.round(under + cover * (np.float32(color) - under))


def fit_text(text: str, width: int, scale: float) -> str:
    """The text, cut with "..." when it is wider than `width` px."""
    if text_size(text, scale)[0] <= width:
        return text
    while text and text_size(text + "...", scale)[0] > width:
        text = text[:-1]
    return text + "..."


def resize_to_fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image scaled, keeping its proportions, to the largest size inside height x width."""
    factor = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def enlarged(image: np.ndarray, side: int = 384) -> tuple[np.ndarray, int]:
    """(image, how many times as large): lines and letters need pixels, which small images do not have.

    Args:
        image: [H, W, 3]; side: px that the longer side reaches at least, by repeating pixels.
    """
    zoom = max(1, -(-side // max(image.shape[:2])))
    return image.repeat(zoom, 0).repeat(zoom, 1), zoom


def legend(entries: Sequence[tuple[str, Color]], width: int, scale: float = 0.5) -> np.ndarray:
    """A strip of coloured squares with names, in as many lines as `width` px asks for."""
    line_height, square, gap = 26, 14, 18
    places, x, line = [], gap, 0
    for name, _ in entries:
        needed = square + 8 + text_size(name, scale)[0] + gap
        if x > gap and x + needed > width:
            x, line = gap, line + 1
        places.append((x, line))
        x += needed
    strip = blank((line + 1) * line_height + 8, width)
    for (name, color), (x, line) in zip(entries, places, strict=True):
        y = 4 + line * line_height + (line_height - square) // 2
        cv2.rectangle(strip, (x, y), (x + square, y + square), color, -1)
        put_text(strip, name, (x + square + 8, y + 1), scale=scale)
    return strip


def write_image(path: str | Path, image: np.ndarray) -> Path:
    """Writes a BGR image in the format of the suffix; a reader sees the old file or the whole new one.

    Raises:
        DataError: OpenCV knows no such format.
    """
    path = Path(path)
    try:
        done, data = cv2.imencode(path.suffix, as_bgr(image))
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"{path}: no image format is called {path.suffix!r}; use .png or .jpg.")
    atomic_write(path, lambda file: file.write(data.tobytes()))
    return path
