"""A run folder, read and verified: what the page and the terminal tables are drawn from."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bequest.errors import RunFolderError
from bequest.printable import counted
from bequest.record_files import read_record, read_records
from bequest.records import (
    CellRecord,
    Curve,
    Measurement,
    Record,
    RunRecord,
    StudyRecord,
    TeacherRecord,
    Verdict,
)
from bequest.report.titles import Titles

R = TypeVar("R", bound=Record)
S = TypeVar("S", Measurement, Curve)

REMEDY = "repeat the command that wrote this folder: finished cells are skipped"
MOST = 1e100
MOST_PROFILE_ARMS = 4  # of a study that names none for its profile


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What a page says of a cell; of 10,000 whole records the memory would be full."""

    error: str | None
    warnings: tuple[str, ...]
    parameters: int | None
    weights_digest: str | None
    teachers: tuple[TeacherRecord, ...]


@dataclass(frozen=True)
class Run:
    """The records of one run folder; what the folder does not hold is empty.

    ``cells`` has the facts of each cell that wrote a record, by cell id. ``problems`` says which of these
    could not be read: a damaged cell must not hide the rest of a study.
    """

    folder: Path
    study: StudyRecord
    config: str | None
    measurements: tuple[Measurement, ...]
    curves: tuple[Curve, ...]
    verdicts: tuple[Verdict, ...]
    cells: dict[str, CellFacts]
    problems: tuple[str, ...]
    titles: Titles = field(default_factory=Titles)

    def by_split(self, records: Iterable[S]) -> list[S]:
        """``records`` in the study's order of splits, and otherwise as they came."""
        position = {name: at for at, name in enumerate(self.study.splits)}
        return sorted(records, key=lambda record: position.get(record.split or "", len(position)))

    def unfinished(self) -> tuple[CellRecord, ...]:
        """The study's cells without a result, failed ones first."""
        missing = [cell for cell in self.study.cells if cell.status != "done"]
        return tuple(sorted(missing, key=lambda cell: cell.status != "failed"))

    def seeds_text(self) -> str:
        """How many seeds the arms have, such as ``5 seeds``; ``3 to 12 seeds`` where some have more."""
        by_arm = Counter(cell.arm for cell in self.study.cells)
        counts = sorted(set(by_arm.values())) or [len(self.study.seeds)]
        if counts[0] < counts[-1]:
            return f"{counts[0]} to {counts[-1]} seeds"
        return counted(counts[0], "seed")

    def profile_arms(self) -> tuple[str, ...]:
        """The arms of the inheritance profile: those the study names, else those of claims, else a few."""
        if self.study.profile_arms:
            return self.study.profile_arms
        taught = [arm for arm in self.study.arms if arm.role == "taught"]
        claimed = {name for verdict in self.verdicts if not verdict.exploratory for name in verdict.arms}
        chosen = tuple(arm.name for arm in taught if arm.name in claimed)
        return chosen or tuple(arm.name for arm in taught if arm.charted)[:MOST_PROFILE_ARMS]


def read_run(folder: str | Path) -> Run:
    """Read the records of a run folder, and compare its results with the digests in ``study.json``.

    Folders of version 1 hold no digests and are read as they are.

    Raises:
        RunFolderError: If there is no ``study.json``, or a file of the study is damaged, missing or newer.
    """
    folder = Path(folder)
    if not (folder / "study.json").is_file():
        raise RunFolderError(
            f"{folder} is not a run folder",
            expected="a folder that bequest run wrote, with study.json",
            got="a folder without study.json" if folder.is_dir() else "no such folder",
            remedy="check the path, or run the study first",
        )
    study = _readable(folder / "study.json", lambda path: read_record(path, StudyRecord))
    _check_numbers(study.model_dump(), folder / "study.json")
    cells, problems = _cells(folder, study)
    config = folder / "study.toml"
    return Run(
        folder=folder,
        study=study,
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else None,
        measurements=_verified(folder / "measurements.json", Measurement, study),
        curves=_verified(folder / "curves.json", Curve, study),
        verdicts=_verified(folder / "claims.json", Verdict, study),
        cells=cells,
        problems=problems,
        titles=Titles.of(study),
    )


def _verified(path: Path, kind: type[R], study: StudyRecord) -> tuple[R, ...]:
    """The records in ``path``; none where the study does not have such a file."""
    digest = study.files.get(path.name)
    is_there = path.exists() or path.is_symlink()  # a broken link is there, and is no file
    if not is_there and digest is None:
        return ()
    if not path.is_file():
        raise RunFolderError(
            f"{path} is not a file" if is_there else f"{path} is missing",
            expected="the file that study.json names" if digest else "a file with records",
            got="nothing" if not is_there else "a folder" if path.is_dir() else "a broken link or a device",
            remedy=f"move it away, then {REMEDY}" if is_there else REMEDY,
        )
    if digest is not None:
        actual = _sha256(path)
        if actual != digest:
            raise RunFolderError(
                f"{path} is damaged, or was changed after the run",
                expected=f"SHA-256 {digest}",
                got=f"SHA-256 {actual}",
                remedy=REMEDY,
            )
    records = tuple(_readable(path, lambda file: read_records(file, kind)))
    for record in records:
        _check_numbers(record.model_dump(), path)
    return records


def _check_numbers(content: Any, path: Path) -> None:
    """Refuse what bequest never writes: numbers that are not finite, or too large to be subtracted."""
    if isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            _check_numbers(part, path)
    elif isinstance(content, float) and not abs(content) <= MOST:
        raise RunFolderError(
            f"{path} holds a number that cannot be drawn",
            expected=f"finite numbers of at most {MOST:g}",
            got=content,
            remedy=REMEDY,
        )


T = TypeVar("T")


def _readable(path: Path, read: Callable[[Path], T]) -> T:
    """What ``read`` gives; a damaged file costs no training, so the remedy is never to start over."""
    try:
        return read(path)
    except (TypeError, RecursionError, OverflowError) as error:  # JSON of another shape, or without end
        raise RunFolderError(f"{path} does not hold records", got=error, remedy=REMEDY) from error
    except RunFolderError as error:
        remedy = error.remedy if error.remedy and "--fresh" not in error.remedy else REMEDY
        raise RunFolderError(error.message, expected=error.expected, got=error.got, remedy=remedy) from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be read", got=error.strerror or error, remedy="check the disk and permissions"
        ) from error


def _cells(folder: Path, study: StudyRecord) -> tuple[dict[str, CellFacts], tuple[str, ...]]:
    cells: dict[str, CellFacts] = {}
    problems: list[str] = []
    for cell in study.cells:
        path = folder / "cells" / cell.id / "record.json"
        if Path(cell.id).name != cell.id:  # an id from outside must not lead out of the folder
            problems.append(f"{cell.arm}, seed {cell.seed}: {cell.id!r} is not the name of a folder")
            continue
        try:
            if not path.exists():
                continue
            record = _readable(path, lambda file: read_record(file, RunRecord))
        except OSError as error:
            problems.append(f"{cell.arm}, seed {cell.seed}: {error.strerror}")
            continue
        except RunFolderError as error:
            message = error.message.replace(f"{folder}{os.sep}", "")
            problems.append(
                f"{cell.arm}, seed {cell.seed}: {message}{f' ({error.got})' if error.got else ''}"
            )
            continue
        if record.id != cell.id:
            problems.append(f"{cell.arm}, seed {cell.seed}: record.json is that of another cell, {record.id}")
            continue
        cells[cell.id] = CellFacts(
            record.error, record.warnings, record.parameters, record.weights_digest, record.teachers
        )
    return cells, tuple(problems)
