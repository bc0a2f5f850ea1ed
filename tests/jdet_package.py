"""A stand-in for JDet: its registries, and a dataset that treats images as its own does (commit 0197437)."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

REGISTRY = """
class Registry:
    def __init__(self):
        self._modules = {}

    def register_module(self, name=None, module=None):
        def register(module):
            key = module.__name__ if name is None else name
            assert key not in self._modules, f"{key} is already registered."
            self._modules[key] = module
            return module

        return register if module is None else register(module)


def build_from_cfg(cfg, registry):
    options = cfg.copy()
    name = options.pop("type")
    assert name in registry._modules, f"{name} is not registered."
    return registry._modules[name](**options)


DATASETS, MODELS = Registry(), Registry()
"""
DATA = """
import os
import pickle
import random

import numpy as np

from jdet.utils.registry import DATASETS


@DATASETS.register_module()
class DOTADataset:
    CLASSES = ["plane", "ship", "harbor"]

    def __init__(self, dataset_dir, transforms=None, batch_size=1, filter_empty_gt=True):
        self.images_dir = os.path.abspath(os.path.join(dataset_dir, "images"))
        with open(os.path.join(dataset_dir, "labels.pkl"), "rb") as file:
            self.img_infos = pickle.load(file)
        if filter_empty_gt:
            self.img_infos = [info for info in self.img_infos if len(info["ann"]["bboxes"]) > 0]
        self.total_len = len(self.img_infos)
        self.transforms = transforms

    def __len__(self):
        return self.total_len

    def __getitem__(self, index):
        while not len(self.img_infos[index]["ann"]["bboxes"]):
            index = np.random.choice(np.arange(self.total_len))
        info = self.img_infos[index]
        if info["filename"] == "broken.png":
            raise OSError("cannot identify image file")
        width, height = info["width"], info["height"]
        assert info["filename"] != "other_size.png", "image size is different from annotations"
        image = np.full((3, 2 * height, 2 * width), random.random() + np.random.rand())
        boxes = info["ann"]["bboxes"] * np.array([2, 2, 2, 2, 1], np.float32)
        target = dict(
            rboxes=boxes, labels=info["ann"]["labels"], rboxes_ignore=np.zeros(0), scale_factor=2.0,
            ori_img_size=(width, height), img_size=(2 * width, 2 * height), pad_shape=(2 * width, 2 * height),
            filename=info["filename"], img_file=os.path.join(self.images_dir, info["filename"]))
        return (image if self.transforms else "a PIL image"), target


@DATASETS.register_module()
class COCODataset:
    pass
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
    """A folder in JDet's layout: a plane and an ignored box in the first image, two ships in the others, and
    nothing in one of the name empty.png.
    """
    folder.mkdir(parents=True, exist_ok=True)
    infos = []
    for number, name in enumerate(names):
        count = 0 if name == "empty.png" else 1 + (number > 0)
        ignored = np.array([[30, 30, 10, 6, 0.1]], np.float32)[: number == 0]
        ann = {
            "bboxes": np.array([[20, 15, 16, 8, 0.5], [40, 20, 12, 10, -0.2]], np.float32)[:count],
            "labels": np.full(count, 1 + (number > 0)),
            "bboxes_ignore": ignored,
            "labels_ignore": np.ones(len(ignored), np.int64),
        }
        infos.append({"filename": name, "width": 60, "height": 40, "ann": ann})
    (folder / "labels.pkl").write_bytes(pickle.dumps(infos))
    return folder
