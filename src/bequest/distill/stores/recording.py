"""One teacher's answers to one source, opened for reading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.data.batches import Source
from bequest.data.datasets import Split
from bequest.data.views import View, parse_views
from bequest.distill.stores.checksums import damaged_files
from bequest.distill.stores.codecs import Codec, parse_codec
from bequest.distill.stores.manifest import (
    REBUILD,
    SHORT,
    ArrayEntry,
    Collection,
    Manifest,
    Shard,
    read_manifest,
)
from bequest.distill.stores.writer import LOGITS, NPY_MAGIC, described, file_name, npy_header
from bequest.errors import SignalError

HEADER_TEXT = len(NPY_MAGIC) + 2


class Recording:
    """A folder with a manifest and one memory-mapped array per view.

    Args:
        folder: The folder.
        checksums: Read every file and compare its SHA-256: always, never, or (None) unless an earlier
            opening has done so since the file changed. Sizes and headers are always compared.

    Raises:
        SignalError: If a file is missing, damaged or foreign; names it.
    """

    def __init__(self, folder: Path, *, checksums: bool | None = None) -> None:
        self.folder = folder
        manifest = read_manifest(folder / "manifest.json")
        if isinstance(manifest, Collection):
            raise SignalError(f"{folder} holds several stores", remedy="open it with open_store")
        self.manifest: Manifest = manifest
        self.codec: Codec = parse_codec(manifest.codec)
        self.view: View = parse_views(manifest.views.spec)
        self.count = manifest.views.count
        self._shards = {(shard.array, shard.view): shard for shard in manifest.shards}
        self._arrays = {array.name: array for array in manifest.arrays}
        self._maps: dict[tuple[str, int], Tensor] = {}
        faults = [*self._coverage(), *(fault for shard in manifest.shards for fault in self._misfit(shard))]
        if not faults and checksums is not False:
            faults = self.verify_checksums(again=checksums is True)
        if faults:
            raise damaged(folder, faults)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the stored activations."""
        return tuple(name for name in self._arrays if name != LOGITS)

    @property
    def bytes(self) -> int:
        """Size of all arrays."""
        return sum(shard.bytes for shard in self.manifest.shards)

    def source(self, split: Split) -> Source:
        """The source that was asked about, to train on."""
        views, entry = self.manifest.views, self.manifest.source
        return Source(entry.name, split, self.view, entry.share, view_count=views.count, view_seed=views.seed)

    def rows(self, array: str, view: int) -> Tensor:
        """All rows of one array of one view, memory-mapped: records of several fields as bytes."""
        mapped = self._maps.get((array, view))
        if mapped is None:
            mapped = self._maps[array, view] = self._mapped(self._arrays[array], view)
        return mapped

    def logits(self, view: int, rows: Tensor, *, temperature: float = 1.0) -> Tensor:
        """Float32 logits (N, ..., C) of the samples at ``rows`` in ``view``."""
        encoded = self.rows(LOGITS, view).index_select(0, rows)
        return self.codec.decode(encoded, self.manifest.logits, temperature=temperature)

    def activations(self, array: str, view: int, rows: Tensor) -> Tensor:
        """Float32 activations (N, ...) of the samples at ``rows`` in ``view``."""
        return self.rows(array, view).index_select(0, rows).float()

    def verify_checksums(self, *, again: bool = True) -> list[str]:
        """One line for each file whose SHA-256 is not the manifest's.

        Args:
            again: False skips files that an earlier call found right and that have not changed since.
        """
        files = damaged_files(self.folder, self.manifest.shards, again=again)
        return [f"{file}: its content has changed since it was written (checksum)" for file in files]

    def _coverage(self) -> Iterable[str]:
        """Files that the manifest should list but does not."""
        for view in range(self.manifest.views.count):
            for array in self.manifest.arrays:
                shard = self._shards.get((array.name, view))
                if shard is None:
                    yield f"{file_name(view, array.name)}: the manifest does not list it"
                elif (shard.first, shard.rows) != (0, self.manifest.data.samples):
                    yield f"{shard.file}: expected all {self.manifest.data.samples} rows, got {shard.rows}"

    def _misfit(self, shard: Shard) -> Iterable[str]:
        """Faults of a file that can be seen without reading all of it."""
        path = self.folder / shard.file
        if Path(shard.file).name != shard.file:
            yield f"{shard.file}: not in the folder of the store"
        elif not path.is_file():
            yield f"{shard.file}: missing"
        elif path.stat().st_size != shard.bytes:
            yield f"{shard.file}: expected {shard.bytes:,} bytes, got {path.stat().st_size:,}"
        else:
            yield from self._foreign(shard, path)

    def _foreign(self, shard: Shard, path: Path) -> Iterable[str]:
        array = self._arrays.get(shard.array)
        if array is None:
            yield f"{shard.file}: there is no array {shard.array!r}"
            return
        # Compared by bytes, not parsed: on a flipped bit NumPy's reader fails with a tokenizer's errors.
        header = npy_header(array, shard.rows)
        with path.open("rb") as file:
            header_there = file.read(len(header))
        if header_there != header:
            expected, got = (each[HEADER_TEXT:].decode("latin-1").strip() for each in (header, header_there))
            yield f"{shard.file}: not the array that the manifest lists: expected {expected}, got {got}"

    def _mapped(self, array: ArrayEntry, view: int) -> Tensor:
        """The array as a copy-on-write map, so that nothing can write to the store by accident."""
        rows = self.manifest.data.samples
        array_map: np.ndarray = np.memmap(
            self.folder / file_name(view, array.name),
            np.dtype(described(array.dtype)),
            mode="c",
            offset=len(npy_header(array, rows)),
            shape=(rows, *array.shape),
        )
        if array_map.dtype.names is not None:
            array_map = array_map.view(np.uint8).reshape(*array_map.shape, array_map.dtype.itemsize)
        return torch.from_numpy(array_map)


def damaged(folder: Path, faults: Iterable[str]) -> SignalError:
    """The error for a store with ``faults``."""
    lines = list(faults)
    shown = [f"  - {line}" for line in lines[:SHORT]]
    more = [f"  - and {len(lines) - SHORT} more"] if len(lines) > SHORT else []
    return SignalError(
        "\n".join([f"the signal store {folder} is damaged:", *shown, *more]),
        remedy=f"delete the files named and {REBUILD}, or restore them from a copy",
    )
