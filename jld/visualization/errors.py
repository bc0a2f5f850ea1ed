"""What an error analysis found, as figures: precision, kinds of errors, calibration, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jld.visualization.curves import run_color
from jld.visualization.figures import make_figure, style_axes, use_fonts

SHOWN_IOUS = (50, 75, 90)
MOST_CLASSES = 30
"""A confusion matrix of more classes shows those that are confused most."""


def precision_figure(runs: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Precision over recall: mean over classes at three IoU for every run, then each class of the last run.

    Args:
        runs: {name: precision [T, R, C] at IoU 0.50, 0.55, ... and R equal steps of recall; -1 undefined}.
        classes: C names.
    """
    figure = make_figure(9.6, 3.8)
    overall, by_class = figure.subplots(1, 2)
    for rank, (name, precision) in enumerate(runs.items()):
        defined = precision[:, :, (precision > -1).any((0, 1))]
        for iou, style in zip(SHOWN_IOUS, ("-", "--", ":"), strict=True):
            values = defined[(iou - 50) // 5].mean(-1)
            _line(overall, values, f"{name}, IoU 0.{iou}", color=run_color(rank), ls=style)
    last = list(runs.values())[-1][0]
    seen = [label for label in range(len(classes)) if (last[:, label] > -1).any()]
    seen.sort(key=lambda label: -last[:, label].mean())
    for rank, label in enumerate(seen[:5] + seen[5:][-5:]):
        _line(by_class, last[:, label], classes[label], color=f"C{rank}")
    for axis, title in ((overall, "mean over classes"), (by_class, "classes at IoU 0.50, best and worst")):
        style_axes(axis)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("recall (%)", fontsize=8)
        axis.set_ylabel("precision (%)", fontsize=8)
        axis.set_xlim(0, 100)
        axis.set_ylim(0, 101)
        axis.legend(fontsize=7, frameon=False)
    return use_fonts(figure)


def _line(axis: Any, precision: np.ndarray, label: str, **style: Any) -> None:
    steps = np.linspace(0, 100, len(precision))
    axis.plot(steps, 100 * precision, label=_plain(label), linewidth=1.4, **style)


def _plain(text: str) -> str:
    # matplotlib hides what begins with "_" and typesets what stands between two "$".
    return f"{' ' * text.startswith('_')}{text}".replace("$", r"\$")


def error_figure(runs: Mapping[str, Mapping[str, tuple[float, int]]], words: Mapping[str, str]) -> Figure:
    """For every kind of error a bar per run: the AP50 that repairing it would add, and how many there are.

    Args:
        runs: {run: {kind: (fraction, count)}}.
        words: {kind: what it is}.
    """
    figure = make_figure(8.2, 3.2 + 0.2 * len(runs))
    axis = figure.subplots()
    height = 0.8 / len(runs)
    for rank, (name, kinds) in enumerate(runs.items()):
        places = np.arange(len(words)) + (rank - (len(runs) - 1) / 2) * height
        gains = [100 * kinds[kind][0] for kind in words]
        bars = axis.barh(places, gains, height * 0.9, color=run_color(rank), label=_plain(name))
        axis.bar_label(bars, [f"{kinds[kind][1]}" for kind in words], fontsize=7, padding=2)
    axis.set_yticks(np.arange(len(words)), [f"{kind}: {text}" for kind, text in words.items()], fontsize=8)
    axis.invert_yaxis()
    style_axes(axis)
    axis.set_xlabel("AP50 lost to it (points); the numbers count errors", fontsize=8)
    axis.margins(x=0.1)
    if len(runs) > 1:
        axis.legend(fontsize=8, frameon=False)
    return use_fonts(figure)


def calibration_figure(runs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How often detections of a score are right, and how many there are of each score.

    Args:
        runs: {run: dict(ece, bins of dict(avg_confidence, avg_accuracy, count))}.
    """
    figure = make_figure(8.2, 3.4)
    reliability, counts = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    for rank, (name, found) in enumerate(runs.items()):
        bins = [each for each in found["bins"] if each["count"]]
        scores = [each["avg_confidence"] for each in bins]
        label = f"{_plain(name)} (error {found['ece']:.3f})"
        accuracy = [each["avg_accuracy"] for each in bins]
        reliability.plot(scores, accuracy, "o-", color=run_color(rank), label=label, markersize=3)
        counts.plot(scores, [each["count"] for each in bins], "o-", color=run_color(rank), markersize=3)
    reliability.set_ylabel("share that is right (IoU 0.5)", fontsize=8)
    reliability.legend(fontsize=8, frameon=False)
    counts.set_yscale("log")
    counts.set_ylabel("detections", fontsize=8)
    for axis in (reliability, counts):
        style_axes(axis)
        axis.set_xlabel("score", fontsize=8)
    return use_fonts(figure)


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Which classes are taken for which, in percent of the objects of a class.

    Args:
        confusion: [C + 1, C + 1] counts, true classes in rows, background last.
        classes: C names.
    """
    last = len(classes)
    errors = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-(errors.sum(0) + errors.sum(1))[:last], kind="stable")[:MOST_CLASSES]
    shown = [*np.sort(order).tolist(), last]
    names = [*classes, "background"]
    shares = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    shares = shares[np.ix_(shown, shown)]
    side = 2.4 + 0.32 * len(shown)
    figure = make_figure(side + 0.8, side)
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
        share = shares[row, column]
        ink = "white" if share > 60 else "black"
        axis.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=ink)
    ticks, texts = range(len(shown)), [_plain(names[label]) for label in shown]
    axis.set_xticks(ticks, texts, rotation=90, fontsize=7)
    axis.set_yticks(ticks, texts, fontsize=7)
    axis.set_xlabel("found as", fontsize=8)
    axis.set_ylabel("is", fontsize=8)
    return use_fonts(figure)
