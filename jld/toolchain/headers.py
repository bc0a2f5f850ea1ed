"""Precompiled headers of GCC."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path


def is_gcc(compiler: str) -> bool:
    """Whether the name is that of GCC's C++ compiler, the one whose precompiled headers are used here."""
    return re.fullmatch(r"g\+\+(-\d+)?", Path(compiler).name) is not None


def precompile_header(compiler: str, flags: Sequence[str], header: Path, text: str) -> str:
    """Writes a header and compiles it; `-include` of its path takes the compiled one from then on.

    Args:
        compiler: GCC, by name or path.
        flags: those of the files that start with it; others make the compiler read the header as text.
        header: where it goes; the compiled header gets `.gch` added to its name.
        text: what it says.

    Returns:
        What went wrong, empty where nothing did.
    """
    compiled = header.with_name(header.name + ".gch")
    own = header.with_suffix(f".{os.getpid()}")
    try:
        header.parent.mkdir(parents=True, exist_ok=True)
        # Aside and renamed, both files: other processes may write or read the same ones.
        own.write_text(text, encoding="utf-8")
        own.replace(header)
        command = [compiler, "-x", "c++-header", str(header), *flags, "-o", str(own)]
        answer = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if answer.returncode:
            return (answer.stderr.strip().splitlines() or ["the compiler failed"])[-1]
        own.replace(compiled)
    except OSError as error:
        return str(error)
    finally:
        own.unlink(missing_ok=True)
    return ""
