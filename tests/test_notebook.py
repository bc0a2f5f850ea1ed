"""The notebook: valid, without outputs, and it runs from top to bottom."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs/quick_start.ipynb"
# Behind the cell tagged `parameters`, as papermill puts them.
TINY = {
    "num_images": 8,
    "num_val_images": 4,
    "teacher_epochs": 1,
    "student_epochs": 1,
    "device": "cpu",
}
# A kernel shows the value of a cell's last line; pictures as PNG.
RUN = """
import ast, json, sys
names = {"__name__": "__main__"}
for number, source in enumerate(json.load(sys.stdin)):
    tree = ast.parse(source, f"cell {number}")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
        png = value._repr_png_() if hasattr(value, "_repr_png_") else b""
        print(f"shown by cell {number}:", type(value).__name__, len(png), flush=True)
"""


def book():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def code_cells():
    return [cell for cell in book()["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs():
    nbformat = pytest.importorskip(
        "nbformat", reason="validating notebooks needs nbformat: pip install -e '.[test]'"
    )
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell for cell in code_cells() if cell["outputs"] or cell["execution_count"] is not None] == []


def test_it_runs_from_top_to_bottom(tmp_path):
    sources = []
    for cell in code_cells():
        sources.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            settings = {line.split(" = ")[0] for line in sources[-1].splitlines()}
            assert set(TINY) < settings
            sources.append("\n".join(f"{name} = {value!r}" for name, value in TINY.items()))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "nvcc_path": ""}
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(sources), cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = [line.split()[-2:] for line in done.stdout.splitlines() if line.startswith("shown by cell")]
    pictures = [int(size) for kind, size in shown if kind == "Image"]
    assert len(pictures) == 5 and min(pictures) > 1000, done.stdout
    assert (tmp_path / "work_dirs/notebook/student_distilled/checkpoints/best.pkl").is_file()
