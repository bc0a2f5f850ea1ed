"""Compiled kernels that a full disk or a power cut left empty or cut: Jittor takes any file that is there.

It compares the keys beside its files and never looks into the files, so each start fails at the same one
("file too short"). Without the file Jittor compiles it again. Can go when Jittor writes its kernels aside and
renames them.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from jld.toolchain.cache import jittor_cache_root
from jld.toolchain.findings import Finding

NAME = "compiled kernels"
SUFFIXES = (".so", ".o", ".cc", ".cu", ".s")
# Another process may be writing younger ones.
SETTLED_SECONDS = 120
_ELF_HEADER = struct.Struct("<40xQ10x2H")  # place, size of one and number of the section headers, 64 bit


def mend_kernels() -> Finding:
    """Removes what is broken in Jittor's cache, and says what that was."""
    removed, kept = [], []
    for file in broken_kernels():
        try:
            file.unlink(missing_ok=True)
            removed.append(file)
        except OSError:
            kept.append(file)
    if kept:
        return Finding(NAME, False, f"{len(kept)} broken, such as {kept[0]}", f"Remove {kept[0].parent}.")
    if removed:
        detail = f"{len(removed)} broken ones removed, such as {removed[0].name}; they are compiled again"
        return Finding(NAME, True, detail)
    return Finding(NAME, True, "none is broken")


def broken_kernels() -> Iterator[Path]:
    """Files in Jittor's cache that are empty or, if they are libraries, shorter than they say."""
    newest = time.time() - SETTLED_SECONDS
    for folder, _, names in os.walk(jittor_cache_root()):
        for name in names:
            if name.endswith(SUFFIXES):
                file = Path(folder, name)
                try:
                    status = file.lstat()
                    if status.st_mtime < newest and _is_broken(file, status.st_size):
                        yield file
                except OSError:
                    continue  # gone meanwhile, or a link that leads nowhere


def _is_broken(file: Path, size: int) -> bool:
    if size == 0 or file.suffix != ".so" or file.is_symlink():
        return size == 0
    with file.open("rb") as stream:
        head = stream.read(64)
    if len(head) < 64 or head[:4] != b"\x7fELF":
        return True
    if head[4:6] != b"\x02\x01":  # 32 bit or the other byte order
        return False
    place, size_of_one, number = _ELF_HEADER.unpack(head[: _ELF_HEADER.size])
    return place + size_of_one * number > size
