"""JDet's own top-level keys in any config, and its tables of classes behind them.

jld knows one key for each thing; what JDet writes otherwise is translated here, wherever it is written: in a
file, in its base, or with `--opts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.config.config import Config, config_file

# Thresholds with `merge_nms_threshold_type` set, found by JDet's authors per class.
CLASS_IOU = {
    "roundabout": 0.1, "tennis-court": 0.3, "swimming-pool": 0.1, "storage-tank": 0.2,
    "soccer-ball-field": 0.3, "small-vehicle": 0.2, "ship": 0.2, "plane": 0.3, "large-vehicle": 0.1,
    "helicopter": 0.2, "harbor": 0.0001, "ground-track-field": 0.3, "bridge": 0.0001,
    "basketball-court": 0.3, "baseball-diamond": 0.3, "container-crane": 0.05, "airport": 0.1, "helipad": 0.1,
}  # fmt: skip
# `balance_category`: images with the class are visited so many times, the first so many once more.
CLASS_BALANCE = {
    "storage-tank": (1, 526), "baseball-diamond": (2, 202), "ground-track-field": (1, 575),
    "swimming-pool": (2, 104), "soccer-ball-field": (1, 962), "roundabout": (1, 711),
    "tennis-court": (1, 655), "basketball-court": (4, 0), "helicopter": (8, 0), "container-crane": (50, 0),
}  # fmt: skip
MERGE_TYPE, MERGE_IOU = "merge_nms_threshold_type", "merge_iou_threshold"
# {key: (values that ask for nothing, what to write for any other)}; fp16 is mmDetection's.
UNSERVED: dict[str, tuple[tuple[Any, ...], str]] = {
    "amp": ((False, None), "write precision='bfloat16' or precision='float16'."),
    "fp16": (
        (None,),
        "write precision='float16', which finds its loss scale itself, or precision='bfloat16'.",
    ),
    "parameter_groups_generator": ((None,), "write rules into optimizer.parameter_groups."),
    MERGE_TYPE: ((), "must be 0, 1 or 2; or write merge_iou_threshold."),
}


def translate_keys(config: Mapping[str, Any]) -> Config:
    """The config without JDet's top-level keys, as far as jld has what they ask for.

    Values that ask for nothing are dropped. What jld does not serve stays in, for `validate_config` to refuse
    with the sentence in `UNSERVED`.
    """
    translated = Config(translate_merge_type(config), file=config_file(config))
    for key, (idle, _) in UNSERVED.items():
        if key in translated and any(translated[key] is value for value in idle):
            del translated[key]
    return translated


def translate_merge_type(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `merge_iou_threshold` in place of `merge_nms_threshold_type`, which wins over it.

    0 is the default, which is written out so that it also replaces the threshold of a base; 1 and 2 are
    JDet's table. Anything else is no type and stays.
    """
    kind, translated = config.get(MERGE_TYPE), dict(config)
    if type(kind) is int and kind in (0, 1, 2):  # True and 1.0 are no types
        del translated[MERGE_TYPE]
        translated[MERGE_IOU] = CLASS_IOU if kind else None
    return translated
