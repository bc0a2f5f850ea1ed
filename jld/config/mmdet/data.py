"""mmDetection's datasets and pipelines as jld's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from jld.config.foreign import Section
from jld.errors import ConfigError
from jld.utils.logging import warn_once

ORIGIN = "mmDetection"
# For so many processes mmDetection's own learning rates are meant; its configs count images per process.
NUM_PROCESSES = 8
# Steps that load, pack, or only carry others.
_CARRIERS = frozenset("LoadImageFromFile DefaultFormatBundle Collect ImageToTensor PackDetInputs".split())


def translate_datasets(config: Mapping[str, Any], *, with_masks: bool = False) -> dict[str, Any]:
    """train, val and test as far as the config has them.

    Args:
        config: the merged config.
        with_masks: the detector learns masks.
    Raises:
        ConfigError: a dataset, transform, key or value without counterpart.
    """
    tail = _preprocessing(config["model"])
    found = {}
    for split in ("train", "val", "test"):
        loader, values = _loader(config, split)
        if values is not None:
            path = f"data.{split}" if "data" in config else f"{split}_dataloader.dataset"
            found[split] = {**_dataset(Section(values, path, ORIGIN), split, tail), **loader}
            if with_masks:
                found[split]["with_masks"] = True
    if "train" in found:
        found["train"]["batch_size"] = _images_per_step(config, found["train"]["batch_size"])
    return found


def _loader(config: Mapping[str, Any], split: str) -> tuple[dict[str, Any], Any]:
    """(keys of the loader, the dataset's section or None)."""
    data, loader = config.get("data") or {}, config.get(f"{split}_dataloader") or {}
    merged = {**data, **(data.get(f"{split}_dataloader") or {})} if data else loader
    is_training = split == "train"
    workers = merged.get("workers_per_gpu", merged.get("num_workers", 0))
    batch = merged.get("samples_per_gpu", merged.get("batch_size", 1)) if is_training or not data else 1
    keys = {"batch_size": batch, "num_workers": workers, "shuffle": is_training}
    if is_training:
        keys["group_by_aspect_ratio"] = True
    return keys, data.get(split) if data else loader.get("dataset")


def _images_per_step(config: Mapping[str, Any], per_process: int) -> int:
    scaling = config.get("auto_scale_lr") or {}
    images = scaling.get("base_batch_size", NUM_PROCESSES * per_process)
    warn_once(
        f"mmDetection's config counts {per_process} images per process; the learning rate is taken to be "
        f"meant for {images} in a step, which is dataset.train.batch_size. Change both, or add "
        "accumulate_steps, where that is too much."
    )
    return images


def _dataset(section: Section, split: str, tail: list[dict[str, Any]]) -> dict[str, Any]:
    if section.type == "RepeatDataset":
        times = section.take("times")
        inner = _dataset(section.section("dataset"), split, tail)
        section.finish()
        return {**inner, "times": times}
    translated = section.choose(DATASETS)(section)
    steps = section.take("pipeline", [])
    translated["transforms"] = translate_pipeline(steps, f"{section.path}.pipeline") + tail
    classes = (section.take("metainfo", None) or {}).get("classes", section.take("classes", None))
    if classes is not None:
        translated["classes"] = classes if isinstance(classes, str) else list(classes)
    filters = section.section("filter_cfg", {})
    empty = filters.take("filter_empty_gt", section.take("filter_empty_gt", True))
    translated["filter_empty_gt"] = empty and split == "train"
    if "min_size" in filters.values:
        translated["min_size"] = filters.take("min_size")
    filters.finish()
    section.copy(("test_mode", "backend_args", "file_client_args"))
    section.finish()
    return translated


def _place(section: Section, prefix: Any) -> tuple[str, str]:
    """(the annotation file, the folder of the images), both below `data_root`."""
    root = PurePosixPath(section.take("data_root", None) or "")
    annotations = section.take("ann_file")
    if not isinstance(annotations, str) or not isinstance(prefix, str):
        raise ConfigError(f"{section.path}: several annotation files in one dataset are not covered.")
    return str(root / annotations), str(root / prefix)


def _prefix(section: Section, key: str) -> Any:
    """The folder of the images: `img_prefix` of 2.x, `data_prefix[key]` of 3.x."""
    inside = section.take("data_prefix", None) or {}
    return section.take("img_prefix", inside.get(key, ""))


def _coco(section: Section) -> dict[str, Any]:
    annotations, images = _place(section, _prefix(section, "img"))
    return {"type": "COCODataset", "root": images, "anno_file": annotations}


def _voc(section: Section) -> dict[str, Any]:
    lists, prefix = section.values.get("ann_file"), _prefix(section, "sub_data_root")
    if isinstance(lists, list | tuple):  # of VOC 2007 and 2012 in 2.x
        section.take("ann_file")
        root = section.take("data_root", None) or ""
        pairs = [
            (str(PurePosixPath(root, each)), str(PurePosixPath(root, one)))
            for each, one in zip(lists, prefix, strict=True)
        ]
    else:
        pairs = [_place(section, prefix)]
    names = {PurePosixPath(each).stem for each, _ in pairs}
    if len(names) != 1:
        raise ConfigError(
            f"{section.path}.ann_file: lists of several names ({', '.join(sorted(names))}) are not covered."
        )
    roots = [root for _, root in pairs]
    return {
        "type": "VOCDataset",
        "root": roots if len(roots) > 1 else roots[0],
        "image_set": names.pop(),
        "evaluator": {"type": "VocEvaluator", "metric": "07"},
    }


DATASETS: dict[str, Callable[[Section], dict[str, Any]]] = {"CocoDataset": _coco, "VOCDataset": _voc}


def _preprocessing(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What 3.x does to images in the detector."""
    values = model.get("data_preprocessor")
    if values is None:
        return []
    section = Section(values, "model.data_preprocessor", ORIGIN)
    section.choose(("DetDataPreprocessor",))
    section.copy(("pad_mask", "mask_pad_value"))
    section.expect("batch_augments", None)
    section.expect("pad_value", 0)
    to_rgb = section.take("bgr_to_rgb", False)
    steps = [
        {"type": "Normalize", "mean": section.take("mean"), "std": section.take("std"), "to_rgb": to_rgb},
        {"type": "Pad", "size_divisor": section.take("pad_size_divisor", 1)},
    ]
    section.finish()
    return steps


def translate_pipeline(steps: Any, path: str, scale: Any = None) -> list[dict[str, Any]]:
    """The transforms of a pipeline in jld's words.

    Args:
        steps: of mmDetection.
        path: where they stand, for messages.
        scale: of the steps inside a `MultiScaleFlipAug`.
    Raises:
        ConfigError: a step, key or value without counterpart.
    """
    found: list[dict[str, Any]] = []
    for index, values in enumerate(steps):
        section = Section(values, f"{path}.{index}", ORIGIN)
        if section.type == "MultiScaleFlipAug":
            section.expect("flip", False)
            size = section.take("img_scale")
            if not isinstance(size[0], int | float):
                raise ConfigError(f"{section.path}.img_scale: testing at several sizes is not covered.")
            found += translate_pipeline(section.take("transforms"), f"{section.path}.transforms", size)
            section.copy(("flip_direction",))
        elif section.type == "LoadAnnotations":
            section.expect("with_bbox", True)
            section.copy(("with_mask", "poly2mask", "file_client_args", "backend_args"))
        elif section.type in _CARRIERS:
            continue
        elif section.type == "RandomFlip" and scale is not None:
            continue  # it flips where the step around it says so
        else:
            found.append(section.choose(TRANSFORMS)(section, scale))
        section.finish()
    return found


def _resize(section: Section, scale: Any) -> dict[str, Any]:
    """`Resize` of 2.x (`img_scale`, one or several) and of 3.x (`scale`)."""
    sizes = section.take("scale", section.take("img_scale", scale))
    section.copy(("backend", "clip_object_border"))
    _keeps_ratio(section, section.take("keep_ratio", "scale" not in section.values))
    return _sizes(section, sizes, section.take("multiscale_mode", "range"))


def _keeps_ratio(section: Section, value: Any) -> None:
    if value is not True:
        raise ConfigError(f"{section.path}.keep_ratio: only True is covered.")


def _drawn(section: Section, _: Any) -> dict[str, Any]:
    """`RandomResize` and `RandomChoiceResize` of 3.x."""
    is_range = section.type == "RandomResize"
    sizes = section.take("scale" if is_range else "scales")
    if is_range:
        section.expect("ratio_range", None)
    section.expect("resize_type", "Resize")
    _keeps_ratio(section, section.take("keep_ratio", False))
    return _sizes(section, sizes, "range" if is_range else "value")


def _sizes(section: Section, sizes: Any, mode: str) -> dict[str, Any]:
    """(long, short) sides of mmDetection, in any order, as jld's short and longest sides."""
    pairs = [sizes] if isinstance(sizes[0], int | float) else list(sizes)
    longest = {max(pair) for pair in pairs}
    if len(longest) != 1:
        raise ConfigError(
            f"{section.path}: sizes with different longer sides ({sorted(longest)}) are not covered."
        )
    shorts = [min(pair) for pair in pairs]
    if len(shorts) == 1:
        return {"type": "Resize", "min_size": shorts[0], "max_size": longest.pop()}
    return {"type": "Resize", "min_size": shorts, "max_size": longest.pop(), "multiscale_mode": mode}


def _flip(section: Section, _: Any) -> dict[str, Any]:
    prob = section.take("prob", section.take("flip_ratio", None))
    return {"type": "RandomFlip", "prob": prob, "direction": section.take("direction", "horizontal")}


def _normalize(section: Section, _: Any) -> dict[str, Any]:
    to_rgb = section.take("to_rgb", True)
    return {"type": "Normalize", "mean": section.take("mean"), "std": section.take("std"), "to_rgb": to_rgb}


def _pad(section: Section, _: Any) -> dict[str, Any]:
    section.expect("pad_val", 0, {"img": 0}, {"img": 0, "masks": 0, "seg": 255})
    return {"type": "Pad", "size_divisor": section.take("size_divisor")}


TRANSFORMS: dict[str, Callable[[Section, Any], dict[str, Any]]] = {
    "Resize": _resize,
    "RandomResize": _drawn,
    "RandomChoiceResize": _drawn,
    "RandomFlip": _flip,
    "Normalize": _normalize,
    "Pad": _pad,
}
