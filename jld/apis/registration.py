"""Makes everything a config can name known to the registries."""

from __future__ import annotations

import importlib

from jld.registry import Registry

PACKAGES = ("data", "evaluation", "losses", "assign", "models", "distill", "optim", "runner")


def register_parts() -> None:
    """Imports jld's packages, which registers their parts; a project's own come with the key `imports`."""
    for package in PACKAGES:
        importlib.import_module(f"jld.{package}")


def list_parts() -> str:
    """Every registered part: its kind, name and first docstring line."""
    register_parts()
    lines = []
    for registry in Registry.instances:
        lines.append(f"{registry.kind}:")
        for name, cls in registry.classes().items():
            # An inherited docstring would describe another class.
            first = (cls.__dict__.get("__doc__") or "").strip().split("\n", 1)[0]
            lines.append(f"  {name:<32} {first}".rstrip())
    return "\n".join(lines)
