"""From a preprocessing config, written as for JDet, to folders of patches.

    type = "DOTA"                            # see CLASSES_BY_TYPE
    source_dataset_path = "data/DOTA"        # {train,val}/{images,labelTxt}, test/images
    target_dataset_path = "data/DOTA_split"
    tasks = [dict(label="trainval", config=dict(subimage_size=1024, overlap_size=200, multi_scale=[1.0]))]
    classes = ["crane", "barge"]             # only where they are not those of the type
    label_format = "yolo_obb"                # only where `labels` are not DOTA's, see `formats.py`
    image_reader = dict(max_pixels=10**9)    # only where images are not read as usual, see `ImageReader`

Each task fills `<target>/<label>_<size>_<overlap>_<rates joined by ->`. `trainval` takes the images of train
and val where no such folder exists; nothing is ever copied into, or removed from, the source.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jld.data.dota.classes import classes_of
from jld.data.dota.convert import CONVERTERS
from jld.data.dota.formats import DOTA, LABEL_FORMATS, rewrite_as_dota
from jld.data.dota.patches import SourceImage, SplitSettings
from jld.data.dota.split import find_images
from jld.data.images import ImageReader
from jld.errors import ConfigError, one_of

LABELS = ("trainval", "train", "val", "test")
TOP_KEYS = (
    "type", "source_dataset_path", "target_dataset_path", "tasks", "convert_tasks",
    "source_fair_dataset_path", "resize", "style", "yx_style", "keep_empty", "classes", "name",
    "work_dir", "image_reader", "label_format",
)  # fmt: skip
# JDet's keys for augmentation before cutting; JDet itself accepts only these values.
UNSUPPORTED = {"horizontal_flip": False, "vertical_flip": False, "rotation_angles": [0.0]}
CONVERTED_FIRST = ("FAIR", "FAIR1M_1_5")


@dataclass(frozen=True)
class SplitTask:
    """One folder of patches to make."""

    label: str
    dataset_type: str
    folders: tuple[Path, ...]
    target: Path
    settings: SplitSettings
    own_classes: tuple[str, ...] = ()
    image_reader: ImageReader = field(default_factory=ImageReader)
    label_format: str = DOTA

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names; None for a test set, which has no labels."""
        return None if self.label == "test" else self.own_classes or classes_of(self.dataset_type)

    def sources(self) -> list[SourceImage]:
        """The images to cut, see `find_images`; labels of another format are rewritten beside the patches."""
        if self.classes is None or self.label_format == DOTA:
            return find_images(self.folders, has_labels=self.classes is not None)
        rewritten = [self.target.with_name(f"{folder.name}_labelTxt") for folder in self.folders]
        for folder, labels in zip(self.folders, rewritten, strict=True):
            rewrite_as_dota(self.label_format, folder, labels, self.classes, self.image_reader)
        return find_images(self.folders, label_folders=rewritten)


@dataclass(frozen=True)
class ConvertTask:
    """One folder of another dataset to rewrite in the layout of DOTA."""

    dataset_type: str
    source: Path
    target: Path
    options: dict[str, Any]
    image_reader: ImageReader = field(default_factory=ImageReader)

    def run(self, num_workers: int | str = 0) -> int:
        """Writes images and label files; returns the number of images.

        Raises:
            DataError: files are missing or cannot be used; lists all unusable objects.
        """
        return CONVERTERS[self.dataset_type](
            self.source,
            self.target,
            num_workers=num_workers,
            image_reader=self.image_reader,
            **self.options,
        )


def read_plan(config: Mapping[str, Any]) -> tuple[list[ConvertTask], list[SplitTask]]:
    """What a preprocessing config asks for; conversions come before splits.

    Args:
        config: top-level keys, see the module; `style`, `yx_style` and `keep_empty` hold for all tasks.
    Raises:
        ConfigError: missing or unknown keys, an unknown type or label, settings that cannot be, or a target
            inside the source.
    """
    _check_keys(config, TOP_KEYS, "the preprocessing config")
    for key in ("type", "source_dataset_path", "target_dataset_path"):
        if not config.get(key):
            raise ConfigError(f"the preprocessing config needs {key}.")
    classes_of(config["type"])
    source, target = Path(config["source_dataset_path"]), Path(config["target_dataset_path"])
    if target.resolve() == source.resolve() or target.resolve() in source.resolve().parents:
        raise ConfigError(
            f"target_dataset_path {target} must not hold the source, {source}: results are kept apart."
        )
    common = {key: config[key] for key in ("style", "yx_style", "keep_empty") if config.get(key) is not None}
    tasks = [_split_task(task, index, config, common) for index, task in enumerate(config.get("tasks") or [])]
    return _convert_tasks(config, source, target), tasks


def _split_task(task: Mapping, index: int, config: Mapping, common: dict[str, Any]) -> SplitTask:
    where = f"tasks[{index}]"
    _check_keys(task, ("label", "config"), where)
    label = task.get("label")
    one_of(label, LABELS, f"{where}.label is {label!r}")
    given = dict(task.get("config") or {})
    for key, allowed in UNSUPPORTED.items():
        value = given.pop(key, allowed)
        if value != allowed and value is not None:
            raise ConfigError(
                f"{where}.config.{key} is {value!r}; only {allowed!r} is supported, augment in training."
            )
    _check_keys(given, tuple(key.name for key in fields(SplitSettings)), f"{where}.config")
    given = {key: value for key, value in {**common, **given}.items() if value is not None}
    if "multi_scale" in given:
        given["multi_scale"] = tuple(given["multi_scale"])
    settings = SplitSettings(**given)
    rates = "-".join(str(rate) for rate in settings.multi_scale)
    name = f"{label}_{settings.subimage_size}_{settings.overlap_size}_{rates}"
    source = Path(config["source_dataset_path"])
    folders = (source / label,)
    if label == "trainval" and not folders[0].is_dir():
        folders = (source / "train", source / "val")
    target = Path(config["target_dataset_path"]) / name
    classes, reader = tuple(config.get("classes") or ()), ImageReader.of(config.get("image_reader"))
    label_format = config.get("label_format") or DOTA
    one_of(label_format, LABEL_FORMATS, f"label_format is {label_format!r}")
    return SplitTask(label, config["type"], folders, target, settings, classes, reader, label_format)


def _convert_tasks(config: Mapping, source: Path, target: Path) -> list[ConvertTask]:
    dataset_type, labels = config["type"], config.get("convert_tasks") or []
    reader = ImageReader.of(config.get("image_reader"))
    if labels and dataset_type not in CONVERTERS:
        raise ConfigError(
            f"convert_tasks go with the types {', '.join(CONVERTERS)}, not with {dataset_type}."
        )
    if dataset_type in CONVERTED_FIRST and labels:
        if not config.get("source_fair_dataset_path"):
            raise ConfigError(
                "convert_tasks of FAIR1M need source_fair_dataset_path, the folder as downloaded."
            )
        origin = Path(config["source_fair_dataset_path"])
        return [ConvertTask(dataset_type, origin / label, source / label, {}, reader) for label in labels]
    tasks = []
    for label in labels:
        options = {"label": label}
        takes_resize = "resize" in inspect.signature(CONVERTERS[dataset_type]).parameters
        if takes_resize and config.get("resize") is not None:
            options["resize"] = config["resize"]
        suffix = f"_{config['resize']}" if "resize" in options else ""
        # JDet evaluates these sets on their test images and calls them val.
        name = "val" if label == "test" else label
        tasks.append(ConvertTask(dataset_type, source, target / f"{name}{suffix}", options, reader))
    return tasks


def _check_keys(section: Mapping, known: Sequence[str], where: str) -> None:
    for key in section:
        one_of(key, known, f"{where} has no key {key!r}")
