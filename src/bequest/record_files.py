"""Records in files: written whole; when one is read, an error names what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bequest.errors import RunFolderError
from bequest.files import read_json, read_sealed, unsealed, write_json_list, write_sealed
from bequest.records import VERSION, R, Record


def write_records(path: str | Path, records: Iterable[Record]) -> Path:
    """Write a JSON list of records, whole; its version is the one in ``study.json``."""
    return write_json_list(path, (record.model_dump(mode="json") for record in records))


def write_record(path: str | Path, record: Record) -> Path:
    """Write one record, whole, sealed by the digest of its content."""
    return write_sealed(path, record.model_dump(mode="json"))


def read_record(path: str | Path, kind: type[R]) -> R:
    """Read one record.

    Raises:
        RunFolderError: If it is absent, damaged, newer than this bequest, or does not fit ``kind``.
    """
    return _checked(read_sealed(path), kind, path)


def parse_record(content: bytes, kind: type[R], path: str | Path) -> R:
    """The record in the content of a file, as :func:`read_record` reads it from ``path``."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} cannot be read as JSON", got=error) from error
    return _checked(unsealed(parsed, path), kind, path)


def read_records(path: str | Path, kind: type[R]) -> list[R]:
    """Read a list of records written by :func:`write_records`.

    Raises:
        RunFolderError: If it is absent, damaged, newer than this bequest, or does not fit ``kind``.
    """
    try:
        # Straight from the bytes, without Python objects in between: lists have tens of thousands of items.
        return TypeAdapter(list[kind]).validate_json(Path(path).read_bytes())  # type: ignore[valid-type]
    except (OSError, ValidationError):  # the slow way, item by item, gives an error that names the fault
        return [_checked(item, kind, path) for item in read_json(path)]


def _checked(content: Any, kind: type[R], path: str | Path) -> R:
    _refuse_newer(content, path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunFolderError(
            f"{path} is not a {kind.__name__}",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            remedy="repeat the command that wrote this folder: what is damaged is made again",
        ) from None


def _refuse_newer(content: Any, path: str | Path) -> None:
    version = content.get("version", VERSION) if isinstance(content, dict) else VERSION
    if not isinstance(version, int):
        raise RunFolderError(
            f"{path} has a damaged version",
            expected=f"a number up to {VERSION}",
            got=repr(version),
            remedy="repeat the command that wrote this folder: what is damaged is made again",
        )
    if version > VERSION:
        raise RunFolderError(
            f"{path} was written by a newer bequest",
            expected=f"version {VERSION} or older",
            got=f"version {version}",
            remedy="upgrade bequest",
        )
