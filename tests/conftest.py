"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_data import write_coco, write_voc


@pytest.fixture
def coco_folder(tmp_path: Path) -> tuple[Path, Path]:
    """(image folder, json file) of a fresh tiny COCO dataset."""
    return write_coco(tmp_path / "coco")


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """Root of a fresh tiny VOC dataset with the classes cat and dog."""
    return write_voc(tmp_path / "voc")
