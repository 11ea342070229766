"""A hostile server on 127.0.0.1 from which ``bequest data fetch`` is to fetch MNIST."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fault_kinds.campaign import Fault, Outcome, bequest, contents, expect

MOST_BYTES = 200_000_000
"""What a fetch may leave on the disk at most; MNIST's largest file has 47 MB."""

Answer = Callable[[socket.socket, str], None]


def _head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]).encode("latin-1")


def _sends(*parts: bytes) -> Answer:
    def answer(client: socket.socket, path: str) -> None:
        del path
        for part in parts:
            client.sendall(part)

    return answer


def _endless(head: bytes, piece: bytes) -> Answer:
    def answer(client: socket.socket, path: str) -> None:
        del path
        client.sendall(head)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            client.sendall(piece)

    return answer


def _drips(client: socket.socket, path: str) -> None:
    del path
    client.sendall(_head("200 OK", "Content-Length: 9912422"))
    for _ in range(300):
        client.sendall(b"x")
        time.sleep(0.1)


def _silent(client: socket.socket, path: str) -> None:
    del client, path
    time.sleep(20)


def _resets(client: socket.socket, path: str) -> None:
    del path
    client.sendall(_head("200 OK", "Content-Length: 1000") + b"x" * 10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def _redirects_to_itself(client: socket.socket, path: str) -> None:
    client.sendall(_head("302 Found", f"Location: {path}"))


BOMB = gzip.compress(bytes(300_000_000), 9)
CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"

ANSWERS: dict[str, Answer] = {
    "404": _sends(_head("404 Not Found"), b"no"),
    "500": _sends(_head("500 Oh"), b"no"),
    "an empty answer": _sends(),
    "no body": _sends(_head("200 OK", "Content-Length: 0")),
    "another file": _sends(_head("200 OK"), gzip.compress(b"another")),
    "not packed": _sends(_head("200 OK"), b"plain"),
    "a short body": _sends(_head("200 OK", "Content-Length: 5000"), b"x" * 100),
    "a body without end": _endless(_head("200 OK"), bytes(65536)),
    "chunks without end": _endless(_head("200 OK", "Transfer-Encoding: chunked"), CHUNK),
    "headers without end": _endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    "one header of 100 MB": _sends(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n"),
    "Content-Length: abc": _sends(_head("200 OK", "Content-Length: abc"), b"x"),
    "Content-Length: -1": _sends(_head("200 OK", "Content-Length: -1"), b"x"),
    "Content-Length: 10^18": _sends(_head("200 OK", "Content-Length: 1000000000000000000"), b"x"),
    "two lengths": _sends(_head("200 OK", "Content-Length: 1", "Content-Length: 99"), b"x"),
    "a gzip bomb": _sends(_head("200 OK", f"Content-Length: {len(BOMB)}"), BOMB),
    "a bomb in the encoding": _sends(_head("200 OK", "Content-Encoding: gzip"), BOMB),
    "a drip": _drips,
    "silence": _silent,
    "a reset": _resets,
    "noise": _sends(os.urandom(5000)),
    "a status that is no number": _sends(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a redirect to a file": _sends(_head("302 Found", "Location: file:///etc/passwd")),
    "a redirect to FTP": _sends(_head("302 Found", "Location: ftp://127.0.0.1/x")),
    "a redirect to data": _sends(_head("302 Found", "Location: data:text/plain,x")),
    "a redirect to itself": _redirects_to_itself,
    "a redirect to nowhere": _sends(_head("302 Found")),
    "a redirect with control characters": _sends(
        _head("302 Found", "Location: http://127.0.0.1/\x00\x1b[31m")
    ),
    "a part of another file": _sends(_head("206 Partial Content", "Content-Range: bytes 5-9/10"), b"xxxxx"),
    "416": _sends(_head("416 Range Not Satisfiable")),
}


def faults(reference: object, seed: int) -> Iterator[Fault]:
    """Every answer to a first attempt, and to one that goes on with what an earlier one left."""
    del reference, seed
    for name, answer in ANSWERS.items():
        yield Fault("hostile server", name, _fetched(answer, resumed=False))
    for name in (
        "another file",
        "a body without end",
        "a part of another file",
        "416",
        "a gzip bomb",
        "a reset",
    ):
        yield Fault("hostile server that is resumed from", name, _fetched(ANSWERS[name], resumed=True))


class Server:
    """Answers every request in the same way."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._socket.accept()
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            request = client.recv(65536).decode("latin-1")
            self._answer(client, request.split(" ")[1] if " " in request else "/")


def _impatient() -> None:
    """Wait for a second where the program would wait for a minute."""
    from bequest.data import download

    download.TIMEOUT, download.PATIENCE, download.SLOWEST = 1.0, 1.0, 50_000_000


def _fetched(answer: Answer, *, resumed: bool) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        server, root = Server(answer), folder / "data"
        if resumed:
            (root / "vision" / "mnist").mkdir(parents=True)
            partial = root / "vision" / "mnist" / ".train-images-idx3-ubyte.gz.part"
            partial.write_bytes(gzip.compress(b"the beginning of something else"))
        ended = bequest(
            "data", "fetch", "mnist", "--root", root, "--mirror", server.address, before=_impatient
        )
        expect(ended.code == 2, "wrong", f"exit code {ended.code}: {ended.last}")
        files = contents(root) if root.exists() else {}
        expect(all(name.endswith(".part") for name in files), "silent", f"{sorted(files)} were kept")
        expect(sum(map(len, files.values())) < MOST_BYTES, "outside", "the disk was filled")
        return Outcome("named", ended.last)

    return do
