"""Text members of a zip from elsewhere: damaged, encrypted and swollen ones are told from sound ones."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from jld.data.problems import Problem, error

# Text of numbers shrinks to a quarter; what unfolds to far more than the file is no text of numbers.
RATIO, FLOOR_BYTES = 32, 8 << 20
MAX_MEMBERS = 2000
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression the standard library lacks
    RuntimeError,  # encrypted
    ValueError,
    OverflowError,
    OSError,
)


def read_texts(path: Path, wanted: Collection[str]) -> tuple[list[str], dict[str, str], list[Problem]]:
    """(names of all files in the zip, texts of the wanted ones, what could not be read).

    Args:
        path: of the zip.
        wanted: names; members of other names are not unpacked.
    """
    try:
        if path.is_fifo():
            raise OSError("it is a pipe and no file")  # would be waited for
        with zipfile.ZipFile(path) as archive:
            # `is_dir` fails on a member without a name.
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            if len(members) > MAX_MEMBERS:
                return [], {}, [error(f"holds {len(members)} files, more than any result.", path)]
            used = [member for member in members if member.filename in wanted]
            limit = FLOOR_BYTES + RATIO * path.stat().st_size
            if sum(member.file_size for member in used) > limit:
                return [], {}, [error(f"unfolds to more than {limit >> 20} MB, which no result does.", path)]
            texts, problems = _unpack(archive, path, used)
    except _DAMAGE as problem:
        return [], {}, [error(f"no zip that can be read, {_reason(problem)}.", path)]
    return [member.filename for member in members], texts, problems


def _unpack(
    archive: zipfile.ZipFile, path: Path, members: list[zipfile.ZipInfo]
) -> tuple[dict[str, str], list[Problem]]:
    texts, problems = {}, []
    for member in members:
        try:
            with archive.open(member) as stream:
                # What the directory says was counted; no more than that is unpacked.
                data = stream.read(member.file_size)
            texts[member.filename] = data.decode("utf-8", "replace")
        except _DAMAGE as problem:
            texts[member.filename] = ""
            problems.append(error(f"{member.filename} cannot be unpacked, {_reason(problem)}.", path))
    return texts, problems


def _reason(problem: Exception) -> str:
    if isinstance(problem, RuntimeError) and "encrypted" in str(problem):
        return "it is encrypted"
    return str(getattr(problem, "strerror", None) or problem or type(problem).__name__).rstrip(".")
