"""Where real data for tests lies: JLD_DATA_DIR, else ../shared/data beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """The folder of real datasets; it need not exist."""
    return Path(os.environ.get("JLD_DATA_DIR") or ROOT.parent / "shared" / "data")


def real_dataset(name: str) -> Path:
    """Folder of one dataset; skips the test where it is not there."""
    folder = data_dir() / name
    if not folder.is_dir():
        pytest.skip(f"real dataset {name} is not there; set JLD_DATA_DIR to the folder that holds it.")
    return folder
