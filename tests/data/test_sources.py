"""Fetching from a server on this machine: whole, in pieces, damaged, and not at all."""

from __future__ import annotations

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bequest.data.download import fetch
from bequest.data.sources import SOURCES, DataSource, SourceFile, read_plain, source_of, take, verify
from bequest.errors import DataError, UnknownName

CONTENT = {name: (name * 40_000).encode() for name in ("first", "second")}


class Server:
    """Serves ``files``; ``asked`` are the ranges that were asked for, ``cut`` ends answers early."""

    def __init__(self):
        self.files = {f"/{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENT.items()}
        self.asked = []
        self.cut = None
        self.ranges = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body, status = outer.files.get(self.path), 200
                begin = self.headers.get("Range")
                outer.asked.append((self.path, begin))
                if body is None:
                    self.send_error(404)
                    return
                if begin and outer.ranges:
                    body, status = body[int(begin.removeprefix("bytes=").rstrip("-")) :], 206
                    if not body:
                        self.send_error(416)
                        return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if outer.cut is None else body[: outer.cut])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.http.server_address[1]}/"


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def source(server):
    files = tuple(
        SourceFile(name, hashlib.sha256(content).hexdigest(), f"{name}.gz")
        for name, content in CONTENT.items()
    )
    return DataSource("set", "A set", "none", "some/set", (server.address,), files)


def states(source, root):
    return [state.state for state in verify(source, root)]


def test_what_is_fetched_is_unpacked_checked_and_not_fetched_again(server, source, tmp_path):
    seen = []
    made = fetch(source, tmp_path, progress=lambda *now: seen.append(now))
    assert [path.read_bytes() for path in made] == list(CONTENT.values())
    assert states(source, tmp_path) == ["right", "right"]
    assert {name for name, _, _ in seen} == set(CONTENT)
    assert all(done <= total for _, done, total in seen)
    before = len(server.asked)
    assert fetch(source, tmp_path) == []
    assert len(server.asked) == before
    assert sorted(path.name for path in (tmp_path / "some" / "set").iterdir()) == sorted(CONTENT)


def test_an_interrupted_download_goes_on_where_it_stopped(server, source, tmp_path):
    server.cut = 100
    with pytest.raises(DataError, match="the connection ended early"):
        fetch(source, tmp_path)
    assert states(source, tmp_path) == ["absent", "absent"]
    server.cut = None
    fetch(source, tmp_path)
    assert ("/first.gz", "bytes=100-") in server.asked
    assert states(source, tmp_path) == ["right", "right"]


def test_a_server_without_ranges_sends_all_of_it_again(server, source, tmp_path):
    server.cut = 100
    with pytest.raises(DataError):
        fetch(source, tmp_path)
    server.cut, server.ranges = None, False
    fetch(source, tmp_path)
    assert states(source, tmp_path) == ["right", "right"]


def test_a_left_over_of_another_file_is_thrown_away(source, tmp_path):
    folder = tmp_path / "some" / "set"
    folder.mkdir(parents=True)
    (folder / ".first.gz.part").write_bytes(gzip.compress(b"something else"))
    (folder / ".second.gz.part").write_bytes(b"no archive")
    fetch(source, tmp_path)
    assert states(source, tmp_path) == ["right", "right"]


def test_a_whole_left_over_is_not_asked_for_again(server, source, tmp_path):
    folder = tmp_path / "some" / "set"
    folder.mkdir(parents=True)
    (folder / ".first.gz.part").write_bytes(server.files["/first.gz"])
    fetch(source, tmp_path)
    assert states(source, tmp_path) == ["right", "right"]


def test_another_content_is_never_kept(server, source, tmp_path):
    server.files["/first.gz"] = gzip.compress(b"forged")
    with pytest.raises(DataError, match="first could not be fetched") as caught:
        fetch(source, tmp_path)
    assert f"sha256 {hashlib.sha256(b'forged').hexdigest()}" in str(caught.value)
    assert states(source, tmp_path) == ["absent", "absent"]
    assert list((tmp_path / "some" / "set").iterdir()) == []


def test_the_next_mirror_is_tried(server, source, tmp_path):
    mirrors = [f"{server.address}nowhere/", "http://127.0.0.1:1/", server.address]
    assert len(fetch(source, tmp_path, mirrors=mirrors)) == 2


def test_every_failure_is_told(server, source, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch(source, tmp_path, mirrors=[f"{server.address}nowhere/", "file:///etc/"])
    for part in ("404", "not an http or https address", "bequest data import"):
        assert part in str(caught.value)


def test_a_changed_file_is_seen_and_mended(source, tmp_path):
    fetch(source, tmp_path)
    path = tmp_path / "some" / "set" / "second"
    path.write_bytes(path.read_bytes()[:-1])
    assert states(source, tmp_path) == ["right", "wrong"]
    assert fetch(source, tmp_path) == [path]
    assert states(source, tmp_path) == ["right", "right"]


def test_files_of_the_user_are_taken_if_they_are_the_published_ones(source, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "first").write_bytes(CONTENT["first"])
    (own / "second.gz").write_bytes(gzip.compress(CONTENT["second"]))
    contents = read_plain(source, own)
    assert len(take(source, contents, tmp_path / "data")) == 2
    assert states(source, tmp_path / "data") == ["right", "right"]
    with pytest.raises(DataError, match="is not the published file"):
        take(source, {**contents, "second": b"other"}, tmp_path / "data")
    take(source, {**contents, "second": b"other"}, tmp_path / "other", unverified=True)
    assert states(source, tmp_path / "other") == ["right", "wrong"]
    with pytest.raises(DataError, match="no file"):
        take(source, {"first": CONTENT["first"]}, tmp_path / "data", unverified=True)


def test_sources_are_complete_and_named():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
        assert all(len(file.sha256) == 64 for file in source.files)
    with pytest.raises(UnknownName, match="did you mean 'mnist'"):
        source_of("minst")
