"""Lists what a command line can name: configs, weights, and the parts that configs are made of.

Usage: jld list [configs | weights | parts] [kind or part of a name ...]
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from jld.apis.program import program
from jld.checkpoint.weights import KNOWN_FILES
from jld.config import named_configs
from jld.registry import Registry


def config_lines(wanted: Sequence[str] = ()) -> list[str]:
    """A line per config by name: what its header says first; those whose path holds one of the words."""
    found = [
        (name, file) for name, files in named_configs().items() for file in files if _is_wanted(file, wanted)
    ]
    width = max((len(name) for name, _ in found), default=0)
    return [f"{name:<{width}}  {_title(file)}".rstrip() for name, file in found]


def weight_lines(wanted: Sequence[str] = ()) -> list[str]:
    """A line per known file of weights: its size, whether it is here, and where it comes from."""
    found = [known for known in KNOWN_FILES if _is_wanted(known.name, wanted)]
    width = max((len(known.name) for known in found), default=0)
    return [
        f"{known.name:<{width}}  {f'{known.megabytes} MB' if known.megabytes else '':>6}  "
        f"{'here' if known.place.is_file() else '':<4}  {known.url}"
        for known in found
    ]


def _is_wanted(name: object, wanted: Sequence[str]) -> bool:
    return not wanted or any(word.lower() in str(name).lower() for word in wanted)


def _title(file: Path) -> str:
    """The first line of a config's docstring, without running it."""
    try:
        return (ast.get_docstring(ast.parse(file.read_bytes())) or "").split("\n", 1)[0]
    except (SyntaxError, ValueError):
        return "(cannot be read)"


def describe_class(cls: type) -> tuple[str, str]:
    """(first docstring line, text of `Source:`) of a class itself, empty where it has none."""
    # Not inspect.getdoc alone: an inherited docstring describes another class.
    doc = inspect.cleandoc(cls.__doc__) if cls.__doc__ else ""
    source = re.search(r"^Source:\s*(.+(?:\n +.+)*)$", doc, re.MULTILINE)  # continued lines are indented
    return doc.split("\n", 1)[0], " ".join(source.group(1).split()) if source else ""


def part_lines(wanted: Sequence[str] = ()) -> list[str]:
    """Lines for the registered parts whose kind or name holds one of the `wanted` words; all without any."""
    lines = []
    for registry in Registry.instances:
        found = [
            (name, aliases, *describe_class(cls))
            for name, cls in registry.classes().items()
            for aliases in [", ".join(registry.aliases(name))]
            if _is_wanted(f"{registry.kind} {name} {aliases}", wanted)
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


LISTS = {"configs": config_lines, "weights": weight_lines, "parts": part_lines}


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the list; 1 when nothing matches."""
    parser = argparse.ArgumentParser(
        description="Lists configs (default), weights, or the parts that a config can name."
    )
    parser.add_argument("what", nargs="?", default="configs", metavar=f"{{{','.join(LISTS)}}}")
    parser.add_argument("wanted", nargs="*", help="only lines whose kind or name contains one of these")
    options = parser.parse_args(arguments)
    if options.what not in LISTS:  # `jld list gfl`
        options.what, options.wanted = "configs", [options.what, *options.wanted]
    if options.what == "parts":
        # Imported here: nothing else needs Jittor.
        from jld.apis.registration import register_parts

        register_parts()
    lines = LISTS[options.what](options.wanted)
    print("\n".join(lines) if lines else f"no {options.what} of {' '.join(options.wanted)!r}.")
    return 0 if lines else 1
