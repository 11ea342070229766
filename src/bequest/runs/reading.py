"""Make the readings that a cell lacks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bequest.errors import BequestError, RunFolderError
from bequest.evidence.reading import Network, Reading, as_plain_arrays
from bequest.files import SYNCED_FROM, file_digest, save_arrays, unsynced
from bequest.record_files import write_record
from bequest.runs.survey import record_of_cell, state_of
from bequest.studies.cell import Cell, CellFolder, cell_folder


@dataclass(frozen=True)
class Made:
    """The readings that were made of a cell.

    Attributes:
        count: How many.
        failures: Why others could not be made, one each.
    """

    count: int
    failures: tuple[str, ...] = ()

    def sentence(self) -> str | None:
        """How many could not be made, and each reason once; None if all were made."""
        if not self.failures:
            return None
        reasons = "; ".join(dict.fromkeys(self.failures))
        total = self.count + len(self.failures)
        return f"{len(self.failures)} of {total} readings could not be made: {reasons}"


def read_cell(cell: Cell, root: Path, wanted: Mapping[str, Reading], *, device: str = "cpu") -> Made:
    """Make those of ``wanted`` (by id) that the cell lacks, and name them and the device in its record.

    A reading that fails does not stop the others.

    Raises:
        RunFolderError: If the folder cannot be written.
    """
    started = time.perf_counter()
    readings = state_of(root, cell).lacking(wanted)
    folder, network = cell_folder(root, cell.id), Network(cell, root, readings.values(), device=device)
    digests: dict[str, str] = {}
    failures = []
    try:
        for reading_id, reading in readings.items():
            try:
                arrays = as_plain_arrays(reading.read(network))
            except Exception as error:  # a user's model, split or reading may raise anything
                failures.append(_reason(error))
                continue
            path = folder.reading(reading_id)
            with unsynced(when=time.perf_counter() - started < SYNCED_FROM):
                save_arrays(path, arrays)
            digests[folder.relative(path)] = file_digest(path)
    finally:  # also after Ctrl-C: what no record names would be read again
        if digests:
            _note(folder, cell, digests, device)
    return Made(len(digests), tuple(failures))


def _note(folder: CellFolder, cell: Cell, digests: Mapping[str, str], device: str) -> None:
    """Name new readings in the cell's record."""
    record = record_of_cell(folder, cell)
    if record is None:
        raise RunFolderError(f"{folder.record} vanished while its network was read")
    provenance = record.provenance
    if provenance is not None:
        read_on = tuple(sorted({*provenance.read_on, device}))
        provenance = provenance.model_copy(update={"read_on": read_on})
    files = {**record.files, **digests}
    # A power failure during the rename must not cost a training that took longer than the sync does.
    with unsynced(when=record.durations.get("total", 0.0) < SYNCED_FROM):
        write_record(folder.record, record.model_copy(update={"files": files, "provenance": provenance}))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BequestError) else f"{type(error).__name__}: {error}"
