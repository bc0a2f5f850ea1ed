"""mmDetection's config files, 2.x and 3.x, of the detectors that jld has, in jld's words.

One table per section, as for JDet: a key or value of a model, dataset, transform or schedule that jld has no
counterpart for is an error that names it. Other names at the top of a file are helpers or settings of
mmDetection's own programs; what jld itself knows (`distill`, `work_dir`, ...) stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jld.config.foreign import Section
from jld.config.mmdet.data import translate_datasets
from jld.config.mmdet.model import DETECTORS, translate_model
from jld.config.mmdet.schedule import translate_schedule
from jld.config.schema import TOP_LEVEL
from jld.errors import ConfigError

# Names that neither jld's nor JDet's configs have: of 2.x, of 3.x, and inside a model alone.
_TOP = frozenset(
    "data lr_config optimizer_config runner total_epochs checkpoint_config log_config evaluation "
    "train_dataloader val_dataloader optim_wrapper param_scheduler default_hooks default_scope".split()
)
# Hooks that only check; others would change what is learnt.
_IDLE_HOOKS = frozenset(("NumClassCheckHook", "CheckInvalidLossHook", "MemoryProfilerHook"))
_IN_MODEL = frozenset(("train_cfg", "test_cfg", "data_preprocessor"))
_TRANSLATED = frozenset(("model", "dataset", "optimizer", "scheduler", "auto_scale_lr"))
_BASE_VALUE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")


def is_mmdet(config: Mapping[str, Any]) -> bool:
    """Whether a config speaks mmDetection's language."""
    model = config.get("model")
    inside = isinstance(model, Mapping) and _IN_MODEL & set(model)
    return "dataset" not in config and bool(inside or _TOP & set(config))


def translate_mmdet(config: Mapping[str, Any], file: str | Path | None = None) -> dict[str, Any]:
    """The same experiment in jld's words.

    Args:
        config: a merged config for which `is_mmdet` holds.
        file: where it was read, for messages.
    Returns:
        a config that `jld.config.check_config` accepts.
    Raises:
        ConfigError: a detector, part, key or value that jld does not have; says which.
    """
    try:
        return _translate(config)
    except ConfigError as error:
        where = f"{file}: " if file else ""
        raise ConfigError(f"{where}this is a config of mmDetection; {error}") from None


def _translate(config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config.get("model"), Mapping):
        raise ConfigError("it has no `model`: it is a part that others name in _base_.")
    config = _with_settings_inside(config)
    model = Section(config["model"], "model", "mmDetection")
    if model.type not in DETECTORS:
        hint = " (its rows are in configs/ld: `jld list configs/ld`)" if "Distill" in str(model.type) else ""
        raise ConfigError(
            f"jld does not translate its {model.type!r}{hint}; it does so with {', '.join(DETECTORS)}."
        )
    for hook in config.get("custom_hooks") or ():
        if hook.get("type") not in _IDLE_HOOKS:
            raise ConfigError(f"custom_hooks: jld does not translate its {hook.get('type')!r}.")
    kept = {key.name: config[key.name] for key in TOP_LEVEL if key.name in config}
    kept = {key: value for key, value in kept.items() if key not in _TRANSLATED}
    translated = translate_model(model)
    datasets = translate_datasets(config, with_masks=model.type == "MaskRCNN")
    return {**kept, "model": translated, "dataset": datasets, **translate_schedule(config)}


def _with_settings_inside(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Until 2.8 the detector's train_cfg and test_cfg could stand beside it; in 3.x those are the loops."""
    beside = {key: config.get(key) for key in ("train_cfg", "test_cfg") if key not in config["model"]}
    beside = {
        key: value
        for key, value in beside.items()
        if isinstance(value, Mapping) and {"assigner", "rpn", "nms"} & set(value)
    }
    return {**config, "model": {**config["model"], **beside}}


def with_base_values(source: str, bases: Callable[[], Mapping[str, Any]]) -> str:
    """A config's text in which `{{_base_.key.path}}` is the value that its bases give.

    Args:
        source: the text.
        bases: reads the merged bases; called only where the text asks for a value of them.
    Raises:
        ConfigError: the bases have no such key.
    """
    values: Mapping[str, Any] | None = None

    def value(match: re.Match) -> str:
        nonlocal values
        values = bases() if values is None else values
        found: Any = values
        for part in match[1].split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise ConfigError(f"{match[0]} names a key that the bases do not have.")
            found = found[part]
        return repr(found)

    return _BASE_VALUE.sub(value, source)
