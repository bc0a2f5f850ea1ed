"""A stand-in for JDet: its registries, and a dataset and transforms with the shapes of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

REGISTRY = """
class Registry:
    def __init__(self):
        self._modules = {}

    def register_module(self, name=None, module=None):
        assert name not in self._modules, f"{name} is already registered."
        self._modules[name] = module
        return module


def build_from_cfg(cfg, registry):
    options = dict(cfg)
    name = options.pop("type")
    assert name in registry._modules, f"{name} is not registered."
    return registry._modules[name](**options)


DATASETS, MODELS = Registry(), Registry()
"""
DATA = """
import os
import random

import numpy as np

from jdet.utils.registry import DATASETS


class DOTADataset:
    CLASSES = ["plane", "ship", "harbor"]

    def __init__(self, dataset_dir, transforms=None, batch_size=1):
        self.images_dir = os.path.join(dataset_dir, "images")
        self.img_infos = list(np.load(os.path.join(dataset_dir, "labels.npy"), allow_pickle=True))
        self.transforms = transforms

    def __len__(self):
        return len(self.img_infos)

    def __getitem__(self, index):
        info = self.img_infos[index]
        if info["filename"] == "broken.png":
            raise OSError("cannot identify image file")
        width, height = info["width"], info["height"]
        image = np.full((3, 2 * height, 2 * width), random.random() + np.random.rand())
        boxes = info["ann"]["bboxes"] * np.array([2, 2, 2, 2, 1], np.float32)
        target = dict(
            rboxes=boxes, labels=info["ann"]["labels"], rboxes_ignore=np.zeros(0), scale_factor=2.0,
            ori_img_size=(width, height), img_size=(2 * width, 2 * height), pad_shape=(2 * width, 2 * height),
            filename=info["filename"], img_file=os.path.join(self.images_dir, info["filename"]))
        return (image if self.transforms else "a PIL image"), target


class COCODataset:
    pass


DATASETS.register_module("DOTADataset", DOTADataset)
DATASETS.register_module("COCODataset", COCODataset)
"""


@pytest.fixture
def jdet(tmp_path, monkeypatch):
    """The package `jdet` on the path; returns its module of registries."""
    package = tmp_path / "site" / "jdet"
    for file, text in (
        ("__init__.py", ""),
        ("utils/__init__.py", ""),
        ("utils/registry.py", REGISTRY),
        ("data.py", DATA),
    ):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    monkeypatch.syspath_prepend(str(package.parent))
    yield __import__("jdet.utils.registry").utils.registry
    for name in [name for name in sys.modules if name.split(".")[0] == "jdet"]:
        del sys.modules[name]


def write_labels(folder: Path, names=("a.png", "b.png")) -> Path:
    """A folder in JDet's layout: a plane and an ignored box in the first image, two ships in the others."""
    folder.mkdir(parents=True, exist_ok=True)
    infos = []
    for number, name in enumerate(names):
        boxes = np.array([[20, 15, 16, 8, 0.5], [40, 20, 12, 10, -0.2]], np.float32)[: 1 + (number > 0)]
        ann = {
            "bboxes": boxes,
            "labels": np.full(len(boxes), 1 + (number > 0)),
            "bboxes_ignore": np.array([[30, 30, 10, 6, 0.1]], np.float32)[: number == 0],
        }
        infos.append({"filename": name, "width": 60, "height": 40, "ann": ann})
    np.save(folder / "labels.npy", np.array(infos, object))
    return folder
