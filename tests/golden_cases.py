"""Where the golden numbers lie and how tests read them.

The folder is JLD_GOLDEN_DIR alone, or else ../shared/golden beside the repository, where there is one, and
tests/golden for what that lacks. A test that needs a case which no folder holds is skipped; a case that is
there but not understood must fail.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CANDIDATES = (ROOT.parent / "shared" / "golden", ROOT / "tests" / "golden")


def golden_dirs() -> list[Path]:
    """The folders that hold golden files; a case is taken from the first that has it."""
    named = os.environ.get("JLD_GOLDEN_DIR")
    folders = [folder for folder in ((Path(named),) if named else CANDIDATES) if any(folder.glob("*.npz"))]
    if named and not folders:
        raise FileNotFoundError(f"JLD_GOLDEN_DIR={named} holds no .npz file.")
    return folders


def _load_fill():
    candidates = [folder / "golden_fill.py" for folder in (*golden_dirs(), ROOT / "tests" / "golden")]
    path = next(path for path in candidates if path.is_file())
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill = _load_fill()


def cases(pattern: str) -> list[str]:
    """Names (without suffix) of the golden files matching a glob such as `h_ld_loss_*`, sorted."""
    return sorted({path.stem for folder in golden_dirs() for path in folder.glob(pattern + ".npz")})


def case(name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """(meta, arrays) of one case; skips the test when no folder holds it."""
    for folder in golden_dirs():
        if (folder / f"{name}.npz").is_file():
            return fill.load(str(folder / f"{name}.npz"))
    pytest.skip(f"golden case {name} is not there; set JLD_GOLDEN_DIR to a folder that holds it.")


def param_cases(pattern: str):
    """Parametrisation over all matching cases; one skipped entry when there is none."""
    names = cases(pattern)
    return names or [pytest.param(pattern, marks=pytest.mark.skip(reason=f"no golden case {pattern}"))]
