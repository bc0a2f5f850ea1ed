"""Translated configs of mmDetection pass the check that needs every constructor."""

import pytest

from jld.apis import register_parts
from jld.config import check_config, load_config
from tests.config.mmdet_texts import DETECTORS, write_2x, write_3x


@pytest.fixture(autouse=True, scope="module")
def parts():
    register_parts()


@pytest.mark.parametrize("kind", [*DETECTORS, "FasterRCNN", "3.x"])
def test_translations_are_valid(tmp_path, kind):
    path = write_3x(tmp_path) if kind == "3.x" else write_2x(tmp_path, kind)
    check_config(load_config(path))
