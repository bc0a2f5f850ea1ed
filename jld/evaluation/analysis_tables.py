"""An error analysis as text: what stands in `tables.txt` and in a report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jld.evaluation.analysis import ERRORS, Analysis, Change
from jld.evaluation.coco import STATISTICS
from jld.evaluation.tables import BLANK, format_runs, text_table

MOST_CONFUSED = 10


def analysis_tables(runs: Mapping[str, Analysis]) -> dict[str, str]:
    """{title: table} of one or several runs on the same data, percent."""
    first, last = next(iter(runs.values())), list(runs.values())[-1]
    scores = {name: {**each.metrics, "protocol": each.protocol} for name, each in runs.items()}
    per_class = last.per_class
    columns = list(next(iter(per_class.values())))
    lines = [[name, *(_cell(row[key], key) for key in columns)] for name, row in per_class.items()]
    return {
        f"{first.protocol}, percent": format_runs(scores, names=STATISTICS),
        "Errors (TIDE): AP50 points lost, and how many": _errors(runs),
        f"Classes of {list(runs)[-1]}; found and false at a score of {last.threshold:g}": text_table(
            ["class", *columns], lines
        ),
        f"Most confused by {list(runs)[-1]}, at a score of {last.threshold:g}": _confused(last),
    }


def change_table(change: Change, names: tuple[str, str]) -> str:
    """What the second run changed: scores with the interval of the difference, objects, detections."""
    lines = [
        [name, *_pair(row, 100.0), _interval(row, 100.0)]
        for name, row in change.metrics.items()
        if min(row[:2]) >= 0
    ]
    lines.append(["objects found", *_pair(change.recall, 100.0), _interval(change.recall, 100.0)])
    lines.append(
        ["false per image", *_pair(change.false_per_image, 1.0), _interval(change.false_per_image, 1.0)]
    )
    header = ["percent", *names, "difference", f"{100 * change.confidence:.0f} % interval"]
    gained, lost, gone, new = (
        sum(int(np.count_nonzero(each)) for each in part)
        for part in (change.gained, change.lost, change.gone, change.new)
    )
    return text_table(header, lines) + (
        f"\nobjects: {gained} found that were missed, {lost} missed that were found"
        f"\nfalse detections: {gone} gone, {new} new"
    )


def _errors(runs: Mapping[str, Analysis]) -> str:
    lines = [
        [
            f"{kind}: {words}",
            *(
                cell
                for each in runs.values()
                for cell in (f"{100 * each.tide[kind][0]:.1f}", str(each.tide[kind][1]))
            ),
        ]
        for kind, words in ERRORS.items()
    ]
    return text_table(["", *(cell for name in runs for cell in (name, "count"))], lines)


def _confused(analysis: Analysis) -> str:
    count = len(analysis.classes)
    pairs = analysis.confusion[:count, :count].copy()
    np.fill_diagonal(pairs, 0)
    order = np.argsort(-pairs, axis=None, kind="stable")[:MOST_CONFUSED]
    totals = np.maximum(analysis.confusion[:count].sum(1), 1)
    lines = [
        [f"{analysis.classes[row]} taken for {analysis.classes[column]}", str(pairs[row, column]),
         f"{100 * pairs[row, column] / totals[row]:.1f}"]
        for row, column in zip(*np.unravel_index(order, pairs.shape), strict=True)
        if pairs[row, column]
    ]  # fmt: skip
    return text_table(["", "objects", "% of them"], lines) if lines else "none"


def _cell(value: float, key: str) -> str:
    if not key.startswith("AP"):
        return str(int(value))
    return BLANK if value < 0 else f"{100 * value:.1f}"


def _pair(row: tuple[float, float, float, float], factor: float) -> list[str]:
    before, after = row[0] * factor, row[1] * factor
    return [f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"]


def _interval(row: tuple[float, float, float, float], factor: float) -> str:
    return BLANK if np.isnan(row[2]) else f"{row[2] * factor:+.2f} to {row[3] * factor:+.2f}"
