"""Makes everything a config can name known to the registries."""

from __future__ import annotations

import importlib

PACKAGES = ("data", "evaluation", "losses", "assign", "models", "distill", "optim", "runner")


def register_parts() -> None:
    """Imports jld's packages, which registers their parts; a project's own come with the key `imports`."""
    for package in PACKAGES:
        importlib.import_module(f"jld.{package}")
