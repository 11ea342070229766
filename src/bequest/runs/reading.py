"""Making the readings that a cell lacks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bequest.errors import RunFolderError
from bequest.evidence.reading import Network, Reading, as_plain_arrays
from bequest.files import file_digest, save_arrays
from bequest.records import write_record
from bequest.runs.survey import record_of_cell, state_of
from bequest.studies.cell import Cell, cell_folder


def read_cell(cell: Cell, root: Path, wanted: Collection[Reading], *, device: str = "cpu") -> int:
    """Make those of ``wanted`` that the cell lacks; the record then names them and the device.

    Returns:
        How many were made.

    Raises:
        InputError: If a split cannot be made, or the network cannot be asked.
    """
    readings = state_of(root, cell).lacking(wanted)
    if not readings:
        return 0
    folder = cell_folder(root, cell.id)
    network = Network(cell, root, readings, device=device)
    digests = {}
    for reading in readings:
        path = folder.reading(reading.id_for(cell.id))
        save_arrays(path, as_plain_arrays(reading.read(network)))
        digests[folder.relative(path)] = file_digest(path)
    record = record_of_cell(folder, cell)
    if record is None:
        raise RunFolderError(f"{folder.record} vanished while its network was read")
    provenance = record.provenance
    if provenance is not None:
        read_on = tuple(sorted({*provenance.read_on, device}))
        provenance = provenance.model_copy(update={"read_on": read_on})
    files = {**record.files, **digests}
    write_record(folder.record, record.model_copy(update={"files": files, "provenance": provenance}))
    return len(readings)
