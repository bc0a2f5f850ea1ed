"""Where the golden numbers lie and how tests read them.

The folder is JLD_GOLDEN_DIR, else ../shared/golden beside the repository, else tests/golden. A test that
needs a case which no folder holds is skipped; a case that is there but not understood must fail.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CANDIDATES = (ROOT.parent / "shared" / "golden", ROOT / "tests" / "golden")


def golden_dir() -> Path | None:
    """The first folder that holds golden files, or None."""
    named = os.environ.get("JLD_GOLDEN_DIR")
    for folder in (Path(named),) if named else CANDIDATES:
        if any(folder.glob("*.npz")):
            return folder
    if named:
        raise FileNotFoundError(f"JLD_GOLDEN_DIR={named} holds no .npz file.")
    return None


def _load_fill():
    folder = golden_dir()
    path = None if folder is None else folder / "golden_fill.py"
    if path is None or not path.is_file():
        path = ROOT / "tests" / "golden" / "golden_fill.py"
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill = _load_fill()


def cases(pattern: str) -> list[str]:
    """Names (without suffix) of the golden files matching a glob such as `h_ld_loss_*`, sorted."""
    folder = golden_dir()
    return [] if folder is None else sorted(path.stem for path in folder.glob(pattern + ".npz"))


def case(name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """(meta, arrays) of one case; skips the test when no folder holds it."""
    folder = golden_dir()
    if folder is None or not (folder / f"{name}.npz").is_file():
        pytest.skip(f"golden case {name} is not there; set JLD_GOLDEN_DIR to a folder that holds it.")
    return fill.load(str(folder / f"{name}.npz"))


def param_cases(pattern: str):
    """Parametrisation over all matching cases; one skipped entry when there is none."""
    names = cases(pattern)
    return names or [pytest.param(pattern, marks=pytest.mark.skip(reason=f"no golden case {pattern}"))]
