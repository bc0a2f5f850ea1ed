"""JDet's own datasets of rotated boxes, with their transforms, as a dataset of jld.

`jdet` is imported where a dataset is made, never before: it is not needed by anything else.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from jld.boxes.rotated import rboxes_to_polys
from jld.config import to_plain
from jld.data.account import Losses
from jld.data.dota.jdet_labels import read_file_names
from jld.data.images import BrokenImageError
from jld.data.oriented import OrientedDataset, OrientedTable, oriented_table
from jld.data.transforms import Sample, new_sample
from jld.errors import ConfigError, DataError
from jld.registry import DATASETS
from jld.toolchain import import_jittor

ANGLE_VERSION = "le135"


@DATASETS.register
class JDetDataset(OrientedDataset):
    """A dataset of JDet: its images, its annotations and its own pipeline of transforms.

    What JDet draws at random is drawn from the sample's own generator: equal seeds give equal samples. Images
    without objects are left out, as JDet shows another one in their place, drawn at random.

    Args:
        dataset: the section as in JDet's config, dict(type="DOTADataset", dataset_dir=..., transforms=[...]).
    Raises:
        ConfigError: `jdet` is not installed, it does not know the type, or the dataset has no table of
            rotated boxes (`img_infos`): COCO files are read by jld's own COCODataset.
        DataError: its labels.pkl is not there, or no table of annotations.
    """

    unbuilt = ("dataset",)

    def __init__(self, dataset: Mapping[str, Any]):
        self.section = dict(dataset)
        infos = getattr(self.pipeline, "img_infos", None)
        if infos is None:
            raise ConfigError(
                f"JDetDataset: JDet's {dataset.get('type')!r} has no rotated boxes; use jld's own dataset."
            )
        self.label_order = np.arange(len(self.pipeline.CLASSES))
        self.shown = [row for row, info in enumerate(infos) if len(info["ann"]["bboxes"])]
        empty = [info["filename"] for info in infos if not len(info["ann"]["bboxes"])]
        lost = Losses()
        lost.images.add("without objects, which JDet never shows", (empty or [""])[0], len(empty))
        super().__init__(
            _table([infos[row] for row in self.shown], Path(self.pipeline.images_dir)),
            self.pipeline.CLASSES,
            None,
            angle_version=ANGLE_VERSION,
            lost=lost,
        )

    @cached_property
    def pipeline(self) -> Any:
        """JDet's own dataset object; each process makes its own."""
        import_jittor()  # JDet imports it, too, and does not prepare the machine
        try:
            importlib.import_module("jdet.data")
            registries = importlib.import_module("jdet.utils.registry")
        except ImportError as error:
            raise ConfigError(f"JDetDataset needs JDet on the Python path: {error}.") from error
        folder = self.section.get("dataset_dir")
        file = self.section.get("annotations_file") or (folder and Path(folder) / "labels.pkl")
        if file:
            read_file_names(file)  # JDet executes what is in it; this does not
        try:
            return registries.build_from_cfg(to_plain(self.section), registries.DATASETS)
        except (AssertionError, OSError, TypeError, ValueError) as error:
            raise ConfigError(f"JDetDataset: JDet refuses the section: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        # Jittor's datasets hold locks: a worker makes its own.
        return {key: value for key, value in self.__dict__.items() if key != "pipeline"}

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """See `OrientedDataset`; the sample is what JDet's pipeline makes of the image."""
        seeds = rng.integers(2**32, size=2)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))  # noqa: NPY002  (what JDet draws from)
        try:
            image, target = self.pipeline[self.shown[index % len(self.table)]]
        except (AssertionError, OSError) as error:  # the former of another size than its annotations say
            raise BrokenImageError(self.image_file(index), f"JDet's pipeline: {error}") from error
        sample = jdet_sample(image, target)
        sample["labels"] = self.label_order[sample["labels"]]
        return sample

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Self:
        """See `Dataset`."""
        other = super().with_classes(names, sources)
        other.label_order = np.argsort(sources)[self.label_order]
        return other


def jdet_sample(image: Any, target: Mapping[str, Any]) -> Sample:
    """A finished sample of jld from what JDet hands to a model for one image.

    Args:
        image: [3, h, w] normalised and padded.
        target: JDet's dict: `rboxes` or, of upright boxes, `bboxes`; labels from 1; sizes as (width, height).
            Those of its ImageDataset have neither boxes nor labels.
    Raises:
        DataError: the image is no array, because the pipeline does not end as a model needs it.
    """
    if getattr(image, "ndim", 0) != 3:
        raise DataError(
            f"JDet's pipeline gives a {type(image).__name__}: let its transforms end with Normalize."
        )
    key, width = ("rboxes", 5) if "rboxes" in target else ("bboxes", 4)
    scale = np.broadcast_to(np.asarray(target.get("scale_factor", 1.0), np.float32), (4,))
    height_width = {name: tuple(image.shape[1:]) for name in ("img_size", "pad_shape", "ori_img_size")}
    height_width |= {name: tuple(target[name])[::-1] for name in height_width if name in target}
    sample = new_sample(
        np.zeros((0, 0, 3)),
        boxes=np.asarray(target.get(key, ()), np.float32).reshape(-1, width),
        labels=np.asarray(target.get("labels", ()), np.int64).reshape(-1) - 1,
        boxes_ignore=np.asarray(target.get(f"{key}_ignore", ()), np.float32).reshape(-1, width),
        img_id=target.get("img_id", Path(target.get("filename", target.get("img_file", ""))).stem),
        img_file=str(target.get("img_file", "")),
        ori_shape=height_width["ori_img_size"],
        img_shape=height_width["img_size"],
        pad_shape=height_width["pad_shape"],
        scale_factor=scale.copy(),
    )
    sample["image"] = np.ascontiguousarray(image, np.float32)
    return {**sample, "angle_version": ANGLE_VERSION} if width == 5 else sample


def _table(infos: Sequence[Mapping[str, Any]], folder: Path) -> OrientedTable:
    """The annotations of JDet's labels.pkl, as it holds them in memory."""
    images, polys, labels, flags, rboxes = [], [], [], [], []
    for info in infos:
        objects, ignored = (
            np.reshape(info["ann"].get(key, ()), (-1, 5)) for key in ("bboxes", "bboxes_ignore")
        )
        boxes = np.concatenate([objects, ignored]).astype(np.float64)
        classes = np.ravel(info["ann"]["labels"]).astype(np.int64) - 1
        images.append(
            (Path(info["filename"]).stem, str(folder / info["filename"]), (info["height"], info["width"]))
        )
        polys.append(rboxes_to_polys(boxes))
        # JDet does not say of which class an ignored box is.
        labels.append(np.concatenate([classes, np.zeros(len(ignored), np.int64)]))
        flags.append(np.repeat([0, 1], [len(objects), len(ignored)]))
        rboxes.append(boxes)
    return oriented_table(images, polys, labels, flags, angle_version=ANGLE_VERSION, rboxes=rboxes)
