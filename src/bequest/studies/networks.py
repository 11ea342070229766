"""The networks of cells: freshly initialised, or with trained weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from bequest.data.datasets import Dataset
from bequest.errors import ModelError, RunFolderError
from bequest.models.catalogue import build_for
from bequest.models.taps import head_of
from bequest.models.weights import load_weights, weights_digest
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.studies.cell import Cell, NetworkSpec, cell_folder
from bequest.studies.datasets import load


def build_network(spec: NetworkSpec, data: Dataset, *, seed: int) -> nn.Module:
    """A network of the catalogue for ``data``, freshly initialised."""
    return build_for(spec.family, data, seed=seed, **spec.options)


def initial_network(cell: Cell, root: Path | None = None) -> nn.Module:
    """The network of ``cell`` as it was initialised, before any pretrained weights were loaded into it.

    Args:
        cell: The cell.
        root: The run folder; needed if it starts with the head that its teacher learnt.

    Raises:
        ModelError: If it is to have a teacher's head, and that does not fit.
    """
    network = build_network(cell.training.student, load(cell.training.data), seed=cell.initial_seed)
    teacher, part = cell.like, cell.training.initial
    if teacher is None:
        return network
    if part == "teacher's initial weights":
        return initial_network(teacher, root)
    if part == "teacher's head":
        assert root is not None
        _copy_head(trained_network(root, teacher), network)
    else:
        _copy_head(initial_network(teacher, root), network)
    return network


def _copy_head(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the weights of the last linear layer of ``source``."""
    head, other = head_of(target)[1], head_of(source)[1]
    try:
        head.load_state_dict(other.state_dict())
    except RuntimeError as error:
        raise ModelError(
            "the teacher's head does not fit the student",
            expected=f"{other.in_features} features and {other.out_features} outputs, as the teacher has",
            got=f"{head.in_features} and {head.out_features}",
            remedy="give the student a penultimate layer as wide as its teacher's",
        ) from error


def trained_network(root: Path, cell: Cell) -> nn.Module:
    """The network of ``cell`` with the weights that its record names.

    Raises:
        RunFolderError: If the weights are not those of the cell's record.
    """
    folder = cell_folder(root, cell.id)
    # Any seed: every weight is replaced by the stored one.
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
