"""Figures of an error analysis: every run, every class, odd names."""

import numpy as np

from jld.visualization.errors import calibration_figure, confusion_figure, error_figure, precision_figure
from jld.visualization.figures import figure_bytes

ODD = ("_hidden", "$math$", "<script>")


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_errors_of_two_runs():
    runs = {"plain": {"Cls": (0.02, 3), "Loc": (0.1, 7)}, "_ld": {"Cls": (0.01, 2), "Loc": (0.05, 4)}}
    figure = error_figure(runs, {"Cls": "wrong class", "Loc": "wrong place"})
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert np.allclose(widths, [2, 10, 1, 5])
    assert {"plain", " _ld", "3", "7", "2", "4"} <= set(texts(figure))


def test_precision_of_classes_without_objects_is_left_out():
    precision = np.full((10, 101, 3), -1.0)
    precision[:, :, 0], precision[:, :, 2] = 0.8, 0.4
    figure = precision_figure({"run": precision}, ODD)
    mean, of_classes = figure.axes
    assert np.allclose(mean.lines[0].get_ydata(), 60)
    assert [line.get_label() for line in of_classes.lines] == [" _hidden", "<script>"]
    assert b"&lt;script&gt;" in figure_bytes(figure, ".svg")


def test_calibration_leaves_out_empty_bins():
    bins = [
        {"avg_confidence": 0.05, "avg_accuracy": 0.0, "count": 0},
        {"avg_confidence": 0.95, "avg_accuracy": 0.9, "count": 12},
    ]
    figure = calibration_figure({"run": {"ece": 0.05, "bins": bins}})
    assert figure.axes[0].lines[1].get_xdata().tolist() == [0.95] and "run (error 0.050)" in texts(figure)


def test_confusion_shows_shares_and_the_most_confused_classes():
    figure = confusion_figure(np.array([[8, 2, 0, 0], [0, 5, 0, 5], [0, 0, 0, 0], [1, 0, 0, 0]]), ODD)
    assert {"80", "20", "50", "100"} <= set(texts(figure))
    many = np.eye(81, dtype=np.int64)
    many[70, 71] = 5
    shown = texts(confusion_figure(many, [f"class {k}" for k in range(80)]))
    assert "class 70" in shown and "class 71" in shown and "class 60" not in shown
