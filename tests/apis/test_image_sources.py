"""Where images come from: files, folders, patterns, lists, films, addresses; what is refused."""

import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import cv2
import numpy as np
import pytest
from PIL import Image

from jld.apis.image_sources import is_single, source_images
from jld.data import ImageReader
from jld.errors import DataError


def names(source, **options):
    return [image.name for image in source_images(source, ImageReader(), **options)]


@pytest.fixture
def shots(tmp_path):
    for number, name in enumerate(("a.png", "b/c.jpg", "d é.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = cv2.imencode(".png", np.full((20, 30, 3), 50 * number, np.uint8))[1]
        (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "notes.md").write_text("none")
    return tmp_path


def test_paths_of_every_kind(shots):
    everything = [str(shots / name) for name in ("a.png", "b/c.jpg", "d é.png")]
    assert names(shots) == everything and names(str(shots)) == everything
    assert names(shots / "a.png") == everything[:1]
    assert (
        names(f"{shots}/*") == [everything[0], everything[2]]
        and names(f"{shots}/**/*.jpg") == everything[1:2]
    )
    (shots / "list.txt").write_text("\n".join(everything[1:]))
    assert names(shots / "list.txt") == everything[1:]
    assert names([shots / "a.png", shots / "b"]) == everything[:2]
    array = np.zeros((5, 5, 3), np.uint8)
    assert names([everything[0], array, Image.new("L", (4, 4))]) == [everything[0], 1, 2]
    (image,) = source_images(array, ImageReader())
    assert image.name == 0 and image.kept is array and image.read().shape == (5, 5, 3)


def test_one_image_or_several(shots):
    assert (
        is_single(str(shots / "a.png")) and is_single(np.zeros((2, 2))) and is_single("https://x.org/a.jpg")
    )
    (shots / "film.mp4").write_bytes(b"")
    (shots / "list.txt").write_text("")
    several = (
        shots,
        f"{shots}/*.png",
        [shots / "a.png"],
        shots / "film.mp4",
        shots / "list.txt",
        "http://x/a.txt",
    )
    assert not any(map(is_single, several))


def test_films_give_every_so_many_frames(tmp_path):
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(7):
        film.write(np.full((48, 64, 3), 30 * number, np.uint8))
    film.release()
    images = list(source_images(tmp_path / "film.avi", ImageReader(), every=3))
    assert [image.name for image in images] == [f"{tmp_path}/film_{number:06d}" for number in (0, 3, 6)]
    assert [round(float(image.read().mean()) / 30) for image in images] == [0, 3, 6]
    (tmp_path / "broken.avi").write_bytes(b"none")
    with pytest.raises(DataError, match=r"broken\.avi: no film"):
        names(tmp_path / "broken.avi")


def test_what_is_not_there_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    for source, reason in (
        (tmp_path / "none.jpg", "does not exist"),
        (tmp_path / "empty", "holds no image file"),
        (f"{tmp_path}/*.jpg", "no image matches"),
        (7, "cannot be taken from a int"),
    ):
        with pytest.raises(DataError, match=reason):
            names(source)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_addresses_are_fetched(shots):
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shots)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    try:
        (image,) = source_images(f"{root}/b/c.jpg?size=1", ImageReader())
        assert image.name == f"{root}/b/c.jpg?size=1" and (image.read() == 50).all() and image.kept is None
        for place, reason in (
            ("gone.jpg", "cannot be fetched: File not found"),
            ("notes.md", "notes.md cannot be used"),
        ):
            (image,) = source_images(f"{root}/{place}", ImageReader())
            with pytest.raises(DataError, match=reason):
                image.read()
    finally:
        server.shutdown()
        server.server_close()
