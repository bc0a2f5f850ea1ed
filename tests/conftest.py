"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from jld.toolchain.gpus import find_gpus
from tests.tiny_data import write_coco, write_voc


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Passes over the tests marked `gpu` where there is none."""
    marked = [item for item in items if "gpu" in item.keywords]
    if marked and find_gpus() is None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def coco_folder(tmp_path: Path) -> tuple[Path, Path]:
    """(image folder, json file) of a fresh tiny COCO dataset."""
    return write_coco(tmp_path / "coco")


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """Root of a fresh tiny VOC dataset with the classes cat and dog."""
    return write_voc(tmp_path / "voc")
