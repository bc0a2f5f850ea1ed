"""The config key `imports`: code outside jld that registers parts of its own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from jld.errors import ConfigError


def is_path(entry: str) -> bool:
    """Whether an entry of `imports` names a file or folder; otherwise it is a module name."""
    return entry.endswith(".py") or "/" in entry


def import_parts(entries: Iterable[str] | None) -> list[ModuleType]:
    """Imports modules (`my_package.heads`), files (`projects/x/heads.py`) or package folders, in order.

    A file is imported once per process, however its path is written; its folder is not put on `sys.path`.

    Raises:
        ConfigError: an entry does not exist, or fails while it is imported.
    """
    return [_import_file(Path(entry)) if is_path(entry) else _import_module(entry) for entry in entries or ()]


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists; something it imports does not
        raise ConfigError(
            f"imports: there is no module {name!r} on the Python path; give a file instead, such as "
            f"{name.replace('.', '/')}.py."
        ) from error


def _import_file(path: Path) -> ModuleType:
    source = path / "__init__.py" if path.is_dir() else path
    if not source.is_file():
        raise ConfigError(
            f"imports: {source} does not exist (looked up from {Path.cwd()} and from the config's folder)."
        )
    full = source.resolve()
    # Two projects may both have a heads.py: the name must tell them apart, and be the same in every process.
    name = f"jld_imports_{path.stem}_{hashlib.sha1(str(full).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    folders = [str(full.parent)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, full, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None  # the file is there, and it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
