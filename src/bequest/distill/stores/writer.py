"""Writes the arrays of one view in pieces, each with its checksum in a journal."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import ValidationError

from bequest.distill.stores.manifest import ArrayEntry, CodecError, Shard
from bequest.errors import SignalError
from bequest.files import sync
from bequest.locks import Release, acquire, claimant

PIECE_BYTES = 32 << 20
"""A piece is synced to disk at this size, ..."""
PIECE_SECONDS = 2.0
"""... or at this age, which is what a crash can cost."""
PATIENCE = 10.0
"""Seconds to wait for a view that a dying builder still holds."""
LOGITS = "logits"
NPY_MAGIC = b"\x93NUMPY\x01\x00"
# ARRAY_ALIGN of numpy.lib.format.
ALIGNMENT = 64
GROWTH = 21
"""Characters that NumPy reserves for the first axis to grow."""


def file_name(view: int, array: str) -> str:
    """The file of one array of one view.

    >>> file_name(3, "logits"), file_name(3, "layer1.0")
    ('view-00003.npy', 'view-00003-layer1.0.npy')
    """
    return f"view-{view:05d}.npy" if array == LOGITS else f"view-{view:05d}-{array}.npy"


def npy_header(array: ArrayEntry, rows: int) -> bytes:
    """The header of a ``.npy`` file (format 1.0) with ``rows`` rows of ``array``, as ``np.save`` writes it.

    Written here, since the bytes of a store must not depend on the version of NumPy.
    """
    shape = (rows, *array.shape)
    text = f"{{'descr': {described(array.dtype)!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (GROWTH - len(str(rows)))
    length = -(-(len(NPY_MAGIC) + 2 + len(text) + 1) // ALIGNMENT) * ALIGNMENT - len(NPY_MAGIC) - 2
    return NPY_MAGIC + length.to_bytes(2, "little") + text.ljust(length - 1).encode("ascii") + b"\n"


def described(dtype: Any) -> Any:
    """NumPy's description of a type, from JSON, with lists turned back into tuples."""
    if isinstance(dtype, str):
        return dtype
    return [tuple(tuple(part) if isinstance(part, list) else part for part in field) for field in dtype]


class ViewWriter:
    """Appends rows to the arrays of one view; after a crash it continues from the last whole piece.

    Rows go to ``NAME.unfinished``. A journal gets one line per piece, after the piece has been synced: the
    number of rows so far, and the SHA-256 of each array's part. Opening checks the parts against the journal
    and truncates the rest; finishing writes the files' checksums there first, then renames the files.

    Args:
        folder: The store.
        view: Which view.
        arrays: The arrays to write.
        rows: Rows of the finished arrays.
        pieces: Bytes and seconds after which a piece is synced to disk.

    Raises:
        SignalError: If another builder holds the view.
    """

    def __init__(
        self,
        folder: Path,
        view: int,
        arrays: Sequence[ArrayEntry],
        rows: int,
        *,
        pieces: tuple[int, float] = (PIECE_BYTES, PIECE_SECONDS),
    ) -> None:
        self.folder, self.view, self.total = folder, view, rows
        self.rows = 0
        self.shards: tuple[Shard, ...] = ()
        self._arrays = tuple(arrays)
        self._most_bytes, self._most_seconds = pieces
        self._release = _locked(journal_path(folder, view))
        self._journal = journal_path(folder, view).open("r+b")
        self._files: dict[str, IO[bytes]] = {}
        self._whole = {array.name: hashlib.sha256() for array in arrays}
        self._piece = {array.name: hashlib.sha256() for array in arrays}
        self._sizes = dict.fromkeys(self._whole, 0)
        self._pending, self._since = 0, time.monotonic()
        self._error_sum, self._error_largest, self._errors = 0.0, 0.0, 0
        self._resume()

    def __enter__(self) -> ViewWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()

    @property
    def done(self) -> bool:
        """True if the view is finished."""
        return bool(self.shards)

    def append(self, blocks: Mapping[str, np.ndarray], errors: Sequence[float] = ()) -> None:
        """Add rows, the same number to every array.

        Args:
            blocks: The rows.
            errors: The codec's error in each; empty if it reports none.
        """
        for error in errors:
            self._error_sum += error
            self._error_largest = max(self._error_largest, error)
        self._errors += len(errors)
        for name, block in blocks.items():
            self._write(name, np.ascontiguousarray(block).data.cast("B"))
        self.rows += len(next(iter(blocks.values())))
        if self._pending >= self._most_bytes or time.monotonic() - self._since >= self._most_seconds:
            self.commit()

    def commit(self) -> None:
        """Sync the appended rows to disk, then record them in the journal."""
        self._sync()
        self._note(
            {
                "rows": self.rows,
                "sha256": {name: each.hexdigest() for name, each in self._piece.items()},
                "errors": [self._error_sum, self._error_largest, self._errors],
            }
        )
        self._piece = {name: hashlib.sha256() for name in self._piece}
        self._pending, self._since = 0, time.monotonic()

    def finish(self) -> tuple[Shard, ...]:
        """Give the arrays their final names; all rows must have been written."""
        assert self.rows == self.total
        self._sync()
        shards = [
            Shard(
                file=file_name(self.view, name),
                array=name,
                view=self.view,
                first=0,
                rows=self.total,
                bytes=self._sizes[name],
                sha256=self._whole[name].hexdigest(),
                error=self._error() if name == LOGITS else None,
            )
            for name in self._whole
        ]
        # Before the renames: after a crash between them, the journal completes them.
        self._note({"shards": [shard.model_dump() for shard in shards]})
        self._name(shards)
        return self.shards

    def _error(self) -> CodecError | None:
        """The error to six digits: further ones depend on the number of threads that added up."""
        if self._errors < self.total:
            return None
        mean, largest = self._error_sum / max(1, self._errors), self._error_largest
        return CodecError(mean=float(f"{mean:.6g}"), largest=float(f"{largest:.6g}"))

    def close(self) -> None:
        """Close the files and release the view."""
        for file in (*self._files.values(), self._journal):
            file.close()
        # Last: another builder may open the files as soon as the lock is free.
        self._release()

    def _sync(self) -> None:
        for file in self._files.values():
            sync(file)

    def _write(self, name: str, data: memoryview | bytes) -> None:
        self._files[name].write(data)
        self._whole[name].update(data)
        self._piece[name].update(data)
        self._sizes[name] += len(data)
        self._pending += len(data)

    def _note(self, line: Mapping[str, object]) -> None:
        self._journal.write(json.dumps(line).encode() + b"\n")
        sync(self._journal)

    def _name(self, shards: Sequence[Shard]) -> None:
        """Rename the files; if a power failure loses the names, the journal has them until the manifest."""
        for shard in shards:
            partial = self.folder / f"{shard.file}.unfinished"
            if partial.exists():
                partial.replace(self.folder / shard.file)
        self.shards = tuple(shards)

    def _resume(self) -> None:
        lines, ends = _lines(self._journal.read())
        if (shards := _last_shards(lines)) is not None:
            self._name(shards)
            return
        for array in self._arrays:
            path = self.folder / f"{file_name(self.view, array.name)}.unfinished"
            # Not always "w+b", which would empty what an interrupted build has written.
            self._files[array.name] = path.open("r+b" if path.exists() else "w+b")
        whole = 0
        for line, end in zip(lines, ends, strict=True):
            if not self._take_up(line):
                break
            whole = end
        self._cut(whole)
        if self.rows == 0:
            for array in self._arrays:
                self._write(array.name, npy_header(array, self.total))

    def _take_up(self, line: Mapping[str, Any]) -> bool:
        """Check one piece against its line in the journal; True if it is whole."""
        if not self._plausible(line):
            return False
        taken = {}
        for array in self._arrays:
            width = np.dtype(described(array.dtype)).itemsize * int(np.prod(array.shape, dtype=np.int64))
            size = (line["rows"] - self.rows) * width
            size += len(npy_header(array, self.total)) if self.rows == 0 else 0
            data = self._files[array.name].read(size)
            if len(data) != size or hashlib.sha256(data).hexdigest() != line["sha256"].get(array.name):
                return False
            taken[array.name] = data
        # Only now that every array has the piece: all of them must end at the same row.
        for name, data in taken.items():
            self._whole[name].update(data)
            self._sizes[name] += len(data)
        self.rows = line["rows"]
        self._error_sum, self._error_largest, self._errors = line.get("errors", (0.0, 0.0, 0))
        return True

    def _plausible(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of the journal has a valid form, which it may lose on a damaged disk."""
        rows, digests, errors = (line.get(key) for key in ("rows", "sha256", "errors"))
        if not isinstance(rows, int) or not self.rows <= rows <= self.total or not isinstance(digests, dict):
            return False
        three = isinstance(errors, list) and len(errors) == 3
        return errors is None or (three and all(isinstance(each, int | float) for each in errors))

    def _cut(self, whole: int) -> None:
        """Truncate everything that the journal does not confirm."""
        for name, file in self._files.items():
            file.seek(self._sizes[name])
            file.truncate()
        self._journal.seek(whole)
        self._journal.truncate()


def journal_path(folder: Path, view: int) -> Path:
    """The journal of a view, which exists until the manifest is written."""
    return folder / f".view-{view:05d}.journal"


def finished(folder: Path, view: int) -> tuple[Shard, ...] | None:
    """The shards of a view that is finished, from its journal; None if it is not."""
    try:
        lines, _ = _lines(journal_path(folder, view).read_bytes())
    except FileNotFoundError:
        return None
    shards = _last_shards(lines)
    return shards if shards and all((folder / shard.file).is_file() for shard in shards) else None


def _last_shards(lines: Sequence[Mapping[str, Any]]) -> tuple[Shard, ...] | None:
    """The files of a finished view, from the last line of its journal; None if it does not list them."""
    listed = lines[-1].get("shards") if lines else None
    if not isinstance(listed, list):
        return None
    try:
        shards = tuple(Shard.model_validate(shard) for shard in listed)
    except ValidationError:
        return None
    # A name in a damaged or foreign journal must never lead out of the store.
    return shards if all(Path(shard.file).name == shard.file for shard in shards) else None


def _lines(content: bytes) -> tuple[list[dict[str, Any]], list[int]]:
    """The whole lines of a journal and where each ends; a torn last line is left out."""
    lines: list[dict[str, Any]] = []
    ends: list[int] = []
    at = 0
    for line in content.splitlines(keepends=True):
        at += len(line)
        try:
            entry = json.loads(line if line.endswith(b"\n") else b"")
        # RecursionError: damage can leave a line of nothing but brackets.
        except (ValueError, RecursionError):
            break
        if not isinstance(entry, dict):
            break
        lines.append(entry)
        ends.append(at)
    return lines, ends


def _locked(path: Path) -> Release:
    """Lock a view's journal for this process; waits for a builder that is about to end."""
    release = acquire(path, patience=PATIENCE)
    if release is None:
        raise SignalError(
            f"another build is writing {path.parent}",
            expected="one builder per folder",
            got=claimant(path) or f"view {path.name} is held by another process",
            remedy="wait for it, or choose another folder",
        )
    return release
