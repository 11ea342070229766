"""Download published files: bounded in size and time, resumable, kept only with the right checksum."""

from __future__ import annotations

import hashlib
import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bequest.data.compressed import packed_limit, read_gzip
from bequest.data.sources import DataSource, SourceFile, verify
from bequest.errors import DataError
from bequest.files import PARTIAL_SUFFIX, write_bytes

CHUNK = 1 << 16
TIMEOUT = 30.0
"""Seconds without a byte before a connection is given up."""

PATIENCE = 60.0
SLOWEST = 8 << 10
"""A download may take ``PATIENCE`` seconds plus one per so many bytes: a trickle would never time out."""

PARTIAL_CONTENT = 206
NOT_SATISFIABLE = 416
SCHEMES = ("http", "https")

Progress = Callable[[str, int, int | None], None]
"""Called with (file, bytes so far, bytes in all if the server states them)."""


def fetch(
    source: DataSource, root: Path, *, mirrors: Sequence[str] | None = None, progress: Progress | None = None
) -> list[Path]:
    """Download the files of ``source`` that are absent or wrong; returns the new ones.

    An interrupted download is resumed. Only content with the published checksum is kept. The mirrors are
    tried one after another; each may send as many bytes as the file has, and redirect to http or https.

    Raises:
        DataError: If no mirror has the right file.
    """
    right = {state.name for state in verify(source, root) if state.state == "right"}
    written = []
    for file in source.files:
        if file.name in right:
            continue
        target = root / source.folder / file.name
        content = _download(file, mirrors or source.mirrors, target, progress or _silent)
        written.append(write_bytes(target, content))
    return written


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects within http and https, never from https to http, never to files or FTP."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The next request.

        Raises:
            DataError: If it would leave http and https, or encryption.
        """
        before, after = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if after not in SCHEMES or (before == "https" and after == "http"):
            raise DataError(
                "a redirect to another scheme is not followed", expected=before, got=repr(newurl)[:200]
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.OpenerDirector()
# Not build_opener, which would add handlers for file:, ftp: and data:.
for _handler in (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    _SameScheme,
):
    _OPENER.add_handler(_handler())


def _download(file: SourceFile, mirrors: Sequence[str], target: Path, progress: Progress) -> bytes:
    """The unpacked content of ``file`` from the first mirror that delivers it."""
    failures = []
    partial = target.with_name(f".{file.packed}{PARTIAL_SUFFIX}")
    for mirror in mirrors:
        address = mirror + file.packed
        resumed = partial.exists()
        for _ in range(2 if resumed else 1):  # twice, as a partial download may be of another file
            try:
                _receive(address, partial, file, progress)
            except (OSError, ValueError, http.client.HTTPException, DataError) as error:
                failures.append(f"{address}: {_line(error)}")
                continue
            try:
                content = read_gzip(partial, most=file.size)
            except DataError as error:
                failures.append(f"{address}: {_line(error)}")
                partial.unlink(missing_ok=True)
                continue
            partial.unlink()
            if (digest := hashlib.sha256(content).hexdigest()) == file.sha256:
                return content
            failures.append(f"{address}: sha256 {digest}")
    raise DataError(
        f"{file.name} could not be fetched",
        expected=f"a file of sha256 {file.sha256}",
        got="\n    " + "\n    ".join(failures),
        remedy="run the command again later (a partial download is resumed), or import "
        "files that you have with `bequest data import`",
    )


def _receive(address: str, partial: Path, file: SourceFile, progress: Progress) -> None:
    """Append the missing part of the file at ``address`` to ``partial``."""
    if urllib.parse.urlsplit(address).scheme not in SCHEMES:
        raise DataError("not an http or https address", got=address)
    most = packed_limit(file.size)
    partial.parent.mkdir(parents=True, exist_ok=True)
    received = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "bequest", **({"Range": f"bytes={received}-"} if received else {})}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 the scheme was checked
    try:
        answer = _OPENER.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == NOT_SATISFIABLE and received:
            return  # the partial file is whole
        raise
    if answer is None:  # no handler took it, such as a redirect without an address
        raise DataError("the server's answer cannot be used", got=address)
    with answer:
        resumes = answer.status == PARTIAL_CONTENT
        # A server without ranges sends the whole file again.
        received = received if resumes else 0
        length = _length(answer.headers.get("Content-Length"))
        total = None if length is None else received + length
        if total is not None and total > most:
            raise DataError("the server's file is too long", expected=f"at most {most:,} bytes", got=total)
        with partial.open("ab" if resumes else "wb") as out:
            received = _copied(answer, out, received, most, lambda done: progress(file.name, done, total))
    if total is not None and received < total:
        raise DataError("the connection ended early", expected=f"{total} bytes", got=received)


def _copied(
    answer: io.BufferedIOBase, out: io.BufferedIOBase, received: int, most: int, report: Callable[[int], None]
) -> int:
    """Copy the answer, unless it is too long or too slow; returns the bytes of the partial file."""
    deadline = time.monotonic() + PATIENCE + most / SLOWEST
    while piece := answer.read(CHUNK):
        received += len(piece)
        if received > most or time.monotonic() > deadline:
            # Emptied: resuming such a file would only make it longer.
            out.truncate(0)
            reason = "sent too much" if received > most else "sends too slowly"
            raise DataError(f"the server {reason}", expected=f"at most {most:,} bytes", got=f"{received:,}")
        out.write(piece)
        report(received)
    return received


def _length(header: str | None) -> int | None:
    if header is None:
        return None
    if not (header.strip().isascii() and header.strip().isdecimal()):
        raise DataError("Content-Length is not a number", got=repr(header)[:80])
    return int(header)


def _line(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _silent(name: str, done: int, total: int | None) -> None:
    del name, done, total
