"""Rules of the source tree that a linter does not know, checked on syntax trees without importing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Imports only go to an earlier line; packages on one line do not import each other.
LAYERS = (
    ("utils", "registry", "toolchain", "errors", "checkpoint"),
    ("config",),
    ("boxes",),
    ("ops",),
    ("data", "evaluation", "visualization", "losses", "assign"),
    ("models",),
    ("distill", "export"),
    ("optim",),
    ("runner",),
    ("bridge",),
    ("apis",),
    ("cli",),
)
LEVELS = {package: level for level, packages in enumerate(LAYERS) for package in packages}
FOR_ALL = frozenset({"errors", "registry", "utils", "toolchain"})
# Usable in data preparation and on machines without a compiler.
WITHOUT_JITTOR = (
    "config",
    "checkpoint",
    "data",
    "evaluation",
    "visualization",
    "utils",
    "registry",
    "errors",
)
# Use the library, and are no part of it.
OUTSIDE = frozenset({"projects", "tests", "tools"})
MAY_USE_JITTOR = frozenset({"jld/data/loader.py"})
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def imported_modules(tree: ast.AST, file: str) -> list[tuple[int, str]]:
    """(line, dotted name) of everything imported, inside functions too; `from a import b` gives `a.b`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = Path(file).parts[: -node.level] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def package_of(dotted: str) -> str | None:
    """The package right below jld of a dotted name, or None for all else, `jld.__version__` too."""
    parts = dotted.split(".")
    inside = parts[0] == "jld" and len(parts) > 1 and not parts[1].startswith("__")
    return parts[1] if inside else None


def layer_problems(file: str, source: str) -> list[str]:
    """What breaks the layer order in one file of jld; `file` is relative to the repository."""
    own = Path(file).parts[1].removesuffix(".py")
    if own in ("__init__", "__main__"):  # the public face offers names of every layer
        return []
    if own not in LEVELS:
        return [f"{file}: jld/{own} has no place in LAYERS"]
    problems = []
    for line, name in imported_modules(ast.parse(source), file):
        other = package_of(name)
        if name.split(".")[0] in OUTSIDE:
            problems.append(f"{file}:{line}: the library must not import {name}")
        if other in (None, own) or (other in FOR_ALL and own != "errors"):
            continue
        if LEVELS.get(other, len(LAYERS)) >= LEVELS[own]:
            problems.append(f"{file}:{line}: {own} must not import {other}")
    return problems


def jittor_problems(file: str, source: str) -> list[str]:
    """Imports of Jittor past `jld.toolchain`, or in a package that must do without it."""
    if file.startswith("jld/toolchain/"):
        return []
    problems = []
    own = Path(file).parts[1].removesuffix(".py") if file.startswith("jld/") else None
    for line, name in imported_modules(ast.parse(source), file):
        if name.split(".")[0] == "jittor":
            problems.append(f"{file}:{line}: write `from jld.toolchain import jittor as jt`")
        elif name.startswith("jld.toolchain.jittor") and own in WITHOUT_JITTOR and file not in MAY_USE_JITTOR:
            problems.append(f"{file}:{line}: {own} must work without Jittor")
    return problems


def head_problems(file: str, source: str) -> list[str]:
    """Reaches into a head from outside of `jld/models`; names in files of weights or of others are data."""
    if file.startswith("jld/models/"):
        return []
    names_are_data = file.startswith(("jld/checkpoint/", "jld/config/jdet/", "jld/config/mmdet/"))
    problems = []
    for node in ast.walk(ast.parse(source)):
        is_reach = isinstance(node, ast.Attribute) and node.attr == "bbox_head"
        is_name = isinstance(node, ast.Constant) and node.value == "bbox_head" and not names_are_data
        if is_reach or is_name:
            problems.append(f"{file}:{node.lineno}: ask the interface or a stage, not the bbox_head")
    return problems


def docstring_problems(file: str, source: str) -> list[str]:
    return [] if ast.get_docstring(ast.parse(source)) else [f"{file}: no module docstring"]


def size_problems(file: str, source: str) -> list[str]:
    lines = len(source.splitlines())
    problems = [f"{file}: {lines} lines, at most {MAX_FILE_LINES}"] if lines > MAX_FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                problems.append(
                    f"{file}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
                )
    return problems


def python_files(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize(
    ("check", "folders"),
    [
        (layer_problems, ("jld",)),
        (jittor_problems, ("jld", "tools", "projects", "tests", "configs")),
        (docstring_problems, ("jld", "tools", "configs", "projects")),
        (head_problems, ("jld", "tools")),
        (size_problems, ("jld", "tools", "projects")),
    ],
)
def test_source_tree(check, folders):
    files = python_files(*folders)
    assert files
    problems = [
        problem for file in files for problem in check(file, (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("jld/losses/focal.py", "from jld.models import x"),
        ("jld/losses/focal.py", "from jld.assign.atss import ATSSAssigner"),
        ("jld/losses/focal.py", "def f():\n    import jld.data.coco"),
        ("jld/losses/focal.py", "from jld import models"),
        ("jld/losses/focal.py", "from ..models import x"),
        ("jld/config/loader.py", "from jld.boxes import x"),
        ("jld/utils/seeds.py", "from jld.checkpoint import x"),
        ("jld/errors.py", "from jld.registry import x"),
        ("jld/models/trace.py", "from jld.surprise import x"),
        ("jld/surprise/x.py", ""),
        ("jld/runner/runner.py", "def f():\n    from projects.benchmark import clock"),
        ("jld/apis/inference.py", "import tools.doctor"),
    ],
)
def test_upward_and_sideways_imports_are_found(file, source):
    assert len(layer_problems(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("jld/losses/focal.py", "from jld.losses.reduction import x\nfrom . import iou\nimport numpy"),
        ("jld/losses/focal.py", "from jld.toolchain import jittor as jt\nfrom jld.boxes import x"),
        ("jld/checkpoint/reader.py", "from jld.errors import x\nfrom jld.utils.logging import y"),
        ("jld/cli/main.py", "from jld import __version__\nimport jld\nfrom jld.apis import x"),
        ("jld/__init__.py", "from jld.apis import x"),
    ],
)
def test_allowed_imports_pass(file, source):
    assert layer_problems(file, source) == []


def test_jittor_past_the_toolchain_is_found():
    assert jittor_problems("jld/losses/focal.py", "import jittor as jt\nfrom jittor import nn")[1].startswith(
        "jld/losses/focal.py:2"
    )
    assert jittor_problems("tools/x.py", "def f():\n    import jittor.nn") != []
    assert jittor_problems("jld/toolchain/__init__.py", "import jittor") == []
    through = "from jld.toolchain import jittor as jt"
    assert jittor_problems("jld/data/coco.py", through) == [
        "jld/data/coco.py:1: data must work without Jittor"
    ]
    assert jittor_problems("jld/data/loader.py", through) == jittor_problems("jld/models/a.py", through) == []


def test_reaches_into_a_head_are_found():
    for source in ("x = detector.bbox_head.priors", "x = getattr(detector, 'bbox_head', None)"):
        assert head_problems("jld/distill/x.py", source) and not head_problems("jld/models/x.py", source)
    assert not head_problems("jld/config/jdet/model.py", "model['bbox_head']")


def test_missing_docstrings_and_long_functions_are_found():
    assert docstring_problems("jld/x.py", "import os") and not docstring_problems("jld/x.py", '"""Text."""')
    long = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
    assert size_problems("jld/x.py", long) and not size_problems("jld/x.py", long.rsplit("\n", 2)[0])
    assert size_problems("jld/x.py", "\n" * (MAX_FILE_LINES + 1))
