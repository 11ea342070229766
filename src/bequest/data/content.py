"""The files that determine a dataset, and a digest of their content."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from bequest.config import content_hash
from bequest.data.datasets import located
from bequest.data.folders import existing
from bequest.data.image_lists import COLUMNS, read_rows
from bequest.data.sources import SOURCES, data_root, places_of, verify
from bequest.data.text.tokenizer_names import tokenizer_place
from bequest.errors import DataError
from bequest.files import file_digest

TOKENIZER_FILES = (
    "added_tokens.json", "merges.txt", "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip
"""The files of a folder of transformers that determine the tokens."""

CONTENT_BYTES = 2**30
"""Data sets of at most this size are identified by their content."""

Stamp = tuple[str, str, int, int]
"""A file's name in its data set, its path, size in bytes and time of change in nanoseconds."""


def content_digest(name: str, options: Mapping[str, Any]) -> str | None:
    """A digest of the files of a data set; None if its name and options identify it.

    Unchanged published data is identified by its name. For more than a GiB, the digest covers the names,
    sizes and times of the files instead of their content.
    """
    family, place = located(name)
    if place:
        files = [
            *_files_at(place["path"]),
            *_files_in(options, place["path"]),
            *_tokenizer_files(options, place),
        ]
    else:
        root = Path(str(options.get("root") or data_root())).expanduser()
        places = places_of(family, options)
        files = [each for part in places for each in _files_below(root / part, part)]
        if places and root.is_file():
            files = [(root.name, root)]
    stamps = _stamps(files)
    if not stamps or (family in SOURCES and not place and _as_published(family, str(root), stamps)):
        return None
    return _content(stamps)


def _files_at(path: str) -> Iterator[tuple[str, Path]]:
    """The file or the files below the folder at ``path``, and those that a CSV list of images names."""
    try:
        root = existing(path)
    except DataError:  # loading says what is wrong
        return
    yield from _files_below(root, root.name)
    if root.suffix.lower() == ".csv":
        with contextlib.suppress(DataError):
            yield from _listed(root, read_rows(root))


def _files_below(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        yield from ((file.relative_to(path).as_posix(), file) for file in sorted(path.rglob("*")))
    else:
        yield name, path


def _listed(path: Path, rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, Path]]:
    column = next((name for name in COLUMNS["file"] if rows and name in rows[0]), None)
    if column is not None:
        yield from ((row[column], path.parent / row[column]) for row in rows)


def _files_in(options: Any, path: str) -> Iterator[tuple[str, Path]]:
    """The files that options name (other tables, for example), where a loader finds them."""
    if isinstance(options, str):
        for place in (Path(path).expanduser().parent / options, Path(options), data_root() / options):
            with contextlib.suppress(OSError, ValueError):
                if place.is_file():
                    yield options, place
                    return
    elif isinstance(options, Mapping | list | tuple):
        for value in options.values() if isinstance(options, Mapping) else options:
            yield from _files_in(value, path)


def _tokenizer_files(options: Mapping[str, Any], place: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """The files of the folder that the option ``tokenizer`` names."""
    if isinstance(name := options.get("tokenizer"), str):
        folder = tokenizer_place(name, beside=Path(place["path"]).expanduser().parent)
        if folder is not None and folder.is_dir():
            # Not every file: weights in the same folder do not affect the tokens.
            yield from (
                (file, folder / file) for file in sorted(TOKENIZER_FILES) if (folder / file).is_file()
            )


def _stamps(files: Sequence[tuple[str, Path]]) -> tuple[Stamp, ...]:
    stamps = []
    for name, path in files:
        with contextlib.suppress(OSError, ValueError):
            if path.is_file():
                status = path.stat()
                stamps.append((name, str(path), status.st_size, status.st_mtime_ns))
    return tuple(stamps)


# Keyed by stamps, so that a file that changes is read again.
@lru_cache(maxsize=16)
def _as_published(family: str, root: str, stamps: tuple[Stamp, ...]) -> bool:
    """Whether the files of a published set are as published, and no others are present."""
    states = verify(SOURCES[family], Path(root))
    return {state.state for state in states} == {"right"} and len(states) == len(stamps)


@lru_cache(maxsize=16)
def _content(stamps: tuple[Stamp, ...]) -> str:
    if sum(size for _, _, size, _ in stamps) > CONTENT_BYTES:
        return content_hash([[name, size, time] for name, _, size, time in stamps])
    return content_hash([[name, file_digest(path)] for name, path, _, _ in stamps])
