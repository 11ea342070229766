"""Which parts of a plan are in its run folder, undamaged, and what is left to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from bequest.evidence.kinds import readings_of, snapshot_cells
from bequest.evidence.reading import Reading
from bequest.files import file_digest, refuse_link
from bequest.printable import counted
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

    @cached_property
    def id(self) -> str:
        """A name that no other job of the run has."""
        return f"{self.action} {self.cell.id}"

    @property
    def requires(self) -> set[str]:
        """Jobs without which it cannot be done."""
        needed = {self.cell.id} if self.action == READ else self.cell.requires
        return {f"{TRAIN} {cell}" for cell in needed}

    @property
    def follows(self) -> set[str]:
        """Jobs that should end before it, whether or not they succeed.

        The plain student's accuracy is only compared with the teachers', so that a training can do without.
        """
        plain = self.cell.plain if self.action == TRAIN else None
        return self.requires | ({f"{TRAIN} {plain}"} if plain else set())


@dataclass(frozen=True)
class Survey:
    """Which parts of a plan a run folder holds.

    Attributes:
        cells: How many cells the plan has.
        trained: Ids of the cells whose training is complete and undamaged.
        again: Of the cells to train, those that are trained and lack only the snapshots of training.
        jobs: What is left to do, in an order in which it can be done.
        readings: How many readings are missing.
        damaged: Files whose digest is not the one that their record names.
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
        """What the folder has and what will be done, for the terminal."""
        if not self.jobs:
            return f"all {counted(self.cells, 'cell')} and their readings are finished"
        again = f" ({len(self.again)} of them again, for their training paths)" if self.again else ""
        return (
            f"{counted(len(self.trained), 'cell')} finished, {self.to_train} to train{again}, "
            f"{counted(self.readings, 'reading')} to make"
        )


class Demand:
    """What a plan needs of its cells.

    Args:
        plan: The study.
    """

    def __init__(self, plan: Plan) -> None:
        self._readings = readings_of(plan)
        self._with_paths = snapshot_cells(plan)

    def readings(self, cell_id: str) -> dict[str, Reading]:
        """What must be read of a cell, by the reading's id."""
        return self._readings.get(cell_id, {})

    def lacking(self, state: CellState) -> list[str]:
        """The ids of the readings that must be made of a cell."""
        return [each for each in self.readings(state.cell.id) if each not in state.readings]

    def path(self, cell_id: str) -> bool:
        """Whether snapshots are taken while a cell trains."""
        return cell_id in self._with_paths

    def again(self, state: CellState) -> bool:
        """Whether a cell is trained, and lacks only the snapshots of its training."""
        return state.trained and not state.snapshots and self.path(state.cell.id)

    def jobs(self, state: CellState) -> list[Job]:
        """What is left to do of a cell."""
        train = [Job(TRAIN, state.cell)] if not state.trained or self.again(state) else []
        read = [Job(READ, state.cell)] if self.lacking(state) else []
        return train + read


def survey(plan: Plan, root: Path, *, verify: bool = True) -> Survey:
    """What the run folder ``root`` lacks of ``plan``.

    Args:
        plan: The study.
        root: The run folder.
        verify: Compare every file with its digest; otherwise the cells' records are believed.
    """
    demand = Demand(plan)
    trained, again = set[str](), set[str]()
    jobs: list[Job] = []
    missing, damaged = 0, list[Path]()
    refuse_links(root, plan)
    for cell in plan.by_id.values():  # two arms that are trained alike share a cell
        state = state_of(root, cell, verify=verify)
        damaged += state.damaged
        left = demand.jobs(state)
        if demand.again(state):
            again.add(cell.id)
        if not any(job.action == TRAIN for job in left):
            trained.add(cell.id)
        missing += len(demand.lacking(state))
        jobs += left
    jobs.sort(key=lambda job: job.action == READ)  # stable: trainings first, since others wait for them
    return Survey(len(plan.by_id), frozenset(trained), frozenset(again), tuple(jobs), missing, tuple(damaged))


def refuse_links(root: Path, plan: Plan) -> None:
    """Refuse a folder of the run that is a symbolic link: files written there would lie outside.

    Raises:
        RunFolderError: Names the link.
    """
    folders = [root / "cells", root / "stores", *_folders_in(root / "stores")]
    for cell_id in plan.by_id:
        path = cell_folder(root, cell_id).path
        folders += [path, path / READINGS, path / SNAPSHOTS]
    for path in folders:
        refuse_link(path)


def _folders_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


@dataclass(frozen=True)
class CellState:
    """The files of one cell that are on disk.

    Attributes:
        cell: The cell.
        trained: Whether its training is complete and undamaged, and its teachers are still those that taught
            it.
        snapshots: Whether snapshots of its training are there, whole.
        readings: Ids of the readings that are there, whole.
        damaged: Files that do not have the digest that the record names.
    """

    cell: Cell
    trained: bool = False
    snapshots: bool = False
    readings: frozenset[str] = frozenset()
    damaged: tuple[Path, ...] = ()

    def lacking(self, wanted: Mapping[str, Reading]) -> dict[str, Reading]:
        """Those of ``wanted``, by their ids, that must be made."""
        return {key: reading for key, reading in wanted.items() if key not in self.readings}


def state_of(root: Path, cell: Cell, *, verify: bool = True) -> CellState:
    """The state of ``cell`` on disk: verified by the digests in its record, or as the record says."""
    folder = cell_folder(root, cell.id)
    record = record_of_cell(folder, cell)
    if record is None or record.status != "done":
        return CellState(cell)
    whole, damaged = _checked(folder, record) if verify else (set(record.files), [])
    missing = {name for name in record.files if name not in whole}
    paths = {name for name in record.files if name.startswith(SNAPSHOTS)}
    training = _training_files(folder, cell)
    return CellState(
        cell,
        trained=training <= whole and _taught_by_these(root, record),
        snapshots=bool(paths) and not paths & missing,
        readings=frozenset(
            name.removeprefix(READINGS).partition(".")[0] for name in whole if name.startswith(READINGS)
        ),
        damaged=tuple(damaged),
    )


def _taught_by_these(root: Path, record: RunRecord) -> bool:
    """Whether the teachers in the folder still have the weights that taught a cell.

    A teacher that is absent, or whose record is damaged or foreign, is trained again and compared then.
    """
    for teacher in record.teachers:
        if teacher.mode == "online" or Path(teacher.cell).name != teacher.cell:
            continue  # an online teacher began with initial weights; a name with a path would lead outside
        trained = cell_folder(root, teacher.cell).readable_record()
        if trained is None or trained.id != teacher.cell or trained.status != "done":
            continue
        if trained.weights_digest != teacher.digest_before:
            return False
    return True


def record_of_cell(folder: CellFolder, cell: Cell) -> RunRecord | None:
    """The cell's record; None if it is absent, damaged, or of another cell."""
    record = folder.readable_record()
    return record if record is not None and record.id == cell.id else None


def _training_files(folder: CellFolder, cell: Cell) -> set[str]:
    """The files without which a cell is not trained."""
    simulated = isinstance(cell.config, SimulationConfig)
    files = [folder.simulation] if simulated else [folder.weights, folder.metrics]
    return {path.name for path in files}


def _checked(folder: CellFolder, record: RunRecord) -> tuple[set[str], list[Path]]:
    """The names of the files that match their digest, and the paths of those that exist and do not."""
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
