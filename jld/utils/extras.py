"""Packages of an extra, which are not needed until what they do is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from jld.errors import ConfigError


def require(package: str, extra: str) -> Any:
    """The module of a package that `pip install jld[EXTRA]` brings.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{package} is missing ({error}): pip install 'jld[{extra}]'.") from error
