"""Loss, learning-rate and accuracy curves from the `log.jsonl` files of one or several runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jld.errors import DataError, suggestion
from jld.visualization.figures import LINE_COLORS, figure_to_bgr, make_figure, style_axes, use_fonts

# Bookkeeping of a record, not something to draw unless asked for.
NOT_CURVES = ("epoch", "iter", "time", "total_iter", "images_per_second")
# Drawn instead of all eleven or more accuracies of a protocol, where a run has them.
MAIN_ACCURACIES = ("eval/AP", "eval/AP50", "eval/AP75")


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The records of a log file, one json object a line, in file order.

    A last line that a killed run left unfinished is dropped.

    Args:
        path: `log.jsonl`, or the work folder that holds it.
    Raises:
        DataError: no such file, or a broken line that is not one cut in half.
    """
    path = Path(path)
    path = path / "log.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path}: no such log; give a work folder of a run or its log.jsonl.")
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            # Of a run that was killed; resumed, it goes on below.
            is_cut = line.startswith("{") and not line.rstrip().endswith("}")
            if number == len(lines) or is_cut:
                continue
            raise DataError(f"{path}, line {number}: not json ({error.msg}).") from error
        if isinstance(record, dict) and record:
            records.append(record)
    return records


def curve(
    records: Sequence[Mapping[str, Any]], key: str, x_key: str = "iter"
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and values of one key.

    A resumed run logs some iterations again; of equal positions the later record counts.

    Args:
        records: from `read_log`.
        key: for example `total_loss` or `eval/AP`.
        x_key: what to put on the x axis.
    Returns:
        x [n] ascending and y [n]; records that lack either are left out.
    """
    points = {
        record[x_key]: record[key]
        for record in records
        if _is_number(record, key) and _is_number(record, x_key)
    }
    x = np.array(sorted(points), np.float64)
    return x, np.array([points[position] for position in x], np.float64)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean, so that a falling curve is not shifted; it shortens towards both ends.

    Args:
        values: [n]; values that are not finite are left out of the means and stay gaps themselves.
        window: points averaged; 1 or less changes nothing.
    Returns:
        [n]
    """
    values = np.asarray(values, np.float64)
    if window <= 1 or len(values) == 0:
        return values.copy()
    finite = np.isfinite(values)
    index = np.arange(len(values))
    low, high = np.maximum(index - window // 2, 0), np.minimum(index + (window - 1) // 2 + 1, len(values))
    sums, counts = (
        np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(finite, values, 0.0), finite)
    )
    means = (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(finite, means, np.nan)


def default_keys(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is worth a panel: accuracies, total loss, other losses, the rest; each in order of appearance."""
    keys: dict[str, None] = {}
    for records in runs.values():
        for record in records:
            keys.update((key, None) for key in record if key not in NOT_CURVES and _is_number(record, key))
    if not keys.keys().isdisjoint(MAIN_ACCURACIES):
        keys = {key: None for key in keys if not key.startswith("eval/") or key in MAIN_ACCURACIES}
    return sorted(keys, key=lambda key: (not key.startswith("eval/"), key != "total_loss", "loss" not in key))


def draw_curves(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    keys: Sequence[str] | None = None,
    *,
    x_key: str = "iter",
    smoothing: int | None = None,
    columns: int = 3,
    title: str = "",
) -> np.ndarray:
    """`curves_figure` as uint8 BGR."""
    figure = curves_figure(runs, keys, x_key=x_key, smoothing=smoothing, columns=columns, title=title)
    return figure_to_bgr(figure)


def curves_figure(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    keys: Sequence[str] | None = None,
    *,
    x_key: str = "iter",
    smoothing: int | None = None,
    columns: int = 3,
    title: str = "",
) -> Figure:
    """One panel per key, one line per run; noisy curves are drawn pale with their average over them.

    Accuracies are drawn in percent, as tables have them.

    Args:
        runs: {run name: records from `read_log`}.
        keys: panels; None: `default_keys`.
        x_key: the x axis, `iter` or `epoch`.
        smoothing: averaging window in points; None: a twentieth of the curve for training values. Accuracies
            (`eval/...`) and the learning rate are never averaged.
        columns: panels per row.
        title: above all panels.
    Raises:
        DataError: no run, nothing to draw, or a key that no run logged.
    """
    keys = default_keys(runs) if keys is None else list(keys)
    if not keys:
        raise DataError(f"nothing to draw: {len(runs)} runs logged no number yet.")
    for key in keys:
        if not any(len(curve(records, key, x_key)[0]) for records in runs.values()):
            logged = {name for records in runs.values() for record in records for name in record}
            raise DataError(f"no run logged {key!r} together with {x_key!r}: {suggestion(key, logged)}")
    columns = min(columns, len(keys))
    rows = -(-len(keys) // columns)
    figure = make_figure(4.6 * columns, 3.0 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, key in zip(axes, keys, strict=False):
        _draw_panel(
            axis, key, {name: curve(records, key, x_key) for name, records in runs.items()}, smoothing
        )
        axis.set_xlabel(x_key, fontsize=8)
    for axis in axes[len(keys) :]:
        axis.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=12)
    _run_legend(figure, list(runs))
    return use_fonts(figure)


def run_color(rank: int) -> str:
    """The colour of the run drawn as number `rank`."""
    return LINE_COLORS[rank % len(LINE_COLORS)]


def _is_number(record: Mapping[str, Any], key: str) -> bool:
    value = record.get(key)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_panel(
    axis: Any, key: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], smoothing: int | None
) -> None:
    is_exact = key.startswith("eval/") or key == "lr"
    for rank, (x, y) in enumerate(curves.values()):
        if is_exact:
            axis.plot(
                x,
                np.where(y == -1, np.nan, 100 * y if _is_share(key) else y),
                color=run_color(rank),
                linewidth=1.6,
                marker=_marker(key, len(x)),
            )
            continue
        window = max(1, len(x) // 20) if smoothing is None else smoothing
        if window > 1:
            axis.plot(x, y, color=run_color(rank), linewidth=0.8, alpha=0.25)
        axis.plot(x, smooth(y, window), color=run_color(rank), linewidth=1.6)
    style_axes(axis)
    axis.set_title(f"{key} (%)" if _is_share(key) else key, fontsize=10)


def _is_share(key: str) -> bool:
    # Fractions; evaluators of projects may give counts, which begin with "num_".
    return key.startswith("eval/") and not key.startswith("eval/num_")


def _marker(key: str, count: int) -> str:
    # A single evaluation would be an invisible line.
    return "o" if key.startswith("eval/") and count <= 30 else ""


def _run_legend(figure: Figure, names: list[str]) -> None:
    if len(names) < 2:
        return
    handles = [
        figure.axes[0].plot([], [], color=run_color(rank), linewidth=2)[0] for rank in range(len(names))
    ]
    figure.legend(
        handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False, fontsize=9
    )
