"""The networks of cells: freshly initialised, or with the weights that a cell left."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from bequest.data.datasets import Dataset
from bequest.errors import RunFolderError
from bequest.models.catalogue import build_for
from bequest.models.weights import load_weights, weights_digest
from bequest.records import RunRecord, read_record
from bequest.studies.cell import Cell, NetworkSpec, cell_folder
from bequest.studies.datasets import load


def build_network(spec: NetworkSpec, data: Dataset, *, seed: int) -> nn.Module:
    """A network of the catalogue for ``data``, freshly initialised."""
    return build_for(spec.family, data, seed=seed, **spec.options)


def initial_network(cell: Cell) -> nn.Module:
    """The network of ``cell`` as it was initialised, before weights to start from were loaded into it."""
    return build_network(cell.training.student, load(cell.training.data), seed=cell.initial_seed)


def trained_network(root: Path, cell: Cell) -> nn.Module:
    """The network of ``cell`` with the weights that its record names.

    Raises:
        RunFolderError: If the weights are not those of the cell's record.
    """
    folder = cell_folder(root, cell.id)
    network = build_network(cell.training.student, load(cell.training.data), seed=0)
    load_weights(folder.weights, network)
    record = read_record(folder.record, RunRecord)
    if weights_digest(network) != record.weights_digest:
        raise RunFolderError(
            f"{folder.weights} does not hold the weights that its cell trained",
            expected=f"digest {(record.weights_digest or 'none')[:16]}",
            got=f"digest {weights_digest(network)[:16]}",
            remedy="run the same command again; the cell is trained again",
        )
    return network
