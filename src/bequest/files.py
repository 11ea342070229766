"""Files that are whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from bequest.errors import RunFolderError

PARTIAL_SUFFIX = ".part"
SEAL = "sha256"
"""The key of a sealed JSON object that holds the digest of all other keys."""

UNSYNCED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems that cannot sync a file; a full or broken disk raises others."""

SYNCED_FROM = 1.0
"""Results that took this many seconds are synced to disk at once; cheaper ones cost less than the wait."""

_synced: ContextVar[bool] = ContextVar("synced", default=True)
_encoder = json.JSONEncoder(indent=1, allow_nan=False, ensure_ascii=False)


def write_whole(path: str | Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Create or replace ``path`` so that no reader ever sees a partial file.

    ``write`` receives a binary file open under a temporary name in the same folder; the file is
    then flushed to the disk and renamed, unless :func:`unsynced` says otherwise. A crash leaves the old
    file or the new one, never a mixture.

    Raises:
        RunFolderError: If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    # In the same folder, since a rename is atomic within one file system only.
    partial = path.parent / f".{path.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            write(file)
            if _synced.get():
                # Before the rename: else a power failure could leave the new name with old or empty content.
                sync(file)
        partial.replace(path)
        if _synced.get():
            _sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        raise not_written(path, error) from error
    # Ctrl-C as well must leave no partial file behind.
    except BaseException:
        _discard(partial)
        raise
    return path


def not_written(path: Path, error: OSError) -> RunFolderError:
    """The message for a file that cannot be written."""
    if path.is_dir():
        return RunFolderError(
            f"cannot write {path}",
            expected="a file of this name, or none",
            got="a folder of this name",
            remedy="move it away, then run the same command again",
        )
    return RunFolderError(
        f"cannot write {path}",
        expected="a writable folder with free space",
        got=error.strerror or str(error),
        remedy="free some space or choose another folder, then run the same command again",
    )


@contextlib.contextmanager
def unsynced(*, when: bool) -> Iterator[None]:
    """Leave it to the operating system when files written in the block reach the disk.

    Every process still sees them whole or not at all, but a power failure may lose them. Meant for files
    whose digest is in a record, so that the loss is detected, and that are remade faster than a disk syncs.

    Args:
        when: If False, the block changes nothing.
    """
    before = _synced.set(_synced.get() and not when)
    try:
        yield
    finally:
        _synced.reset(before)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write ``content`` whole; see :func:`write_whole`."""
    return write_whole(path, lambda file: file.write(content))


def write_text(path: str | Path, content: str) -> Path:
    """Write ``content`` whole, as UTF-8; see :func:`write_whole`."""
    return write_bytes(path, content.encode())


def write_text_pieces(path: str | Path, pieces: Iterable[str]) -> Path:
    """Write one piece after another, as UTF-8, so that the whole text is never in memory."""

    def write(file: IO[bytes]) -> None:
        # newline="": the same bytes on Windows, since digests of these files are recorded.
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        text.writelines(pieces)
        text.detach()  # flushes, and leaves the file open

    return write_whole(path, write)


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` whole, as indented JSON. NaN is refused: records write null and a reason."""
    return write_text_pieces(path, chain(_encoder.iterencode(value), "\n"))


def write_json_list(path: str | Path, items: Iterable[Any]) -> Path:
    """Write a list as :func:`write_json` does, item by item, so that it is never in memory as a whole."""
    return write_text_pieces(path, _list_pieces(items))


def _list_pieces(items: Iterable[Any]) -> Iterator[str]:
    before = "[\n "
    for item in items:
        yield before
        # JSON escapes line breaks in strings, so every "\n" here is layout and can be indented.
        yield from (piece.replace("\n", "\n ") for piece in _encoder.iterencode(item))
        before = ",\n "
    yield "[]\n" if before.startswith("[") else "\n]\n"


def write_sealed(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON object whole, with the SHA-256 of its content under one more key."""
    return write_json(path, {**content, SEAL: _seal(content)})


def read_sealed(path: str | Path) -> Any:
    """Read a file of :func:`write_sealed`, without the seal; JSON that has none is read as it is.

    Raises:
        RunFolderError: If it is absent, not JSON, or differs from its seal.
    """
    return unsealed(read_json(path), path)


def unsealed(content: Any, path: str | Path) -> Any:
    """The JSON content of ``path`` without its seal, which is checked.

    Raises:
        RunFolderError: If the seal does not fit the content.
    """
    if isinstance(content, dict) and SEAL in content:
        seal = content.pop(SEAL)
        if seal != _seal(content):
            raise RunFolderError(
                f"{path} is damaged, or was changed after it was written",
                expected=f"SHA-256 {seal}",
                got=f"SHA-256 {_seal(content)}",
                remedy="repeat the command that wrote this folder: what is damaged is made again",
            )
    return content


def _seal(content: Mapping[str, Any]) -> str:
    # Of the content, not of the file's bytes: another layout of the same JSON is not damage.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        RunFolderError: If it is absent or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"no such file: {path}", remedy="check the path") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{path} cannot be read as JSON",
            got=error,
            remedy="repeat the command that wrote this folder: what is damaged is made again",
        ) from error


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write named arrays whole, as an uncompressed .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return write_bytes(path, buffer.getvalue())


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read a .npz; nothing in it is unpickled.

    Raises:
        RunFolderError: If it is absent or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    # Depending on which byte of the archive is damaged, NumPy and zipfile raise any of these.
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise RunFolderError(
            f"{path} cannot be read", got=error, remedy="run the same command again; it is made again"
        ) from error


def file_digest(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    path = path if isinstance(path, Path) else Path(path)  # thousands of files: parsing a path is not free
    # file_digest reads into a buffer of its own; a second one would only copy.
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_link(path: Path) -> None:
    """Refuse a folder that is a symbolic link: files written there would land outside the run.

    Raises:
        RunFolderError: Names the link.
    """
    if path.is_symlink():
        raise RunFolderError(
            f"{path} is a symbolic link",
            expected="a folder of the run",
            remedy="replace it by the folder that it points to",
        )


def open_regular(path: str | Path, *, append: bool = False) -> IO[bytes]:
    """Open a file for writing unless it is a symbolic link, so that nothing outside its folder is written.

    Raises:
        RunFolderError: If it is a link, or cannot be opened.
    """
    # O_NOFOLLOW closes the gap between the check below and the opening, but not every platform has it.
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | (os.O_APPEND if append else 0)
    try:
        if Path(path).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.fdopen(os.open(path, flags, 0o644), "ab" if append else "wb")
    except OSError as error:
        raise RunFolderError(
            f"cannot open {path} for writing",
            expected="a file of the run, or nothing",
            got="a symbolic link" if Path(path).is_symlink() else error.strerror,
            remedy="delete it, or choose another folder with --out",
        ) from error


def tidy(folder: str | Path, *, partials: bool = True) -> int:
    """Delete leftovers of interrupted writes under ``folder``, and empty folders in the place of files.

    Folders that bequest makes have no suffix, and all of its files have one. A folder that is not empty is
    left to whoever made it; writing the file then raises an error that names it.

    Args:
        folder: Searched with all folders below it.
        partials: False if other processes may be writing.

    Returns:
        How many were deleted.
    """
    deleted = 0
    # Bottom up, so that a folder is looked at after the empty ones inside it are gone.
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            if partials and name.startswith(".") and name.endswith(PARTIAL_SUFFIX):
                deleted += _discard(Path(place, name))
        for name in folders:
            if Path(name).suffix:
                with contextlib.suppress(OSError):  # it holds something, or is a link
                    Path(place, name).rmdir()
                    deleted += 1
    return deleted


def sync(file: IO[bytes]) -> None:
    """Flush an open file to the disk, if its file system supports that."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, if the platform and the file system support that."""
    # Windows cannot open folders, and some network file systems cannot sync them.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _discard(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.unlink()
        return True
    return False
