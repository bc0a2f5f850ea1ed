"""The page of all models: every shipped config with its published row, and what runs of it measured.

Usage: jld model_zoo work_dirs --out docs/model_zoo.md
"""

from __future__ import annotations

import argparse
import ast
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jld.apis.program import program
from jld.checkpoint import read_checkpoint
from jld.checkpoint.publish import HASH_DIGITS
from jld.config import plain_assignments
from jld.config.named import named_configs
from jld.evaluation.baselines import RunScores, baseline_lines, find_runs, read_run
from jld.evaluation.published import PublishedRow, published_rows

TITLE = "# Model zoo"
ABOUT = " ".join(
    [
        "Printed by `python tools/model_zoo.py WORK_DIR ... --out docs/model_zoo.md`, not edited by hand.",
        "Scores in percent: published ones were printed by their source, measured ones by jld (`--task=val`,",
        "or the last evaluation of a training). Weights are named by the first digits of their SHA-256.",
    ]
)
NOT_MEASURED = "not measured"
# In the order in which they make the weights of a run.
WEIGHTS = ("*.safetensors", "checkpoints/best.pkl", "checkpoints/last.pkl")
LOG = "log.jsonl"
SHOWN = ("AP", "AP50", "AP75", "mAP")
COLUMNS = ("config", "published", "measured", "weights", "log")


@dataclass(frozen=True)
class Model:
    """One line of the page.

    Attributes:
        config: of the repository, or None for a run of another one.
        title: first sentence of the config, or the name of the run.
        row: published scores, or None.
        run: measured scores, or None.
        folder: of the run.
        file: published weights that come with jld, below the config's folder, or None.
    """

    config: Path | None
    title: str
    row: PublishedRow | None
    run: RunScores | None = None
    folder: Path | None = None
    file: Path | None = None


def models(work_dirs: Iterable[str | Path], root: Path) -> list[Model]:
    """Every shipped config, with the runs of it that the folders hold; configs of projects that have runs or
    weights; then the runs of other configs.

    Args:
        work_dirs: work folders, or folders of them.
        root: what the paths of configs are relative to.
    Raises:
        DataError, ConfigError: see `find_runs` and `read_run`.
    """
    runs = {folder: read_run(folder) for name in work_dirs for folder in find_runs(name)}
    # The rows that runs claim and may stand beside: their data are the row's.
    fitting = {id(line.run) for line in baseline_lines(runs.values()) if line.run and line.row}
    found, placed = [], set()
    shipped = [file for files in named_configs().values() for file in files]
    for file in [*shipped, *sorted(root.glob("projects/*/configs/*.py"))]:
        row = published_rows().get(_claimed(file) or "")
        own = [
            folder
            for folder, run in runs.items()
            if run.name == file.stem and (row is None or (run.row == row.id and id(run) in fitting))
        ]
        path, title = file.resolve().relative_to(root), _title(file)
        found += [Model(path, title, row, runs[folder], folder) for folder in own]
        weights = sorted(file.parent.glob(f"weights/{file.stem}-*.safetensors"))
        kept = [Model(path, title, row, file=each.resolve().relative_to(root)) for each in weights]
        bare = [Model(path, title, row)] if file in shipped else []
        found += [] if own else kept or bare
        placed |= set(own)
    others = [
        Model(None, run.name, None, run, folder) for folder, run in runs.items() if folder not in placed
    ]
    return found + others


def _claimed(config: Path) -> str | None:
    published = plain_assignments(config)[0].get("published")
    return published.get("row") if isinstance(published, dict) else None


def _title(config: Path) -> str:
    text = ast.get_docstring(ast.parse(config.read_text(encoding="utf-8"))) or config.stem
    first = " ".join(text.split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".")


def page(found: Sequence[Model]) -> str:
    """The Markdown text: a table per dataset, one for configs without a row, one for other runs."""
    sections: dict[str, list[Model]] = {}
    for model in sorted(found, key=_order):
        sections.setdefault(_section(model), []).append(model)
    parts = [TITLE, ABOUT]
    for title, members in sections.items():
        table = [COLUMNS, ["---"] * len(COLUMNS), *map(_cells, members)]
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in table))
    return "\n\n".join(parts) + "\n"


def _order(model: Model) -> tuple:
    order = list(published_rows())
    rank = order.index(model.row.id) if model.row else len(order) + (model.config is None)
    return rank, str(model.config), str(model.folder)


def _section(model: Model) -> str:
    if model.row is not None:
        return f"{model.row.dataset}, {model.row.split}, {model.row.protocol}"
    return "Configs without a published row" if model.config else "Runs of other configs"


def _cells(model: Model) -> list[str]:
    name = f"`{model.title}`"
    if model.config is not None:
        name = f"[{model.config.stem}](../{model.config}): {model.title}"
    measured, weights, log = NOT_MEASURED, "", ""
    if model.run is not None and model.folder is not None:
        measured = _scores(model.run.metrics) or NOT_MEASURED
        weights = _weights(model.folder)
        log = str(model.folder / LOG) if (model.folder / LOG).is_file() else "no log"
    elif model.file is not None:
        scores = read_checkpoint(model.file).meta.get("metrics") or {}
        measured = _scores({name: 100 * value for name, value in scores.items()})
        weights = f"[{model.file.name}](../{model.file})"
    published = ""
    if model.row is not None:
        # Paths in a source are those of other repositories; an entity keeps them from being taken for ours.
        source = model.row.source.replace("/", "&#47;")
        published = f"{_scores(model.row.metrics)} ({source})"
    return [cell.replace("|", "&#124;") for cell in (name, published, measured, weights, log)]


def _scores(values: Mapping[str, float]) -> str:
    names = [name for name in SHOWN if name in values] or list(values)[:3]
    return ", ".join(f"{name} {values[name]:.1f}" for name in names)


def _weights(folder: Path) -> str:
    for pattern in WEIGHTS:
        for file in sorted(folder.glob(pattern)):
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return f"{file.name} {digest[:HASH_DIGITS]}"
    return "none"


@program
def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, writes or prints the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("work_dirs", nargs="*", metavar="WORK_DIR", help="work folders, or folders of them")
    parser.add_argument("--out", metavar="FILE", help="the page (default: on the screen)")
    options = parser.parse_args(arguments)
    found = models(options.work_dirs, Path.cwd())
    text = page(found)
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")
    measured = sum(model.run is not None or model.file is not None for model in found)
    print(f"{options.out}: {len(found)} models, {measured} measured" if options.out else text)
