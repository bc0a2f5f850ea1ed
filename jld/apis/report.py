"""One HTML page about a run: scores beside the published row, curves, errors, worst images, config."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jld.apis.analyze import analyse_run, error_picture, figures, worst_images
from jld.apis.distillation_pictures import draw_distillation
from jld.apis.looking import Seen, add_flags, looked_at
from jld.apis.program import program
from jld.config import RUN_CONFIG
from jld.errors import DataError, JldError
from jld.evaluation import fast_coco
from jld.evaluation.analysis_tables import analysis_tables
from jld.evaluation.baselines import baseline_lines, read_run
from jld.runner.going_on import chosen_checkpoint
from jld.utils.extras import require
from jld.utils.logging import set_up_logging
from jld.visualization.curves import curves_figure, read_log
from jld.visualization.marks import paint
from jld.visualization.report import Note, Picture, Section, Table, Text, drawing, photo, write_report

FILE = "report.html"


def report(work_dir: str | Path, options: argparse.Namespace) -> Path:
    """Writes the page of a run and returns its path.

    Args:
        work_dir: of the run, trained or in training.
        options: the flags of `main`.
    Raises:
        ConfigError, DataError: it is no run's folder, or its data cannot be read.
    """
    work_dir = Path(work_dir)
    config = _read(work_dir / RUN_CONFIG)
    sections = [_scores(work_dir), _curves(work_dir)]
    if not options.fast:
        ((_, seen),) = looked_at([str(work_dir)], options).items()
        sections += _errors(seen, options)
        if seen.config.distill:
            sections.append(_distillation(seen, options))
    sections += [_data_and_machine(work_dir), Section("Config", [Text(config)])]
    path = Path(options.out) if options.out else work_dir / FILE
    return write_report(path, f"Report of {work_dir.resolve().name}", sections)


def _scores(work_dir: Path) -> Section:
    """The scores of the run, beside the published row that its config claims."""
    try:
        run = read_run(work_dir)
    except DataError as error:
        return Section("Scores", [Note(str(error))])
    lines = baseline_lines([run])
    line = next(each for each in lines if each.run is run)
    published = line.row.metrics if line.row else {}
    rows = [
        [
            name,
            f"{value:.1f}",
            f"{published[name]:.1f}" if name in published else "",
            f"{value - published[name]:+.1f}" if name in published else "",
        ]
        for name, value in run.metrics.items()
    ]
    where = f"{run.protocol or 'Scores'} in percent, from {run.file}"
    if run.iteration is not None:
        where += f", of iteration {run.iteration}"
    said = [line.row.describe(), line.row.notes] if line.row else [line.note]
    notes = [Note(text) for text in (f"{where}.", *said) if text]
    return Section("Scores", [*notes, Table(["", "measured", "published", "difference"], rows)])


def _curves(work_dir: Path) -> Section:
    try:
        return Section("Curves", [drawing(curves_figure({work_dir.name: read_log(work_dir)}))])
    except DataError as error:
        return Section("Curves", [Note(str(error))])


def _errors(seen: Seen, options: argparse.Namespace) -> list[Section]:
    if not fast_coco.is_installed():
        return [Section("Errors", [Note('Error analysis needs hotcoco: pip install "jld[analysis]".')])]
    try:
        analysis = analyse_run(seen, options.threshold)
    except DataError as error:
        return [Section("Errors", [Note(str(error))])]
    blocks: list[Text | Picture] = [
        Text(table, title) for title, table in analysis_tables({seen.name: analysis}).items()
    ]
    blocks += [drawing(figure) for _, figure in figures({seen.name: analysis})]
    pictures: list[Note | Picture] = []
    for index in worst_images(analysis, options.num):
        objects, found, false = analysis.counts()[index].tolist()
        caption = f"{analysis.records[index]['img_id']}: {found} of {objects} objects found, {false} false"
        picture = paint(*error_picture(analysis, seen.dataset, index, with_text=not options.no_text))
        pictures.append(photo(picture, caption))
    explained = Note("Thin: right. Thick: nothing there, or something else. Dashed: missed.")
    return [Section("Errors", blocks), Section("Worst images", [explained, *pictures])]


def _distillation(seen: Seen, options: argparse.Namespace) -> Section:
    """Regions, edges and feature maps of the first image; a sentence where the teacher is not there."""
    checkpoint = chosen_checkpoint(seen.config, options.checkpoint)
    try:
        picture = next(draw_distillation(seen.config, checkpoint, split=options.split, num_images=1))
    except JldError as error:
        return Section("Distillation", [Note(f"Student and teacher could not be drawn: {error}")])
    parts = {"regions": picture.regions, "edges": picture.edges, "feature maps": picture.features}
    made = {f"{name}, image {picture.img_id}": part for name, part in parts.items() if part is not None}
    return Section("Distillation", [photo(part, caption, 1400) for caption, part in made.items()])


def _data_and_machine(work_dir: Path) -> Section:
    path = work_dir / "env.json"
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        return Section("Data and machine", [Note(f"{path}: {error}")])
    rows = [[name, value] for name, value in _flat(content) if value not in ("", "None")]
    return Section("Data and machine", [Table(["", ""], rows)])


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            words = value if isinstance(value, list) else [value]
            rows.append((f"{prefix}{name}", " ".join(map(str, words))))
    return rows


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); a report is of a run's work folder.") from error


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("work_dir", metavar="WORK_DIR", help="a run's work folder")
    parser.add_argument("--out", help="the page (default: report.html in the work folder)")
    parser.add_argument("--num", type=int, default=8, help="worst images (default: 8)")
    parser.add_argument("--fast", action="store_true", help="scores and curves alone; no detector runs")
    add_flags(parser, writes_pictures=False)
    options = parser.parse_args(argv)
    set_up_logging()
    require("jinja2", "analysis")
    print(report(options.work_dir, options))
