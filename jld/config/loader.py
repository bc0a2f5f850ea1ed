"""Reads config files: Python or YAML, joined along `_base_`.

A `.py` config is run from its source in a namespace of its own, never imported: its file name may be
anything, and nothing is left in `sys.modules` or `sys.path`. Knows no keys but `_base_`, `_cover_`, `name`,
`work_dir` and `imports`; whether the rest can be run is `validate`'s question.
Configs of JDet and mmDetection are translated.
"""

from __future__ import annotations

import ast
import contextlib
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from jld.config.config import Config
from jld.config.imports import is_path
from jld.config.jdet import is_jdet, translate_jdet, translate_keys
from jld.config.jdet.keys import MERGE_IOU, MERGE_TYPE, translate_merge_type
from jld.config.mmdet import is_mmdet, translate_mmdet, with_base_values
from jld.config.named import config_called, find_config, is_name
from jld.config.yaml_text import parse_yaml
from jld.errors import ConfigError, nearest
from jld.utils.logging import get_logger

MAX_BASES = 50
BASE = "_base_"
MM_PACKAGES = ("mmengine", "mmcv", "mmdet")
PURE_PYTHON = (
    " This is a config of mmDetection that imports its Python: give the merged file that a run leaves in its "
    "work folder."
)
# Marks of a section that replaces the inherited one: jld's and JDet's, and mmDetection's.
COVERS = ("_cover_", "_delete_")


def load_config(path: str | Path) -> Config:
    """The config in a file, with its bases merged in.

    Later bases win over earlier ones and the file wins over all. Dicts merge key by key, everything else is
    replaced; `_cover_=True` in a dict replaces the inherited dict, whichever base that came from. Names that
    start with an underscore are the file's own helpers and are left out, and so are imported modules,
    functions and classes. Configs of JDet and of mmDetection are translated, see `jld.config.jdet` and
    `jld.config.mmdet`. `name` defaults to the file's stem, `work_dir` to `work_dirs/{name}`.

    Args:
        path: a `.py`, `.yaml` or `.yml` file, or what `find_config` makes one of.
    Raises:
        ConfigError: a file is missing (says who includes it), does not parse or run (says the line), or the
            bases go in a circle (says the chain).
    """
    path = find_config(path)
    values = _strip_covers(_load_merged(path, ()))
    if is_mmdet(values):
        values = translate_mmdet(values, path)
    elif is_jdet(values):
        values = translate_jdet(values, path)
    values.setdefault("name", path.stem)
    values.setdefault("work_dir", f"work_dirs/{values['name']}")
    return translate_keys(Config(values, file=path))


def merge(base: Any, child: Any) -> Any:
    """`child` on top of `base`; `_cover_` marks stay in, so that they also act on bases merged later."""
    both = isinstance(base, Mapping) and isinstance(child, Mapping)
    if not both or any(child.get(mark) for mark in COVERS):
        return child
    merged = {key: merge(base[key], value) if key in base else value for key, value in child.items()}
    return {**base, **merged}


def _strip_covers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strip_covers(item) for key, item in value.items() if key not in COVERS}
    if type(value) in (list, tuple):
        return type(value)(_strip_covers(item) for item in value)
    return value


def _load_merged(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    chain = [*including, path]
    if len(chain) > MAX_BASES:
        raise ConfigError(f"{path}: {BASE} goes through more than {MAX_BASES} files.")
    if path.resolve() in (file.resolve() for file in including):
        raise ConfigError(
            f"{BASE} goes in a circle: {' -> '.join(map(str, chain))}; remove one of these lines."
        )
    own = _read(path, including)
    merged = _merged_bases(own.pop(BASE, []), path, chain)
    own = {key: value for key, value in own.items() if not str(key).startswith("_") or key in COVERS}
    if isinstance(own.get("imports"), list | tuple):
        own["imports"] = [_locate_import(entry, path.parent) for entry in own["imports"]]
    return merge(merged, _with_merge_iou(own, path))


def _merged_bases(bases: Any, path: Path, chain: Sequence[Path]) -> dict[str, Any]:
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list | tuple) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{path}: {BASE} must be a file name or a list of file names, got {bases!r}.")
    merged: dict[str, Any] = {}
    for base in bases:
        merged = merge(merged, _load_merged(_base_file(base, path), tuple(chain)))
    return merged


def _base_file(base: str, path: Path) -> Path:
    """The file that a config means by a base: beside itself, or one of jld by name or as `configs/...`."""
    beside = path.parent / base
    if beside.is_file() or not is_name(base):
        return beside
    try:
        named = config_called(Path(base))
    except ConfigError as error:
        raise ConfigError(f"{path}: {BASE} {base!r}: {error}") from error
    return named if named.is_file() else beside


def _with_merge_iou(own: dict[str, Any], path: Path) -> dict[str, Any]:
    """Translates JDet's name for the threshold in each file: side by side, the later one could not win."""
    translated = translate_merge_type(own)
    if own.get(MERGE_IOU) not in (None, translated.get(MERGE_IOU)):
        get_logger("config").warning(
            "%s: %s=%r wins over %s in the same file; remove one of them.",
            path,
            MERGE_TYPE,
            own[MERGE_TYPE],
            MERGE_IOU,
        )
    return translated


def _locate_import(entry: Any, folder: Path) -> Any:
    """A file named relative to the config becomes one that the dumped config can find as well."""
    if not isinstance(entry, str) or not is_path(entry) or not (folder / entry).exists():
        return entry
    found = (folder / entry).resolve()
    return str(found.relative_to(Path.cwd())) if found.is_relative_to(Path.cwd()) else str(found)


def _read(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    readers: dict[str, Callable] = {
        ".py": lambda path: _read_python(path, including),
        ".yaml": _read_yaml,
        ".yml": _read_yaml,
    }
    included = f" (named in {BASE} of {including[-1]})" if including else ""
    if path.suffix not in readers:
        raise ConfigError(f"config file {path}{included} must end in .py, .yaml or .yml.")
    if not path.is_file():
        raise ConfigError(f"config file {path} does not exist{included}{_similar_file(path)}")
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start}).") from error


def _similar_file(path: Path) -> str:
    names = [file.name for file in path.parent.glob("*") if file.is_file()] if path.parent.is_dir() else []
    match = nearest(path.name, names)
    return f"; did you mean {path.parent / match}?" if match else "."


def _read_python(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__file__": str(path), "__name__": "config"}
    source = path.read_bytes()
    if b"{_base_." in source.replace(b" ", b""):  # mmDetection's reference to a value of the bases
        text = source.decode("utf-8-sig")
        bases = partial(_merged_bases, _bases_in(text), path, (*including, path))
        source = with_base_values(text, bases).encode()
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise ConfigError(f"{path}{line}: {error.msg}.") from error
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes; brackets nested too deep
        raise ConfigError(f"{path}: {error or type(error).__name__}.") from error
    try:
        exec(code, namespace)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        cure = PURE_PYTHON if str(getattr(error, "name", "")).split(".")[0] in MM_PACKAGES else ""
        raise ConfigError(f"{path}, line {lines[-1]}: {type(error).__name__}: {error}.{cure}") from error
    return {key: value for key, value in namespace.items() if not _is_code(value)}


def _bases_in(text: str) -> Any:
    """What a config's text assigns to `_base_`, without running it; [] where that is no literal."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [BASE]:
                return ast.literal_eval(node.value)
    return []


def _is_code(value: Any) -> bool:
    return isinstance(value, types.ModuleType | types.FunctionType | types.BuiltinFunctionType | type)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise ConfigError(f"{path}{line}: {error.problem or error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}.") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the file must hold `key: value` lines, got a {type(values).__name__}.")
    return values
