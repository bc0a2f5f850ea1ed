"""Fetches one file: a broken-off download goes on where it was; a file counts only with the right hash."""

from __future__ import annotations

import hashlib
import os
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from jld.errors import CheckpointError
from jld.utils.distributed import world_size
from jld.utils.logging import get_logger

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30
RANGE_IS_WRONG, PARTIAL = 416, 206


def download(url: str, place: Path, sha256: str = "") -> Path:
    """Writes what an address holds to `place`, with a progress bar.

    The file grows as `place` + ".part" and gets its name when it is whole. `JLD_MIRROR` names another
    server: the address of a folder that holds files of the same names.

    Args:
        sha256: the hash, or its beginning; "" trusts the length alone.
    Raises:
        CheckpointError: no connection, an error of the server, a full disk, another hash (the file is
            removed), or one of several ranks asks; names the address and the place.
    """
    mirror = os.environ.get("JLD_MIRROR")
    url = f"{mirror.rstrip('/')}/{file_name(url)}" if mirror else url
    if world_size() > 1:
        raise CheckpointError(f"{place} is missing, and ranks of an mpirun do not fetch {url}: do so before.")
    part = place.with_name(place.name + ".part")
    get_logger("weights").info("fetching %s to %s", url, place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part)
        _check(part, url, sha256)
        part.replace(place)
    except HTTPError as error:
        raise CheckpointError(
            f"{url} cannot be fetched: the server says {error.code} {error.reason}."
        ) from error
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"{url} cannot be fetched ({why}); the same command goes on from here. Without a connection, get "
            f"it elsewhere and put it to {place}, or name a mirror in JLD_MIRROR."
        ) from error
    return place


def file_name(url: str) -> str:
    """The last part of an address, without a query."""
    return PurePosixPath(urlsplit(url).path).name


def _fetch(url: str, part: Path) -> None:
    from tqdm import tqdm

    done = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "jld"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code == RANGE_IS_WRONG and done:
            return  # nothing is left to fetch; the hash decides whether it is the file
        raise
    with answer, part.open("ab" if answer.status == PARTIAL else "wb") as file:
        done = file.tell()
        length = answer.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with tqdm(total=total, initial=done, desc=part.stem, unit="B", unit_scale=True) as bar:
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and file.tell() < total:
            raise OSError(f"the connection broke off after {file.tell()} of {total} bytes")


def _check(part: Path, url: str, sha256: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        part.unlink()
        raise CheckpointError(
            f"{url} has the SHA-256 {found[:16]}..., which should begin with {sha256}: it was removed; the "
            "server sent something else, or a former part was of another file."
        )
    if not sha256:
        get_logger("weights").warning("%s: no hash of it is known; this one has the SHA-256 %s", url, found)
