"""What tests of hostile files share: a trap, and the reading that must refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jld.checkpoint import read_checkpoint, read_training_state
from jld.errors import CheckpointError


@pytest.fixture
def canary(tmp_path) -> Path:
    """A file that exists after the test only if something in a checkpoint was run."""
    return tmp_path / "canary"


@pytest.fixture
def refuse(tmp_path, canary) -> Callable[[bytes], str]:
    """Reads bytes as a checkpoint and returns the sentence they are refused with."""

    def read(data: bytes, suffix: str = ".pth") -> str:
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(data)
        for reader in (read_training_state, read_checkpoint):
            with pytest.raises(CheckpointError) as caught:
                reader(path)
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message and message.endswith(".")
        assert not canary.exists(), "something in the file was run"
        return message

    return read
