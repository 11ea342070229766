"""What of a plan is in its run folder, verified, and what is left to do."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bequest.errors import RunFolderError
from bequest.evidence.kinds import readings_of, snapshot_cells
from bequest.evidence.reading import Reading
from bequest.files import file_digest
from bequest.records import RunRecord
from bequest.studies.cell import Cell, CellFolder, SimulationConfig, cell_folder
from bequest.studies.plan import Plan

Action = Literal["train", "read"]
TRAIN: Action = "train"
READ: Action = "read"
READINGS, SNAPSHOTS = "readings/", "snapshots/"
PLAIN = re.compile(r"(readings/|snapshots/)?[A-Za-z0-9_]+\.[a-z]+")
"""The names of files in a cell's record."""


@dataclass(frozen=True)
class Job:
    """A piece of work that one process does: train a cell, or make the readings that it lacks."""

    action: Action
    cell: Cell

    @property
    def id(self) -> str:
        """Unique in a run."""
        return f"{self.action} {self.cell.id}"

    @property
    def requires(self) -> set[str]:
        """Jobs without which it cannot be done."""
        needed = {self.cell.id} if self.action == READ else self.cell.requires
        return {f"{TRAIN} {cell}" for cell in needed}

    @property
    def follows(self) -> set[str]:
        """Jobs that should end before it, whether or not they succeed."""
        plain = self.cell.plain if self.action == TRAIN else None
        return self.requires | ({f"{TRAIN} {plain}"} if plain else set())


@dataclass(frozen=True)
class Survey:
    """What a run folder holds of a plan.

    Attributes:
        cells: How many cells the plan has.
        trained: Ids of the cells whose training is complete and undamaged.
        again: Of the cells to train, those that were trained, and lack only what is taken while training.
        jobs: What is left to do, in an order in which it can be done.
        readings: How many readings are missing.
        damaged: Files that are there and do not have the digest that their record names.
    """

    cells: int
    trained: frozenset[str]
    again: frozenset[str]
    jobs: tuple[Job, ...]
    readings: int
    damaged: tuple[Path, ...] = field(default=())

    @property
    def to_train(self) -> int:
        """How many cells will be trained."""
        return sum(job.action == TRAIN for job in self.jobs)

    def sentence(self) -> str:
        """What is there and what will be done, for the terminal."""
        if not self.jobs:
            return f"all {self.cells} cells and their readings are there"
        again = f" ({len(self.again)} of them again, for their training paths)" if self.again else ""
        return (
            f"{len(self.trained)} cells there, {self.to_train} to train{again}, "
            f"{self.readings} readings to make"
        )


def survey(plan: Plan, root: Path) -> Survey:
    """Compare the run folder ``root`` with ``plan``; every file is compared with its digest."""
    readings = readings_of(plan)
    with_paths = snapshot_cells(plan)
    trained, again = set[str](), set[str]()
    train: list[Job] = []
    read: list[Job] = []
    missing, damaged = 0, list[Path]()
    refuse_links(root, plan)
    for cell in plan.by_id.values():  # two arms that are trained alike share a cell
        state = state_of(root, cell)
        damaged += state.damaged
        lacks_path = state.trained and cell.id in with_paths and not state.snapshots
        if not state.trained or lacks_path:
            train.append(Job(TRAIN, cell))
            again |= {cell.id} if lacks_path else set()
        else:
            trained.add(cell.id)
        lacking = state.lacking(readings.get(cell.id, ()))
        if lacking:
            missing += len(lacking)
            read.append(Job(READ, cell))
    return Survey(
        len(plan.by_id), frozenset(trained), frozenset(again), (*train, *read), missing, tuple(damaged)
    )


def refuse_links(root: Path, plan: Plan) -> None:
    """Refuse a folder of cells, or of one cell, that is a symbolic link: what is written there lies outside.

    Raises:
        RunFolderError: Names the link.
    """
    for path in (root / "cells", *(cell_folder(root, cell_id).path for cell_id in plan.by_id)):
        if path.is_symlink():
            raise RunFolderError(
                f"{path} is a symbolic link",
                expected="a folder of the run",
                remedy="replace it by the folder that it points to",
            )


@dataclass(frozen=True)
class CellState:
    """What is on disk of one cell.

    Attributes:
        cell: The cell.
        trained: Whether its training is complete and undamaged.
        snapshots: Whether snapshots of its training are there, whole.
        readings: Ids of the readings that are there, whole.
        damaged: Files that do not have the digest that the record names.
    """

    cell: Cell
    trained: bool = False
    snapshots: bool = False
    readings: frozenset[str] = frozenset()
    damaged: tuple[Path, ...] = ()

    def lacking(self, wanted: Collection[Reading]) -> list[Reading]:
        """Those of ``wanted`` that must be made."""
        return [reading for reading in wanted if reading.id_for(self.cell.id) not in self.readings]


def state_of(root: Path, cell: Cell) -> CellState:
    """What is on disk of ``cell``, compared with the digests in its record."""
    folder = cell_folder(root, cell.id)
    record = record_of_cell(folder, cell)
    if record is None or record.status != "done":
        return CellState(cell)
    whole, damaged = _checked(folder, record)
    missing = {name for name in record.files if name not in whole}
    paths = {name for name in record.files if name.startswith(SNAPSHOTS)}
    training = _training_files(folder, cell)
    return CellState(
        cell,
        trained=training <= whole,
        snapshots=bool(paths) and not paths & missing,
        readings=frozenset(Path(name).stem for name in whole if name.startswith(READINGS)),
        damaged=tuple(damaged),
    )


def record_of_cell(folder: CellFolder, cell: Cell) -> RunRecord | None:
    """The cell's record; None if it is absent, damaged, or of another cell."""
    record = folder.readable_record()
    return record if record is not None and record.id == cell.id else None


def _training_files(folder: CellFolder, cell: Cell) -> set[str]:
    """The files without which a cell is not trained."""
    simulated = isinstance(cell.config, SimulationConfig)
    files = [folder.simulation] if simulated else [folder.weights, folder.metrics]
    return {folder.relative(path) for path in files}


def _checked(folder: CellFolder, record: RunRecord) -> tuple[set[str], list[Path]]:
    """The names of the files that are whole, and the paths of those that are there and are not."""
    whole, damaged = set[str](), list[Path]()
    for name, digest in record.files.items():
        if not PLAIN.fullmatch(name):
            continue  # a name in a damaged or foreign record never leads out of the cell's folder
        path = folder.path / name
        try:
            matches = file_digest(path) == digest
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # a folder in its place, or a disk that cannot be read
            matches = False
        if matches:
            whole.add(name)
        else:
            damaged.append(path)
    return whole, damaged
