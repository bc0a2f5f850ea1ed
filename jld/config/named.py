"""Configs by name: those below ./configs and those that come with jld, in a clone or an installed package."""

from __future__ import annotations

from pathlib import Path

from jld.errors import ConfigError, suggestion

FOLDER = "configs"
SUFFIXES = (".py", ".yaml", ".yml")
RUN_CONFIG = "config.py"
"""What a run leaves its complete config as, in its work folder."""


def shipped_configs() -> Path:
    """The folder of jld's own configs: inside an installed package, beside the package in a clone."""
    package = Path(__file__).resolve().parents[1]
    inside = package / FOLDER
    return inside if inside.is_dir() else package.parent / FOLDER


def is_shipped(path: Path) -> bool:
    """Whether a config is one of jld's own, at its place."""
    return path.resolve().is_relative_to(shipped_configs().resolve())


def named_configs() -> dict[str, list[Path]]:
    """{name: files that have it} of the experiments below ./configs and of those shipped, sorted by name.

    Parts that other configs are made of (`_base_`) have no names. A file below ./configs hides the shipped
    one of the same place, which in a clone is the same file.
    """
    found: dict[Path, Path] = {}
    for root in (shipped_configs(), Path(FOLDER)):
        found |= {file.relative_to(root): file for file in root.rglob("*") if file.suffix in SUFFIXES}
    names: dict[str, list[Path]] = {}
    for place in sorted(found, key=lambda place: (place.stem, place)):
        if "_base_" not in place.parts:
            names.setdefault(place.stem, []).append(found[place])
    return names


def find_config(name: str | Path) -> Path:
    """The file that a user means: a path, `configs/...` of jld from anywhere, the folder of a run, or a name.

    Raises:
        ConfigError: the name is none (says the nearest) or that of several (says which), or the folder is
            no run's.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (path / RUN_CONFIG).is_file():
        return path / RUN_CONFIG
    if path.is_dir() and path.suffix not in SUFFIXES and not (is_name(path) and path.name in named_configs()):
        raise ConfigError(f"{path} is no run's folder: it has no {RUN_CONFIG}.")
    return config_called(path)


def is_name(config: str | Path) -> bool:
    """Whether a config is given as `configs/...` or by its name, which mean the same in every folder."""
    path = Path(config)
    is_below = not path.is_absolute() and path.parts[:1] == (FOLDER,)
    return is_below or (len(path.parts) == 1 and path.suffix not in SUFFIXES)


def config_called(path: Path) -> Path:
    """The file of a config that `is_name`; other paths as they are.

    Raises:
        ConfigError: see `find_config`.
    """
    if not path.is_absolute() and path.parts[:1] == (FOLDER,):
        shipped = shipped_configs().joinpath(*path.parts[1:])
        # Where neither is there, the message lists what lies beside the shipped one.
        return shipped if shipped.is_file() or not path.parent.is_dir() else path
    if len(path.parts) != 1 or path.suffix in SUFFIXES:
        return path
    known = named_configs()
    files = known.get(path.name)
    if files is None:
        raise ConfigError(
            f"there is neither a file nor a config {path.name!r}: {suggestion(path.name, known)}"
        )
    if len(files) > 1:
        raise ConfigError(
            f"several configs are called {path.name!r}: give one of {', '.join(map(str, files))}."
        )
    return files[0]
