"""Where a run errs, and what another one (the distilled student) changed: tables, figures, example images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jld.apis.looking import Seen, add_flags, file_name, looked_at
from jld.apis.program import program
from jld.checkpoint import atomic_write
from jld.data import Dataset
from jld.evaluation.analysis import ERRORS, Analysis, Change, analyse, change
from jld.evaluation.analysis_tables import analysis_tables, change_table
from jld.utils.extras import require
from jld.utils.logging import set_up_logging
from jld.visualization import errors
from jld.visualization.canvas import enlarged
from jld.visualization.changes import change_marks, enlarged_record, error_marks
from jld.visualization.figures import write_figure
from jld.visualization.marks import Mark, beside, titled, write_marks

GAP = 8


def analyse_run(seen: Seen, threshold: float = 0.3) -> Analysis:
    """The error analysis of a run, see `jld.evaluation.analysis.analyse`."""
    return analyse(seen.detections, seen.dataset.ground_truth(), seen.dataset.classes, threshold=threshold)


def figures(runs: Mapping[str, Analysis]) -> Iterator[tuple[str, Figure]]:
    """(stem of a file, figure) of the analyses of runs on the same data; the last one's confusion."""
    last = list(runs.values())[-1]
    yield "errors", errors.error_figure({name: each.tide for name, each in runs.items()}, ERRORS)
    yield (
        "precision",
        errors.precision_figure({name: each.precision for name, each in runs.items()}, last.classes),
    )
    yield "calibration", errors.calibration_figure({name: each.calibration for name, each in runs.items()})
    yield "confusion", errors.confusion_figure(last.confusion, last.classes)


def worst_images(analysis: Analysis, count: int) -> list[int]:
    """Indices of the images with most missed and invented objects, worst first; none without an error."""
    objects, found, false = analysis.counts().T
    wrong = objects - found + false
    return [int(index) for index in np.argsort(-wrong, kind="stable")[:count] if wrong[index]]


def changed_images(changed: Change, count: int) -> list[int]:
    """Indices of the images that gained most, and then of those that lost most, `count` of each at most."""
    balance = changed.balance()
    order = np.argsort(-balance, kind="stable")
    gained = [int(index) for index in order[:count] if balance[index] > 0]
    return gained + [int(index) for index in order[::-1][:count] if balance[index] < 0]


def _pixels(dataset: Dataset, img_id: Any) -> np.ndarray:
    return dataset.read_image(list(dataset.image_ids).index(img_id))


def error_picture(
    analysis: Analysis, dataset: Dataset, index: int, *, with_text: bool = True
) -> tuple[np.ndarray, list[Mark]]:
    """(image, marks) of what a run finds, misses and invents in an image; see `error_marks`."""
    record = analysis.records[index]
    image, zoom = enlarged(_pixels(dataset, record["img_id"]))
    marks = error_marks(
        image.shape[:2],
        enlarged_record(record, zoom),
        analysis.is_found[index],
        analysis.is_false[index],
        classes=analysis.classes,
        threshold=analysis.threshold,
        with_text=with_text,
    )
    return image, marks


def change_picture(
    runs: Mapping[str, Analysis], changed: Change, dataset: Dataset, index: int, *, with_text: bool = True
) -> tuple[np.ndarray, list[Mark]]:
    """(both panels as one image, marks) of what the second run changed in an image; see `change_marks`."""
    before, after = runs.values()
    image, zoom = enlarged(_pixels(dataset, before.records[index]["img_id"]))
    both = change_marks(
        image.shape[:2],
        (enlarged_record(before.records[index], zoom), enlarged_record(after.records[index], zoom)),
        {name: getattr(changed, name)[index] for name in ("gained", "lost", "gone", "new")},
        classes=after.classes,
        threshold=after.threshold,
        with_text=with_text,
    )
    panels = zip(both, runs, strict=True)
    return beside([titled(image, marks, name if with_text else "") for marks, name in panels], gap=GAP)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Writes tables, figures and examples."""
    options = _parse(argv)
    set_up_logging()
    require("hotcoco", "analysis")
    seen = looked_at([*([options.against] if options.against else []), options.run], options)
    print(write_analysis(seen, options))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("run", metavar="RUN", help="a run's work folder or config, or a file of weights or detections")
    add("--against", metavar="RUN", help="another run on the same data, such as the plain student")
    add("--save_dir", help="folder for everything (default: results/analysis in the run's folder)")
    add("--num", type=int, default=8, help="example images (default: 8)")
    add("--bootstrap", type=int, default=200, help="resamplings behind the intervals; 0: none (default: 200)")
    add_flags(parser)
    return parser.parse_args(argv)


def write_analysis(seen: Mapping[str, Seen], options: argparse.Namespace) -> str:
    """Writes `tables.txt`, `analysis.json`, figures and `images/` of one or two runs; returns the tables.

    Args:
        seen: {name: run}; of two the first is the one compared with.
        options: the flags of `main`.
    """
    last = list(seen.values())[-1]
    folder = Path(options.save_dir or Path(last.config.work_dir) / "results" / "analysis")
    runs = {name: analyse_run(each, options.threshold) for name, each in seen.items()}
    changed = change(*runs.values(), num_samples=options.bootstrap) if len(runs) > 1 else None
    tables, names = analysis_tables(runs), list(runs)
    if changed is not None:
        tables["What changed"] = change_table(changed, (names[0], names[1]))
    text = "\n\n".join(f"{title}\n{table}" for title, table in tables.items())
    content = json.dumps({name: each.to_plain() for name, each in runs.items()}, indent=1)
    atomic_write(folder / "tables.txt", lambda file: file.write(f"{text}\n".encode()))
    atomic_write(folder / "analysis.json", lambda file: file.write(content.encode()))
    for stem, figure in figures(runs):
        write_figure(folder / f"{stem}.{options.format}", figure, options.dpi)
    analysis, with_text = list(runs.values())[-1], not options.no_text
    chosen = worst_images(analysis, options.num)
    if changed is not None:
        chosen = changed_images(changed, -(-options.num // 2))
    for index in chosen:
        if changed is None:
            picture = error_picture(analysis, last.dataset, index, with_text=with_text)
        else:
            picture = change_picture(runs, changed, last.dataset, index, with_text=with_text)
        stem = file_name(analysis.records[index]["img_id"])
        path = folder / "images" / f"{stem}.{options.format}"
        write_marks(path, *picture, dpi=options.dpi)
    return f"{text}\n\n{folder}: tables, figures, {len(chosen)} images"
