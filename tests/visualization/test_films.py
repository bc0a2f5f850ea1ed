"""Films are whole or not there, and in a codec that can be written here."""

import cv2
import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization import films
from jld.visualization.films import FilmWriter


def frames(path):
    film, found = cv2.VideoCapture(str(path)), []
    while True:
        is_read, picture = film.read()
        if not is_read:
            return found, film.get(cv2.CAP_PROP_FPS)
        found.append(picture)


@pytest.mark.parametrize("codecs", [films.CODECS, films.CODECS[2:], ((".mp4", "none"), (".avi", "MJPG"))])
def test_pictures_come_back(tmp_path, monkeypatch, codecs):
    monkeypatch.setattr(films, "CODECS", codecs)
    writer = FilmWriter(tmp_path / "new" / "a.b", 12.5, (48, 64))
    for level in (40, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    assert not writer.path.exists()
    writer.close()
    assert [file.name for file in (tmp_path / "new").iterdir()] == [writer.path.name]
    assert writer.path.stem == "a.b"
    found, rate = frames(writer.path)
    assert rate == pytest.approx(12.5) and [picture.shape for picture in found] == [(48, 64, 3)] * 2
    assert [abs(picture.mean() - level) < 6 for picture, level in zip(found, (40, 200), strict=True)] == [
        True
    ] * 2


def test_a_film_that_is_broken_off_leaves_nothing(tmp_path):
    writer = FilmWriter(tmp_path / "a", 5, (48, 64))
    with pytest.raises(DataError, match=r"a picture of \(20, 64\) px in a film of \(48, 64\) px"):
        writer.write(np.zeros((20, 64, 3), np.uint8))
    writer.close(is_whole=False)
    assert list(tmp_path.iterdir()) == []


def test_without_a_codec_the_message_names_those_that_were_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "CODECS", ((".mp4", "none"), (".xyz", "MJPG")))
    with pytest.raises(DataError, match=r"can write no film of 64x48 px there; tried none in \.mp4, MJPG in"):
        FilmWriter(tmp_path / "a", 5, (48, 64))
    assert list(tmp_path.iterdir()) == []
