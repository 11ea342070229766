"""Files that are whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bequest.errors import RunFolderError

PARTIAL_SUFFIX = ".part"


def write_whole(path: str | Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Create or replace ``path`` so that no reader ever sees a part of it.

    ``write`` receives a binary file open under a temporary name in the same folder; the file is
    then flushed to the disk and renamed. A crash leaves the old file or the new one, never a mixture.

    Raises:
        RunFolderError: If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    partial = path.parent / f".{path.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        raise RunFolderError(
            f"cannot write {path}",
            expected="a writable folder with free space",
            got=error.strerror or str(error),
            remedy="free some space or choose another folder, then run the same command again",
        ) from error
    except BaseException:
        _discard(partial)
        raise
    return path


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write ``content`` whole; see :func:`write_whole`."""
    return write_whole(path, lambda file: file.write(content))


def write_text(path: str | Path, content: str) -> Path:
    """Write ``content`` whole, as UTF-8; see :func:`write_whole`."""
    return write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` whole, as indented JSON. NaN is refused: records write null and a reason."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        RunFolderError: If it is absent or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist", remedy="check the path") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunFolderError(
            f"{path} cannot be read as JSON", got=error, remedy="run the study again with --fresh"
        ) from error


def remove_partials(folder: str | Path) -> int:
    """Delete what interrupted writes left behind under ``folder``; returns how many files went."""
    partials = list(Path(folder).rglob(f".*{PARTIAL_SUFFIX}"))
    for partial in partials:
        _discard(partial)
    return len(partials)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
