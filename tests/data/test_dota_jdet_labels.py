"""JDet's labels.pkl, written and read without executing anything."""

import pickle

import numpy as np
import pytest

from jld.boxes.rotated import rboxes_to_polys, reorder_corners
from jld.data.dota import PolyAnnotation, jdet_entry, read_jdet_labels, write_jdet_labels
from jld.errors import DataError

CLASSES = ("plane", "ship")
POLYS = [[0, 0, 40, 0, 40, 10, 0, 10], [50, 20, 60, 20, 60, 50, 50, 50], [0, 0, 9, 0, 9, 9, 0, 9]]


class Bomb:
    def __reduce__(self):
        return print, ("executed",)


@pytest.fixture
def entry():
    return jdet_entry(
        "b.png", 60, 50, PolyAnnotation.of(POLYS, ["ship", "plane", "ship"], [0, 1, 2]), CLASSES
    )


def test_written_entries_read_back(tmp_path, entry):
    empty = jdet_entry("a.png", 60, 50, PolyAnnotation.of([], []), CLASSES)
    write_jdet_labels(tmp_path / "labels.pkl", [entry, empty])
    first, second = read_jdet_labels(tmp_path / "labels.pkl", 2)
    assert (first["filename"], second["filename"], second["width"]) == ("a.png", "b.png", 60)
    assert first["ann"]["bboxes"].shape == first["ann"]["bboxes_ignore"].shape == (0, 5)
    assert second["ann"]["labels"].tolist() == [2] and second["ann"]["labels_ignore"].tolist() == [1]
    for key, poly in (("bboxes", POLYS[0]), ("bboxes_ignore", POLYS[1])):
        corners = reorder_corners(rboxes_to_polys(second["ann"][key]))
        np.testing.assert_allclose(corners, [poly], atol=1e-4)


@pytest.mark.parametrize("protocol", [2, 4])
def test_any_pickle_protocol_reads(tmp_path, entry, protocol):
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps([entry], protocol))
    (read,) = read_jdet_labels(tmp_path / "labels.pkl", 2)
    np.testing.assert_array_equal(read["ann"]["bboxes"], entry["ann"]["bboxes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.pop("width"), "lacks width"),
        (lambda entry: entry["ann"].pop("labels_ignore"), "ann.labels_ignore"),
        (lambda entry: entry.pop("ann"), "no `ann`"),
        (lambda entry: entry["ann"].update(labels=np.array([3])), r"outside 1\.\.2"),
        (lambda entry: entry["ann"].update(labels=np.array([0])), r"outside 1\.\.2"),
        (lambda entry: entry["ann"].update(labels=np.array([1, 1])), "1 boxes and 2 labels"),
    ],
)
def test_broken_entries_are_named(tmp_path, entry, change, message):
    change(entry)
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps([entry]))
    with pytest.raises(DataError, match=rf"entry 0 \(b\.png\).*{message}"):
        read_jdet_labels(tmp_path / "labels.pkl", 2)


def test_other_files_are_refused_and_not_executed(tmp_path, entry, capsys):
    path = tmp_path / "labels.pkl"
    for content in (
        b"nonsense",
        pickle.dumps([entry])[:-20],
        pickle.dumps({"a": 1}),
        pickle.dumps([entry, Bomb()]),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"labels\.pkl"):
            read_jdet_labels(path, 2)
    with pytest.raises(DataError, match="Cannot read annotations"):
        read_jdet_labels(tmp_path / "none.pkl", 2)
    assert capsys.readouterr().out == ""
