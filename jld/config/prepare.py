"""From a file, its name or a dict, and the command line's overrides to a config that can be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jld.config.config import Config, config_file
from jld.config.imports import import_parts
from jld.config.jdet import translate_keys
from jld.config.lengths import scaled_lengths
from jld.config.loader import load_config
from jld.config.overrides import apply_overrides
from jld.config.schema import fill_defaults
from jld.config.teacher import teacher_section
from jld.config.validate import check_config
from jld.errors import ConfigError


def prepare_config(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Loads, overrides, imports what the config asks for, checks, fills defaults, and scales the lengths.

    jld's own parts must be registered by the caller; this layer knows none of them.

    Args:
        source: a config file, the name of one, or a loaded config.
        overrides: `key.path=value`.
    Raises:
        ConfigError: see `load_config`, `apply_overrides`, `import_parts`, `teacher_section`, `check_config`
            and `scaled_lengths`.
    """
    loaded = load_config(source) if isinstance(source, str | Path) else source
    config = translate_keys(apply_overrides(loaded, overrides))
    if "model" not in config and {"tasks", "source_dataset_path"} & set(config):
        raise ConfigError(f"{config_file(config)}: this prepares data: use it with `jld preprocess`.")
    if config_file(config) and "model" not in config and not {"dataset", "optimizer"} <= set(config):
        raise ConfigError(
            f"{config_file(config)}: this is a part of a config, without a model: run the config that has it "
            "as a `_base_`."
        )
    imports = config.get("imports")
    if not isinstance(imports, list | tuple | None) or not all(
        isinstance(entry, str) for entry in imports or ()
    ):
        where = f"{config_file(config)}: " if config_file(config) else ""
        raise ConfigError(f"{where}imports: must be a list of module or file names, got {imports!r}.")
    import_parts(imports)
    distill = config.get("distill")
    if isinstance(distill, dict) and isinstance(distill.get("teacher"), str):
        distill["teacher"] = teacher_section(distill["teacher"])
    check_config(config)
    return scaled_lengths(fill_defaults(config))
