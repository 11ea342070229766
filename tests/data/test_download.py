"""A server that means harm, on this machine: too much, too slow, elsewhere, nonsense. Each is one message."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from bequest.data import download
from bequest.data.download import fetch
from bequest.data.sources import DataSource, SourceFile, verify
from bequest.errors import DataError

CONTENT = b"content" * 1000


class Hostile(BaseHTTPRequestHandler):
    """Answers with the headers and the body that the test sets; a body may never end."""

    headers_sent: ClassVar[dict[str, str]] = {}
    pieces = staticmethod(lambda: iter(()))
    status = 200
    sent = 0

    def do_GET(self):
        self.send_response(type(self).status)
        for name, value in type(self).headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in type(self).pieces():
                self.wfile.write(piece)
                type(self).sent += len(piece)
        except OSError:
            pass  # the client hung up

    def log_message(self, *_):
        pass


@pytest.fixture
def hostile():
    handler = type("Handler", (Hostile,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    handler.address = f"http://127.0.0.1:{server.server_address[1]}/"
    yield handler
    server.shutdown()
    server.server_close()


def fetched(hostile, root):
    file = SourceFile("file", hashlib.sha256(CONTENT).hexdigest(), "file.gz", len(CONTENT))
    return fetch(DataSource("set", "A set", "none", "set", (hostile.address,), (file,)), root)


def endless(piece: bytes, pause: float = 0.0):
    while True:
        yield piece
        time.sleep(pause)


def test_a_right_file_comes_through(hostile, tmp_path):
    hostile.pieces = staticmethod(lambda: iter([gzip.compress(CONTENT)]))
    assert fetched(hostile, tmp_path)[0].read_bytes() == CONTENT


def test_an_endless_body_does_not_fill_the_disk(hostile, tmp_path):
    hostile.pieces = staticmethod(lambda: endless(bytes(1 << 16)))
    with pytest.raises(DataError, match="the server sent too much"):
        fetched(hostile, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 1 << 20


def test_a_drip_ends(hostile, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    monkeypatch.setattr(download, "SLOWEST", 1 << 30)
    monkeypatch.setattr(download, "CHUNK", 1)
    hostile.pieces = staticmethod(lambda: endless(b"x", 0.02))
    with pytest.raises(DataError, match="sends too slowly"):
        fetched(hostile, tmp_path)


def test_a_gzip_bomb_is_not_unpacked(hostile, tmp_path):
    hostile.pieces = staticmethod(lambda: iter([gzip.compress(bytes(7 << 20))]))
    with pytest.raises(DataError, match="is too large when unpacked"):
        fetched(hostile, tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", ""])
def test_a_length_that_is_no_number_is_one_message(hostile, tmp_path, length):
    hostile.headers_sent = {"Content-Length": length}
    with pytest.raises(DataError, match="Content-Length is not a number"):
        fetched(hostile, tmp_path)


def test_a_length_beyond_the_file_is_refused_before_a_byte_is_read(hostile, tmp_path):
    hostile.headers_sent = {"Content-Length": str(1 << 50)}
    with pytest.raises(DataError, match="the server's file is too long"):
        fetched(hostile, tmp_path)


@pytest.mark.parametrize(
    "target", ["file:///etc/hostname", "ftp://127.0.0.1/file.gz", "data:,x", "gopher://x/"]
)
def test_a_redirect_to_another_scheme_is_not_followed(hostile, tmp_path, target):
    hostile.status, hostile.headers_sent = 302, {"Location": target}
    with pytest.raises(DataError, match=r"a redirect to another scheme|302"):
        fetched(hostile, tmp_path)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(302, {}), (302, {"Location": "/file.gz"}), (302, {"Location": "http://[::"}), (500, {}), (206, {})],
)
def test_other_answers_are_one_message(hostile, tmp_path, status, headers):
    hostile.status, hostile.headers_sent = status, headers
    with pytest.raises(DataError, match="could not be fetched"):
        fetched(hostile, tmp_path)


def test_fetch_mends_what_is_damaged(hostile, tmp_path):
    hostile.pieces = staticmethod(lambda: iter([gzip.compress(CONTENT)]))
    file = SourceFile("file", hashlib.sha256(CONTENT).hexdigest(), "file.gz", len(CONTENT))
    source = DataSource("set", "A set", "none", "set", (hostile.address,), (file,))
    whole = gzip.compress(CONTENT)
    (tmp_path / "set").mkdir()
    for damaged in (whole[:20], whole + b"garbage", b"<html>", b""):
        (tmp_path / "set" / "file").unlink(missing_ok=True)
        (tmp_path / "set" / "file.gz").write_bytes(damaged)
        assert [state.state for state in verify(source, tmp_path)] == ["wrong"]
        fetch(source, tmp_path)
        assert [state.state for state in verify(source, tmp_path)] == ["right"]


@pytest.mark.parametrize(
    "address", ["file:///etc/", "ftp://127.0.0.1/", "http://127.0.0.1:port/", "http://[/"]
)
def test_addresses_that_cannot_be_fetched_from_are_one_message(tmp_path, address):
    file = SourceFile("file", "0" * 64, "file.gz", 100)
    with pytest.raises(DataError, match="could not be fetched"):
        fetch(DataSource("set", "A set", "none", "set", (address,), (file,)), tmp_path)
