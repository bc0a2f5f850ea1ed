"""JDet's datasets and transforms as jld's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jld.config.foreign import Section
from jld.config.schema import DATASET_KEYS, LOADER_KEYS

ANGLE_VERSION = "le135"
JDET_DATASET = "JDetDataset"  # jld's own, over JDet's pipelines
DATASETS = {"DOTADataset": None, "FAIRDataset": "FAIR", "SSDDDataset": "SSDD"}
LARGEST_ZOOM = 1.5
_LOADER = tuple(key.name for key in LOADER_KEYS)


# What JDet's ImageDataset does where a config gives it no transforms.
IMAGE_TRANSFORMS = (
    {"type": "Resize", "min_size": [800], "max_size": 1333},
    {"type": "Pad", "size_divisor": 32},
    {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
)


def translate_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """JDet's `dataset` with its train, val and test in jld's words.

    Raises:
        ConfigError: a dataset, transform, key or value without counterpart.
    """
    known = [key.name for key in DATASET_KEYS]
    return {
        split: _split(section, split) if split in known and section is not None else section
        for split, section in dataset.items()
    }


def _split(values: Any, split: str) -> dict[str, Any]:
    section = Section(values, f"dataset.{split}")
    if section.type == JDET_DATASET:
        return dict(values)
    section.copy(("buffer_size",))  # shared memory between JDet's worker processes
    translated = {**section.copy(_LOADER), "angle_version": ANGLE_VERSION}
    steps = section.take("transforms", IMAGE_TRANSFORMS if section.type == "ImageDataset" else [])
    translated["transforms"] = [
        _transform(step, f"{section.path}.transforms.{index}", is_training=split == "train")
        for index, step in enumerate(steps or ())
    ]
    if section.type == "ImageDataset":
        translated |= {"type": section.type, **section.copy(("images_dir", "images_file", "dataset_type"))}
        section.finish()
        return translated
    version = section.choose(DATASETS)
    keys = (
        "dataset_dir",
        "images_dir",
        "annotations_file",
        "filter_empty_gt",
        "filter_min_size",
        "balance_category",
    )
    translated |= {"type": "DOTADataset", **section.copy(keys)}
    translated["version"] = section.take("version", "1") if version is None else version
    section.finish()
    return translated


def _transform(values: Any, path: str, *, is_training: bool) -> dict[str, Any]:
    section = Section(values, path)
    translated = section.choose(TRANSFORMS)(section)
    if is_training and translated["type"] == "RotatedResize":
        translated["clip_boxes"] = True  # elsewhere nobody reads the boxes of a sample
    section.finish()
    return translated


def _resize(section: Section) -> dict[str, Any]:
    keys = ("min_size", "max_size", "keep_ratio")
    return {"type": "RotatedResize", **section.copy(keys), "max_zoom": LARGEST_ZOOM}


def _flip(section: Section) -> dict[str, Any]:
    return {"type": "RotatedRandomFlip", **section.copy(("prob", "direction"))}


def _normalize(section: Section) -> dict[str, Any]:
    to_rgb = not section.take("to_bgr", True)
    return {"type": "Normalize", **section.copy(("mean", "std")), "to_rgb": to_rgb}


def _pad(section: Section) -> dict[str, Any]:
    section.expect("pad_val", 0)
    size = section.take("size", None)
    # JDet counts (width, height).
    sizes = {} if size is None else {"size": list(size)[::-1]}
    return {"type": "Pad", **section.copy(("size_divisor",)), **sizes}


TRANSFORMS: dict[str, Callable[[Section], dict[str, Any]]] = {
    "RotatedResize": _resize,
    "Resize": _resize,
    "RotatedRandomFlip": _flip,
    "RandomFlip": _flip,
    "RandomRotateAug": lambda section: {"type": "RandomRotateAug", **section.copy(("random_rotate_on",))},
    "Pad": _pad,
    "Normalize": _normalize,
}
