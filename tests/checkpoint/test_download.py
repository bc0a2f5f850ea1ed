"""Downloads from a server on this machine: going on, wrong contents, no connection, the mirror."""

import hashlib
import re
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from jld.apis import downloads
from jld.checkpoint import weights
from jld.checkpoint.download import download
from jld.errors import CheckpointError

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT as every `.pth`; `cut.pth` breaks off half way, `whole.pth` knows no ranges."""

    def do_GET(self):
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or ["", "0"])[1])
        self.server.starts.append(start)
        if not self.path.endswith(".pth") or start >= len(CONTENT):
            self.send_error(404 if not self.path.endswith(".pth") else 416)
            return
        if self.path.endswith("whole.pth"):
            start = 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        is_cut = self.path.endswith("cut.pth") and not start
        self.wfile.write(CONTENT[start : len(CONTENT) // 2 if is_cut else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    made.starts, made.url = [], f"http://127.0.0.1:{made.server_port}"
    thread = Thread(target=partial(made.serve_forever, poll_interval=0.01))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv("JLD_MIRROR", raising=False)
    return tmp_path / "new" / "a.pth"


def test_a_file_is_whole_and_right_before_it_has_its_name(server, place):
    assert download(f"{server.url}/a.pth", place, SHA256[:8]) == place
    assert place.read_bytes() == CONTENT and [path.name for path in place.parent.iterdir()] == ["a.pth"]


def test_what_broke_off_goes_on(server, place):
    with pytest.raises(CheckpointError, match=r"broke off after 640000 of 1280000 .* goes on from here"):
        download(f"{server.url}/cut.pth", place, SHA256)
    assert not place.exists()
    download(f"{server.url}/cut.pth", place, SHA256)
    assert server.starts == [0, 640000] and place.read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [1000, len(CONTENT)])
@pytest.mark.parametrize("file", ["a.pth", "whole.pth"])
def test_a_part_of_any_length_becomes_the_file(server, place, file, kept):
    place.parent.mkdir()
    place.with_name("a.pth.part").write_bytes(CONTENT[:kept])
    download(f"{server.url}/{file}", place, SHA256)
    assert place.read_bytes() == CONTENT


def test_other_contents_are_removed(server, place):
    with pytest.raises(CheckpointError, match=rf"SHA-256 {SHA256[:16]}\.\.\., which should begin with 00ff"):
        download(f"{server.url}/a.pth", place, "00ff")
    assert list(place.parent.iterdir()) == []


def test_no_connection_and_no_file_say_what_to_do(server, place):
    with pytest.raises(CheckpointError, match="the server says 404 Not Found"):
        download(f"{server.url}/a.txt", place)
    with pytest.raises(CheckpointError, match=rf"refused.*put it to {place}, or name a mirror in JLD_MIRROR"):
        download("http://127.0.0.1:9/a.pth", place)


def test_a_known_name_comes_from_the_mirror_once(server, place, monkeypatch, capsys):
    known = weights.KnownFile("torchvision://tiny", "https://nowhere.invalid/x/tiny-0.pth", SHA256[:8])
    monkeypatch.setattr(weights, "KNOWN_FILES", (known,))
    monkeypatch.setenv("JLD_WEIGHTS", str(place.parent))
    monkeypatch.setenv("JLD_MIRROR", f"{server.url}/mirror/")
    monkeypatch.setenv("JLD_DOWNLOAD", "1")
    found = place.parent / f"tiny-{SHA256[:8]}.pth"
    assert weights.available("torchvision://tiny") == found and found.read_bytes() == CONTENT
    assert downloads.main(["tiny"]) == 0 and capsys.readouterr().out == f"{found}\n"
    assert len(server.starts) == 1
