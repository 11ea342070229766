"""Where published data comes from: find it, fetch it, take it from files that are there, check it."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bequest.errors import DataError
from bequest.files import PARTIAL_SUFFIX, write_bytes
from bequest.registry import unknown

CHUNK = 1 << 16
TIMEOUT = 30.0
PARTIAL_CONTENT = 206
NOT_SATISFIABLE = 416

Progress = Callable[[str, int, int | None], None]
"""Told (file, bytes so far, bytes in all if known)."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a set, as it lies on the disk: unpacked.

    Attributes:
        name: Its name.
        sha256: Of the unpacked content.
        packed: Its name where it is downloaded; one that ends in .gz is unpacked.
    """

    name: str
    sha256: str
    packed: str


@dataclass(frozen=True)
class DataSource:
    """A published file set.

    Attributes:
        name: The dataset that reads it.
        title: What it is.
        licence: Its terms.
        folder: Where it lies under the data folder.
        mirrors: Addresses that the files' names are added to, tried in order.
        files: The files.
    """

    name: str
    title: str
    licence: str
    folder: str
    mirrors: tuple[str, ...]
    files: tuple[SourceFile, ...]


MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_MNIST_SUMS = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

SOURCES: dict[str, DataSource] = {
    "mnist": DataSource(
        name="mnist",
        title="MNIST, 70,000 handwritten digits (LeCun et al. 1998)",
        licence="CC BY-SA 3.0",
        folder="vision/mnist",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files=tuple(
            SourceFile(name, digest, f"{name}.gz")
            for name, digest in zip(MNIST_FILES, _MNIST_SUMS, strict=True)
        ),
    )
}
"""Every address from which bequest downloads data, and every checksum it knows; nothing else has any."""


Reader = Callable[[DataSource, Path], dict[str, bytes]]
"""(source, what a user has) -> the files of the source by name, unpacked."""

READERS: dict[str, Reader] = {}
"""By a source's name, for sets that users have in more forms than the published files."""


@dataclass(frozen=True)
class FileState:
    """What became of the check of one file."""

    name: str
    path: Path
    state: Literal["right", "wrong", "absent"]
    sha256: str | None = None


def data_root() -> Path:
    """Where data lies: ``BEQUEST_DATA``, else a folder in the user's cache."""
    given = os.environ.get("BEQUEST_DATA")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "bequest"


def source_of(name: str) -> DataSource:
    """The source called ``name``.

    Raises:
        UnknownName: If there is none.
    """
    if name not in SOURCES:
        raise unknown("source of data", name, SOURCES)
    return SOURCES[name]


def verify(source: DataSource, root: Path) -> list[FileState]:
    """Each file of ``source`` under ``root``: absent, right, or not what was published."""
    found = []
    for file in source.files:
        plain = root / source.folder / file.name
        path = plain if plain.exists() else plain.with_name(f"{file.name}.gz")
        if not path.exists():
            found.append(FileState(file.name, plain, "absent"))
            continue
        digest = hashlib.sha256(_content(path)).hexdigest()
        found.append(FileState(file.name, path, "right" if digest == file.sha256 else "wrong", digest))
    return found


def fetch(
    source: DataSource, root: Path, *, mirrors: Sequence[str] | None = None, progress: Progress | None = None
) -> list[Path]:
    """Download what is missing of ``source``, check it, and put it in its place; returns the new files.

    A download that was interrupted goes on where it stopped. Only content with the published checksum is
    kept. The mirrors are tried one after another.

    Raises:
        DataError: If no mirror has the right file.
    """
    right = {state.name for state in verify(source, root) if state.state == "right"}
    made = []
    for file in source.files:
        if file.name in right:
            continue
        addresses = [urllib.parse.urljoin(mirror, file.packed) for mirror in mirrors or source.mirrors]
        target = root / source.folder / file.name
        made.append(write_bytes(target, _download(file, addresses, target, progress or _silent)))
    return made


def read_plain(source: DataSource, path: Path) -> dict[str, bytes]:
    """The files of ``source`` in the folder ``path``, by name; .gz files are unpacked.

    Raises:
        DataError: If one cannot be read.
    """
    found = {}
    for file in source.files:
        for candidate in (path / file.name, path / f"{file.name}.gz"):
            if candidate.is_file():
                try:
                    found[file.name] = _content(candidate)
                except (OSError, EOFError, zlib.error) as error:
                    raise DataError(f"{candidate} cannot be read", got=error) from error
                break
    return found


def take(
    source: DataSource, contents: dict[str, bytes], root: Path, *, unverified: bool = False
) -> list[Path]:
    """Put files that a user has, by name, in their place under ``root``.

    Raises:
        DataError: If one is missing, or is not what was published, unless ``unverified``.
    """
    for file in source.files:
        digest = hashlib.sha256(contents[file.name]).hexdigest() if file.name in contents else "no file"
        if digest != file.sha256 and not (unverified and file.name in contents):
            raise DataError(
                f"{file.name} is not the published file",
                expected=f"sha256 {file.sha256}",
                got=digest,
                remedy="give the files as published, or --unverified for another set in the same form",
            )
    return [write_bytes(root / source.folder / file.name, contents[file.name]) for file in source.files]


def _download(file: SourceFile, addresses: Sequence[str], target: Path, progress: Progress) -> bytes:
    """The unpacked content of ``file`` from the first address that has it."""
    failures = []
    partial = target.with_name(f".{file.packed}{PARTIAL_SUFFIX}")
    for address in addresses:
        resumed = partial.exists()
        for _ in range(2 if resumed else 1):  # what an interrupted download left may be of another file
            try:
                _receive(address, partial, file.name, progress)
                content = _content(partial)
            except (OSError, EOFError, zlib.error, http.client.HTTPException, DataError) as error:
                failures.append(f"{address}: {error}")
                if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
                    partial.unlink(missing_ok=True)
                continue
            if (digest := hashlib.sha256(content).hexdigest()) == file.sha256:
                partial.unlink()
                return content
            failures.append(f"{address}: sha256 {digest}")
            partial.unlink()
    raise DataError(
        f"{file.name} could not be fetched",
        expected=f"a file of sha256 {file.sha256}",
        got="\n    " + "\n    ".join(failures),
        remedy="try again later (what is there is kept), or `bequest data import` files that you have",
    )


def _receive(address: str, partial: Path, name: str, progress: Progress) -> None:
    """Add to ``partial`` what is missing of the file at ``address``."""
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise DataError("only http and https are fetched from", got=address)
    partial.parent.mkdir(parents=True, exist_ok=True)
    there = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "bequest", **({"Range": f"bytes={there}-"} if there else {})}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 the scheme was checked
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == NOT_SATISFIABLE and there:
            return  # all of it was there
        raise
    with answer:
        goes_on = answer.status == PARTIAL_CONTENT
        done = there if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        with partial.open("ab" if goes_on else "wb") as file:
            while piece := answer.read(CHUNK):
                file.write(piece)
                done += len(piece)
                progress(name, done, total)
    if total is not None and done < total:
        raise DataError("the connection ended early", expected=f"{total} bytes", got=done)


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked if they are compressed with gzip."""
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _silent(name: str, done: int, total: int | None) -> None:
    del name, done, total
