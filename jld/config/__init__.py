"""Experiment configs: load, inherit, override, validate, dump; builds no objects and needs no Jittor."""

from jld.config.config import Config, MissingKeyError, config_file, to_plain
from jld.config.dump import dump_config, dump_text, is_dumped
from jld.config.imports import import_parts
from jld.config.loader import load_config
from jld.config.named import RUN_CONFIG, find_config, named_configs, shipped_configs
from jld.config.overrides import apply_overrides, parse_value
from jld.config.prepare import prepare_config
from jld.config.schema import (
    LOADER_KEYS,
    MATCH_KEYS,
    TOP_LEVEL,
    Key,
    describe_schema,
    fill_defaults,
    named_sections,
)
from jld.config.validate import check_config, validate_config
from jld.config.written import differing_keys, plain_assignments, read_written

__all__ = [
    "LOADER_KEYS",
    "MATCH_KEYS",
    "RUN_CONFIG",
    "TOP_LEVEL",
    "Config",
    "Key",
    "MissingKeyError",
    "apply_overrides",
    "check_config",
    "config_file",
    "describe_schema",
    "differing_keys",
    "dump_config",
    "dump_text",
    "fill_defaults",
    "find_config",
    "import_parts",
    "is_dumped",
    "load_config",
    "named_configs",
    "named_sections",
    "parse_value",
    "plain_assignments",
    "prepare_config",
    "read_written",
    "shipped_configs",
    "to_plain",
    "validate_config",
]
