"""Sources of published data: find, import and verify files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bequest.data.compressed import read_gzip
from bequest.errors import DataError
from bequest.files import write_bytes
from bequest.registry import Registry, unknown

MOST_UNSTATED = 4 << 30
"""Most bytes of a file whose source does not state its size."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a set, as it is on the disk: unpacked.

    Attributes:
        name: Its name.
        sha256: Of the unpacked content.
        packed: Its name on the server; one that ends in .gz is unpacked.
        size: Bytes of the unpacked content; no more are ever downloaded or unpacked.
    """

    name: str
    sha256: str
    packed: str
    size: int = MOST_UNSTATED


@dataclass(frozen=True)
class DataSource:
    """A published file set.

    Attributes:
        name: The dataset that reads it.
        title: What it is.
        licence: Its terms.
        folder: Its folder below the data folder.
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
_MNIST_SIZES = (16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000)
"""Header and numbers of each IDX file."""

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
            SourceFile(name, digest, f"{name}.gz", size)
            for name, digest, size in zip(MNIST_FILES, _MNIST_SUMS, _MNIST_SIZES, strict=True)
        ),
    )
}
"""Every address from which bequest downloads data, and every checksum it knows; nothing else has any."""

PLACES: Registry[Callable[..., tuple[str, ...]]] = Registry("places of files")
"""By a dataset's name: a function of its options that returns the possible paths below the data folder."""


def places_of(family: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The possible paths of a dataset's files below the data folder; empty if it has none there."""
    return PLACES[family](**options) if family in PLACES else ()


Reader = Callable[[DataSource, Path], dict[str, bytes]]
"""(source, path of a user's files) -> the files of the source by name, unpacked."""

READERS: dict[str, Reader] = {}
"""By a source's name, for sets that exist in more forms than the published files."""


@dataclass(frozen=True)
class FileState:
    """The result of verifying one file."""

    name: str
    path: Path
    state: Literal["right", "wrong", "absent"]
    sha256: str | None = None


def data_root() -> Path:
    """The data folder: ``BEQUEST_DATA``, else a folder in the user's cache."""
    folder = os.environ.get("BEQUEST_DATA")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(folder) if folder else cache / "bequest"


def source_of(name: str) -> DataSource:
    """The source called ``name``.

    Raises:
        UnknownName: If there is none.
    """
    if name not in SOURCES:
        error = unknown("published data set", name, SOURCES)
        error.remedy = error.remedy or "`bequest data` knows these; how to get others: docs/data.md"
        raise error
    return SOURCES[name]


def verify(source: DataSource, root: Path) -> list[FileState]:
    """Each file of ``source`` under ``root``: absent, right (as published), or wrong."""
    states = []
    for file in source.files:
        plain = root / source.folder / file.name
        path = plain if plain.exists() else plain.with_name(f"{file.name}.gz")
        if not path.exists():
            states.append(FileState(file.name, plain, "absent"))
            continue
        try:
            digest = hashlib.sha256(read_gzip(path, most=file.size)).hexdigest()
        except DataError:
            states.append(FileState(file.name, path, "wrong"))
            continue
        states.append(FileState(file.name, path, "right" if digest == file.sha256 else "wrong", digest))
    return states


def read_plain(source: DataSource, path: Path) -> dict[str, bytes]:
    """The files of ``source`` in the folder ``path``, by name; .gz files are unpacked.

    Raises:
        DataError: If one cannot be read.
    """
    contents = {}
    for file in source.files:
        for candidate in (path / file.name, path / f"{file.name}.gz"):
            if candidate.is_file():
                contents[file.name] = read_gzip(candidate, most=file.size)
                break
    return contents


def take(
    source: DataSource, contents: dict[str, bytes], root: Path, *, unverified: bool = False
) -> list[Path]:
    """Write a user's files, given by name, to their place under ``root``.

    Raises:
        DataError: If one is missing, or differs from the published one unless ``unverified``.
    """
    for file in source.files:
        digest = hashlib.sha256(contents[file.name]).hexdigest() if file.name in contents else "no file"
        if digest != file.sha256 and not (unverified and file.name in contents):
            raise DataError(
                f"{file.name} is not the published file",
                expected=f"sha256 {file.sha256}",
                got=digest,
                remedy="use the published files, or --unverified to accept another set of the same format",
            )
    # Only after all of them were checked, so that a wrong file leaves the folder unchanged.
    return [write_bytes(root / source.folder / file.name, contents[file.name]) for file in source.files]
