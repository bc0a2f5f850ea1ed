"""Plain pickles: jld's and JDet's `.pkl`, and state dicts of numpy arrays from elsewhere.

`jittor.save` appends the SHA-1 of the pickle and eight letters; jld does the same, so that a flipped bit in a
file of any of the three is seen.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from jld.checkpoint.malformed import MalformedError
from jld.checkpoint.pickle_builders import BUILDERS
from jld.checkpoint.pickle_machine import PickleMachine

TRAILER = b"HCAJSLHD"
DIGEST_BYTES = 20


def read_pickle(stream: BinaryIO, size: int) -> tuple[object, PickleMachine]:
    """The pickled value, with the machine that read it.

    Raises:
        MalformedError: it is damaged, does not match its checksum, or is hostile.
    """
    end = _end_of_pickle(stream, size)
    stream.seek(0)
    machine = PickleMachine(BUILDERS)
    value = machine.run(stream, end)
    if stream.tell() != end or (end == size and _always_has_trailer(value)):
        raise MalformedError("its checksum is cut off, so it was damaged on the way; copy it again")
    return value, machine


def _always_has_trailer(value: object) -> bool:
    """Whether jld wrote the value; other pickles may come without a checksum."""
    meta = value.get("meta") if isinstance(value, dict) else None
    return isinstance(meta, dict) and "jld_version" in meta


def _end_of_pickle(stream: BinaryIO, size: int) -> int:
    """Where the pickle ends, after checking the trailer if there is one."""
    end = size - DIGEST_BYTES - len(TRAILER)
    if end <= 0:
        return size
    stream.seek(end)
    tail = stream.read()
    if not tail.endswith(TRAILER):
        return size
    stream.seek(0)
    digest, left = hashlib.sha1(usedforsecurity=False), end
    while left:
        block = stream.read(min(left, 1 << 20))
        if not block:
            raise MalformedError("it is truncated")
        digest.update(block)
        left -= len(block)
    if digest.digest() != tail[:DIGEST_BYTES]:
        raise MalformedError("its checksum does not match, so it was damaged on the way; copy it again")
    return end
