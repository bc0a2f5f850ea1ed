"""Single values of annotation files, read strictly: what is not plainly a number, flag or name is refused.

Every function takes a value as a json parser or an xml file gives it and raises `ValueError` with the end of
a sentence, "is 'x', but ...", to which the caller adds file and place.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Hashable
from typing import Any

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
DIGITS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,20})?")
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
YES = frozenset({"1", "true", "yes", "y", "t", "on"})
NO = frozenset({"", "0", "false", "no", "n", "f", "off", "none", "null", "unspecified", "unknown"})
LONGEST_NAME = 255
LARGEST_SIDE = 1_000_000
"""px; no image format that can be decoded has a longer side."""


def composed(name: str) -> str:
    """What names are compared by: systems store a letter with an accent as one character or as two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def shown(value: Any, limit: int = 60) -> str:
    """A value for a message: as json writes constants, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of more than 60 digits"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def number(value: Any) -> float:
    """A finite number; text counts where it is plain decimal (not 1_000, nan or 0x10).

    Raises:
        ValueError: see above.
    """
    if isinstance(value, str) and DIGITS.fullmatch(value):  # nearly all of a million
        return float(value)
    is_text = isinstance(value, str) and NUMBER.fullmatch(value.strip())
    if not is_text and type(value) not in (int, float):
        is_word = isinstance(value, str) and value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")
        raise ValueError(f"is {shown(value)}, which is {'not finite' if is_word else 'no number'}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"is {shown(value)}, which is not finite")
    return result


def json_number(value: Any) -> float:
    """`number` of what json holds as a number; digits within quotes are refused.

    Raises:
        ValueError: see above.
    """
    if isinstance(value, str):
        raise ValueError(f"is the text {shown(value)}, but must be a number")
    return number(value)


def side(value: Any) -> int:
    """Width or height in px: a whole number from 1 to `LARGEST_SIDE`.

    Raises:
        ValueError: see above.
    """
    result = json_number(value)
    if result != int(result) or not 1 <= result <= LARGEST_SIDE:
        raise ValueError(f"is {shown(value)}, but must be a whole number of px from 1 to {LARGEST_SIDE}")
    return int(result)


def flag(value: Any) -> bool:
    """Yes or no from a boolean, 0 or 1, null, or a word; "Unspecified" and nothing at all mean no.

    Raises:
        ValueError: anything else, such as 2 or "maybe".
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if type(value) in (int, float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        word = word.removesuffix(".0")
        if word in YES or word in NO:
            return word in YES
    raise ValueError(f"is {shown(value)}, but must say yes or no (1 or 0, true or false)")


def identifier(value: Any) -> Hashable:
    """What identifiers are compared by: 7, 7.0 and "7" are the same one, "007" is another.

    Raises:
        ValueError: neither a whole number nor text.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and value:
        return int(value) if INTEGER.fullmatch(value) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"is {shown(value)}, but must be a whole number or text")


def whole_identifier(value: Any) -> int:
    """`identifier` of something that results name by a whole number.

    Raises:
        ValueError: other text, or no identifier.
    """
    result = identifier(value)
    if not isinstance(result, int):
        raise ValueError(f"is {shown(value)}, but must be a whole number: results name categories by it")
    return result


def text(value: Any) -> str:
    """Text that is not empty, without spaces around it, its accents in one character.

    Raises:
        ValueError: anything else, or text with control characters.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {shown(value)}, but must be text")
    if not value.isprintable() and any(ord(letter) < 32 or letter == "\x7f" for letter in value):
        raise ValueError(f"is {shown(value)}, which holds a control character")
    return composed(value.strip())


def file_name(value: Any) -> str:
    """A file name as text, kept as it is written: spaces at its ends belong to it.

    Raises:
        ValueError: no text, a control character, a letter no file name can hold, or a Windows drive.
    """
    text(value)
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"is {shown(value)}, which holds half a character")
    if re.match(r"[A-Za-z]:[\\/]", value):
        raise ValueError(
            f"is {shown(value)}, a file of a Windows drive: write it relative to the image folder"
        )
    if max(len(part.encode()) for part in re.split(r"[\\/]", value)) > LONGEST_NAME:
        raise ValueError(f"is {shown(value)}, which is longer than a file name can be")
    return value
