"""Lists everything a config can name: kind, name, first docstring line, other names and source.

Usage: python tools/list.py [kind or part of a name ...]
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.registry import Registry


def describe_class(cls: type) -> tuple[str, str]:
    """(first docstring line, text of `Source:`) of a class itself, empty where it has none."""
    # Not inspect.getdoc alone: an inherited docstring describes another class.
    doc = inspect.cleandoc(cls.__doc__) if cls.__doc__ else ""
    source = re.search(r"^Source:\s*(.+(?:\n +.+)*)$", doc, re.MULTILINE)  # continued lines are indented
    return doc.split("\n", 1)[0], " ".join(source.group(1).split()) if source else ""


def listing(wanted: list[str]) -> list[str]:
    """Lines for the parts whose kind or name contains one of the `wanted` words; all when there is none."""
    lines = []
    for registry in Registry.instances:
        found = [
            (name, aliases, *describe_class(cls))
            for name, cls in registry.classes().items()
            for aliases in [", ".join(registry.aliases(name))]
            if not wanted
            or any(word.lower() in f"{registry.kind} {name} {aliases}".lower() for word in wanted)
        ]
        if found:
            lines += ["", f"{registry.kind}"]
            width = max(len(name) for name, *_ in found)
        for name, aliases, summary, source in found:
            lines.append(f"  {name:<{width}}  {summary}".rstrip())
            if aliases:
                lines.append(f"  {'':<{width}}  Also: {aliases}")
            if source:
                lines.append(f"  {'':<{width}}  Source: {source}")
    return lines[1:]


def main() -> int:
    """Prints the list; 1 when nothing matches."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("wanted", nargs="*", help="only parts whose kind or name contains one of these")
    wanted = parser.parse_args().wanted
    # Imported here: --help should not wait for Jittor.
    from jld.apis import register_parts

    register_parts()
    lines = listing(wanted)
    print("\n".join(lines) if lines else f"nothing is registered under {' '.join(wanted)!r}.")
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
