"""Logs read, sorted and smoothed, and panels drawn from them."""

import json

import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.curves import curve, default_keys, draw_curves, read_log, smooth
from jld.visualization.figures import LINE_COLORS


def records(offset=0.0, count=40):
    rows = [
        {
            "iter": 10 * k,
            "epoch": k // 10,
            "time": 1.0,
            "lr": 0.01,
            "total_loss": 2.0 + offset - k / 40,
            "eta": "0:01",
        }
        for k in range(1, count + 1)
    ]
    rows.append({"iter": 10 * count, "epoch": 4, "eval/AP": 0.3 + offset, "eval/AP50": 0.5, "eval/AP55": 0.4})
    return rows


def near(image, color, tolerance=12):
    wanted = np.array([int(color[start : start + 2], 16) for start in (5, 3, 1)])
    return int((np.abs(image.astype(int) - wanted).max(-1) <= tolerance).sum())


def test_reads_a_folder_and_drops_an_unfinished_line(tmp_path):
    lines = [json.dumps({"iter": 1, "total_loss": 2.0}), "", json.dumps({"iter": 2, "total_loss": 1.0})]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"iter": 3, "tot')
    assert [record["iter"] for record in read_log(tmp_path)] == [1, 2]
    assert read_log(tmp_path / "log.jsonl") == read_log(tmp_path)


def test_broken_and_missing_logs(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"iter": 1}\nnot json\n{"iter": 2}\n')
    with pytest.raises(DataError, match=r"log\.jsonl, line 2: not json"):
        read_log(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such log"):
        read_log(tmp_path / "nowhere")


def test_curve_is_sorted_and_later_records_count():
    rows = [
        {"iter": 2, "a": 5.0},
        {"iter": 1, "a": 4.0},
        {"iter": 2, "a": 6},
        {"iter": 3, "b": 1.0},
        {"a": 9.0},
    ]
    x, y = curve([*rows, {"iter": 4, "a": "nan"}, {"iter": 5, "a": True}], "a")
    np.testing.assert_array_equal(x, [1, 2])
    np.testing.assert_array_equal(y, [4, 6])
    assert len(curve(rows, "c")[0]) == 0


def test_smoothing():
    np.testing.assert_allclose(smooth([1, 2, 3, 4, 10], 3), [1.5, 2, 3, 17 / 3, 7])
    np.testing.assert_allclose(smooth([1, np.nan, 3], 3), [1, np.nan, 3])
    np.testing.assert_allclose(smooth([4, 5], 1), [4, 5])
    assert smooth([], 5).shape == (0,)
    straight = np.arange(50.0)
    np.testing.assert_allclose(smooth(straight, 9)[4:-4], straight[4:-4])


def test_default_panels():
    runs = {"a": [{"iter": 1, "lr": 0.1, "loss_cls": 1.0, "total_loss": 2.0}], "b": records()}
    assert default_keys(runs) == ["eval/AP", "eval/AP50", "total_loss", "loss_cls", "lr"]
    assert default_keys({"a": [{"iter": 1, "eval/mMR": 0.5}]}) == ["eval/mMR"]


def test_every_run_has_a_line_and_a_name():
    one = draw_curves({"plain": records()}, ["total_loss"], smoothing=1)
    two = draw_curves({"plain": records(), "LD": records(0.5)}, ["total_loss"], smoothing=1)
    assert near(one, LINE_COLORS[0]) > 100 and near(one, LINE_COLORS[1]) == 0
    assert near(two, LINE_COLORS[0]) > 100 and near(two, LINE_COLORS[1]) > 100


def test_grid_grows_with_the_panels():
    runs = {"plain": records()}
    wide, high = draw_curves(runs, columns=4), draw_curves(runs, columns=2)
    assert wide.shape[1] == 4 * 460 and high.shape[1] == 2 * 460
    assert high.shape[0] > wide.shape[0]


def test_single_evaluation_and_undefined_values_are_drawn():
    # A single point is a dot; -1 stands for "undefined" and is left out.
    picture = draw_curves({"run": [{"iter": 5, "eval/AP": 0.5}]}, ["eval/AP"])
    assert near(picture, LINE_COLORS[0]) > 10
    undefined = draw_curves({"run": [{"iter": 5, "eval/AP": -1.0}]}, ["eval/AP"])
    assert near(undefined, LINE_COLORS[0]) == 0


def test_nothing_to_draw():
    with pytest.raises(DataError, match="1 runs logged no number yet"):
        draw_curves({"a": []})
    with pytest.raises(DataError, match=r"no run logged 'total_los' .*did you mean 'total_loss'"):
        draw_curves({"a": records()}, ["total_los"])
