"""Class names: those of COCO and PASCAL VOC, in the order of the published detectors' outputs, and those that
a config tells.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jld.data.account import Tally
from jld.data.aerial_shapes import KINDS as AERIAL_KINDS
from jld.data.dota.classes import classes_of, classes_of_version
from jld.data.problems import Problem, error, warning
from jld.data.shapes import KINDS
from jld.data.text_files import read_list
from jld.data.values import composed
from jld.errors import ConfigError, nearest

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

COCO_CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck",
    9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase",
    34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
    40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut",
    61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet",
    72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone", 78: "microwave",
    79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book", 85: "clock", 86: "vase",
    87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
"""{category id in the annotation files: name}; the ids have gaps, the labels of a detector (0..79) do not."""

COCO_CLASSES = tuple(COCO_CATEGORIES.values())

# {dataset: its class names where the config names none, given its section}
DEFAULT_CLASSES: dict[str, Callable[[Mapping[str, Any]], tuple[str, ...]]] = {
    "COCODataset": lambda section: COCO_CLASSES,
    "VOCDataset": lambda section: VOC_CLASSES,
    "DrawnDataset": lambda section: tuple(section.get("kinds", KINDS)),
    "DrawnOrientedDataset": lambda section: AERIAL_KINDS,
    "DOTADataset": lambda section: classes_of_version(section.get("version", "1")),
    "ImageDataset": lambda section: classes_of(section.get("dataset_type", "DOTA")),
}


def class_names(classes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names from a list, a single name, or a text file with one name per line; None stays None.

    Raises:
        ConfigError: no name, a name twice, something that is no text, or a text file that is not there.
        DataError: the file is not in UTF-8.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        is_file = os.path.isfile(classes)  # noqa: PTH113 (a Path raises on names that no file can have)
        if not is_file and classes.endswith(".txt"):
            raise ConfigError(f"classes names the file {classes}, which does not exist.")
        classes = read_list(classes, "list of classes") if is_file else [classes.strip()]
    names = [composed(name) if isinstance(name, str) else name for name in classes]
    is_sound = all(isinstance(name, str) and name.strip() and name.isprintable() for name in names)
    if not names or not is_sound or len(set(names)) != len(names):
        raise ConfigError(f"classes is {names!r}: give at least one name, and each name once.")
    return tuple(names)


def class_names_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names in the order of the labels, as far as a config tells them without its data being there.

    Args:
        config: a resolved config; of its datasets `test`, `val` and `train` the first that tells is asked.
    Returns:
        () where none does.
    Raises:
        ConfigError: a dataset names an unknown version or type.
    """
    dataset = config.get("dataset") or {}
    for split in ("test", "val", "train"):
        section = dataset.get(split) or {}
        default = DEFAULT_CLASSES.get(section.get("type"), lambda section: ())
        classes = class_names(section.get("classes")) or default(section)
        if classes:
            return tuple(classes)
    return ()


def folded(name: str) -> str:
    """A name without what spellings differ in: spaces, hyphens and underscores, how accents are stored."""
    return re.sub(r"[\s_-]+", "_", composed(name.strip()))


def is_misspelt(name: str, other: str) -> bool:
    """Whether two different names are most likely meant to be one; other numbers make other names."""
    first, second = (re.sub(r"[\W_]+", "", each).lower() for each in (name, other))
    if re.findall(r"\d+", first) != re.findall(r"\d+", second):
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= 0.8


def unmatched_names(
    classes: Sequence[str], used: set[str], passed_over: Tally, source: object
) -> list[Problem]:
    """What is to be said about objects that were passed over because their class is not in `classes`.

    It is an error where a class without any object is most likely one of their names written differently, or
    where nothing else is left; otherwise one line says what was passed over.

    Args:
        classes: the wanted names.
        used: those of them that have an object.
        passed_over: objects by name.
        source: of the annotations, for messages.
    """
    problems = []
    for name in classes:
        likely = [other for other in passed_over.counts if name not in used and is_misspelt(name, other)]
        if likely:
            text = (
                f"has no object of the class {name!r}, but {passed_over.counts[likely[0]]} of {likely[0]!r} "
            )
            text += f"(first: {passed_over.examples[likely[0]]}): did you mean {likely[0]!r} in classes?"
            problems.append(error(text, source))
    counts = ", ".join(f"{name!r} ({count})" for name, count in list(passed_over.counts.items())[:8])
    if passed_over.total and not used and not problems:
        text = f"has no object of the classes {', '.join(classes)}; its objects are {counts}."
        problems.append(error(text, source))
    elif passed_over.total:
        text = f"passes over {passed_over.total} objects of classes that are not wanted: {counts}"
        more = ", ..." if len(passed_over.counts) > 8 else ""
        for name in [name for name in classes if name not in used][:8]:
            match = nearest(name, passed_over.counts)
            more += f"; none is of {name!r}" + (f" (did you mean {match!r}?)" if match else "")
        problems.append(warning(f"{text}{more}.", source))
    return problems


_BENCHMARKS = {frozenset(COCO_CLASSES): "COCO", frozenset(VOC_CLASSES): "VOC"}


def benchmark_of(classes: Iterable[str]) -> str | None:
    """The benchmark, "COCO" or "VOC", with exactly these classes, in any order; None without one."""
    return _BENCHMARKS.get(frozenset(classes))
