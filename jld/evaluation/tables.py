"""Metrics as text tables and json, beside published rows where there are any."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from jld.checkpoint import atomic_write
from jld.errors import visible
from jld.evaluation.published import PublishedRow, published_row
from jld.evaluation.records import LOWER_IS_BETTER, MASK_PREFIX, Metrics
from jld.evaluation.significance import Gain, mean_and_deviation

NOT_METRICS = ("per_class", "protocol")
COUNTS = ("num_gts", "num_detections", "objects", "found", "false")
# More columns than this do not fit a terminal; further thresholds stay in the json.
MAX_COLUMNS = 12
BLANK = "-"


def format_metrics(
    metrics: Metrics, *, published: PublishedRow | str | None = None, per_class: bool = True
) -> str:
    """A text table in percent: overall scores, the published row and the difference to it, then each class.

    Args:
        metrics: what an evaluator returned (fractions; -1 is shown as "-").
        published: a row or its id; its metrics that we did not compute are shown, too.
        per_class: whether to list the classes.
    Raises:
        ConfigError: an unknown id.
    """
    row = published_row(published) if isinstance(published, str) else published
    names = _metric_names(metrics, row)
    of_masks = [name for name in names if name.startswith(MASK_PREFIX)]
    of_boxes = [name for name in names if name not in of_masks]
    parts = [f"{metrics['protocol']} protocol, percent"]
    if of_masks:
        parts += [_overall("boxes", of_boxes, metrics, row), "", _overall("masks", of_masks, metrics, row)]
    else:
        parts.append(_overall("", of_boxes, metrics, row))
    parts += _directions(names)
    if row is not None:
        parts.append(f"published: {row.id}: {row.describe()}" + (f"; {row.notes}" if row.notes else ""))
    if per_class and metrics["per_class"]:
        parts += ["", _class_table(metrics["per_class"])]
    return "\n".join(parts)


def _overall(title: str, names: Sequence[str], metrics: Metrics, row: PublishedRow | None) -> str:
    """The table of some scores: measured, published and the difference."""
    names = names[:MAX_COLUMNS]
    ours = {name: _percent(metrics.get(name)) for name in names}
    lines = [["measured", *(_number(ours[name]) for name in names)]]
    if row is not None:
        theirs = {name: row.metrics.get(name) for name in names}
        lines.append(["published", *(_number(theirs[name]) for name in names)])
        lines.append(["difference", *(_difference(ours[name], theirs[name]) for name in names)])
    return text_table([title, *(name.removeprefix(MASK_PREFIX) for name in names)], lines)


def format_runs(runs: Mapping[str, Metrics], *, names: Sequence[str] | None = None) -> str:
    """One line per run (teacher, plain student, distilled student, ...), in percent.

    Args:
        runs: {name: metrics of that run}; all computed under one protocol.
        names: metrics to show; default: all that the first run has, up to twelve.
    Raises:
        ValueError: the runs were scored under different protocols.
    """
    _one_protocol(runs)
    names = list(names or _metric_names(next(iter(runs.values()), {}), None)[:MAX_COLUMNS])
    lines = [
        [run, *(_number(_percent(metrics.get(name))) for name in names)] for run, metrics in runs.items()
    ]
    return "\n".join([text_table(["", *names], lines), *_directions(names)])


def _directions(names: Sequence[str]) -> list[str]:
    return [f"{name}: lower is better" for name in names if name in LOWER_IS_BETTER]


def _one_protocol(runs: Mapping[str, Metrics]) -> None:
    protocols = {metrics["protocol"] for metrics in runs.values()}
    if len(protocols) > 1:
        raise ValueError(
            f"runs scored under different protocols do not compare: {', '.join(sorted(protocols))}."
        )


def format_seeds(
    runs: Mapping[str, Sequence[Metrics]],
    gains: Mapping[str, Gain],
    *,
    names: Sequence[str],
    gain_of: str = "AP",
    drawn: str = "seeds and images",
) -> str:
    """One line per kind of run, in percent: the means over its seeds with the deviation, and the gain.

    Args:
        runs: {kind: metrics of its runs, one per seed}; all computed under one protocol.
        gains: {kind: by how much it is better than the plain one}; kinds without one get an empty field.
        names: metrics to show.
        gain_of: the metric that the gains are of.
        drawn: what the intervals of the gains are over.
    Raises:
        ValueError: the runs were scored under different protocols.
    """
    single = {f"{kind}{seed}": run for kind, each in runs.items() for seed, run in enumerate(each)}
    _one_protocol(single)
    header = ["", *names, *([f"gain in {gain_of}"] if gains else [])]
    lines = []
    for kind, each in runs.items():
        cells = [_spread([_percent(run.get(name)) for run in each]) for name in names]
        lines.append([kind, *cells, *([str(gains.get(kind, BLANK))] if gains else [])])
    text = text_table(header, lines)
    count = max(map(len, runs.values()))
    if count == 1:
        return f"{text}\none seed: an interval is about the images; another seed may differ by as much again"
    return f"{text}\nmean and standard deviation of {count} seeds; gain with 95 % interval over {drawn}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return BLANK
    mean, deviation = mean_and_deviation(known)
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def metrics_to_json(metrics: Metrics) -> str:
    """The metrics as indented json with plain numbers, fractions as they are; undefined values stay -1."""
    return json.dumps(_plain(metrics), indent=2, ensure_ascii=False) + "\n"


def write_metrics(metrics: Metrics, path: str | Path) -> Path:
    """Writes `metrics_to_json` to a file; a reader sees all of it or none. Returns the path."""
    path = Path(path)
    atomic_write(path, lambda file: file.write(metrics_to_json(metrics).encode()))
    return path


def _metric_names(metrics: Metrics, row: PublishedRow | None) -> list[str]:
    names = [name for name in metrics if name not in NOT_METRICS]
    return names + [name for name in (row.metrics if row else ()) if name not in names]


def _class_table(per_class: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(next(iter(per_class.values())))
    lines = [
        [name, *(str(row[key]) if key in COUNTS else _number(_percent(row[key])) for key in columns)]
        for name, row in per_class.items()
    ]
    titles = {"num_gts": "boxes", "num_detections": "detections"}
    return text_table(["class", *(titles.get(key, key) for key in columns)], lines)


def text_table(header: list[str], lines: list[list[str]]) -> str:
    """Columns of text, the first to the left and the others to the right, with a line below the header."""
    # Names of classes and runs come from files.
    header, *lines = ([visible(cell, keep="") for cell in line] for line in [header, *lines])
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        )
        for line in [header, *lines]
    ]
    text.insert(1, "-" * len(text[0]))
    return "\n".join(line.rstrip() for line in text)


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None or fraction < 0 or math.isnan(fraction) else 100 * float(fraction)


def _number(percent: float | None) -> str:
    return BLANK if percent is None else f"{percent:.1f}"


def _difference(ours: float | None, theirs: float | None) -> str:
    return BLANK if ours is None or theirs is None else f"{ours - theirs:+.1f}"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    # numpy scalars have `item`; json knows neither them nor NaN.
    value = value.item() if hasattr(value, "item") else value
    return -1.0 if isinstance(value, float) and not math.isfinite(value) else value
