"""Delete what the study of a run folder no longer needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bequest.errors import RunFolderError
from bequest.evidence.kinds import readings_of, snapshot_cells
from bequest.record_files import write_record
from bequest.records import RunRecord
from bequest.runs.folder import CELLS, STORES, RunFolder
from bequest.runs.survey import READINGS, SNAPSHOTS, record_of_cell, refuse_links
from bequest.studies.cell import cell_folder
from bequest.studies.plan import Plan


@dataclass(frozen=True)
class Pruned:
    """What was deleted, or in a dry run would be.

    Attributes:
        paths: Files and folders.
        bytes: Their size together.
    """

    paths: tuple[Path, ...]
    bytes: int


def prune(folder: Path, *, dry_run: bool = False) -> Pruned:
    """Delete the cells, readings, snapshots and stores of a run folder that its study does not need.

    Raises:
        RunFolderError: If it holds no run, or another process is at work in it.
    """
    run = RunFolder(folder)
    plan = run.plan()
    _refuse_changed(run, plan)
    refuse_links(folder, plan)
    with run.locked(alone=True):
        records = {
            cell.id: record
            for cell in plan.cells
            if (record := record_of_cell(cell_folder(folder, cell.id), cell)) is not None
        }
        unused = [*_unused_folders(folder, plan, records), *_unused_files(folder, plan, records)]
        size = sum(_size(path) for path in unused)
        if not dry_run:
            for path in unused:
                _delete(path)
            _forget_deleted(folder, records)
    return Pruned(tuple(unused), size)


def _refuse_changed(run: RunFolder, plan: Plan) -> None:
    """Refuse to prune by a plan that is not that of the last run, as after a change of a part or of weights.

    Raises:
        RunFolderError: If the plan asks for a cell that the last run did not have.
    """
    record = run.readable_record()
    if record is None or not set(plan.by_id) <= {cell.id for cell in record.cells}:
        raise RunFolderError(
            f"the last run of {run.path} had different cells from those that its study now asks for",
            expected="the parts, data and weights that it was run with",
            got="a change of one of them, or no readable study.json",
            remedy="run the study again first; it says what would be unused",
        )


def _unused_folders(root: Path, plan: Plan, records: dict[str, RunRecord]) -> Iterator[Path]:
    stores = {record.store for record in records.values()}
    # A store that an unfinished cell is building is named by no record yet.
    unfinished = len(records) < len(plan.by_id)
    for path in _entries(root / CELLS):
        if path.name not in plan.by_id:
            yield path
    for path in () if unfinished else _entries(root / STORES):
        if path.name not in stores:
            yield path


def _unused_files(root: Path, plan: Plan, records: dict[str, RunRecord]) -> Iterator[Path]:
    readings, with_paths = readings_of(plan), snapshot_cells(plan)
    for cell_id in records:
        cell = plan.by_id[cell_id]
        folder = cell_folder(root, cell_id)
        wanted = {folder.reading(reading_id) for reading_id in readings.get(cell_id, ())}
        yield from (path for path in _entries(folder.path / READINGS) if path not in wanted)
        if cell.id not in with_paths:
            yield from _entries(folder.path / SNAPSHOTS)


def _forget_deleted(root: Path, records: dict[str, RunRecord]) -> None:
    """Remove deleted files from the cells' records."""
    for cell_id, record in records.items():
        folder = cell_folder(root, cell_id)
        files = {
            name: digest
            for name, digest in record.files.items()
            if not name.startswith((READINGS, SNAPSHOTS)) or (folder.path / name).exists()
        }
        if files != record.files:
            write_record(folder.record, record.model_copy(update={"files": files}))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.lstat().st_size for each in files)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():  # of a link, only the link goes
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
