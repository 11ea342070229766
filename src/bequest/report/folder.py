"""A run folder, read: what the page and the terminal table are drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bequest.errors import RunFolderError
from bequest.records import (
    CellRecord,
    Curve,
    Measurement,
    Record,
    RunRecord,
    StudyRecord,
    Verdict,
    read_record,
    read_records,
)

R = TypeVar("R", bound=Record)
S = TypeVar("S", Measurement, Curve)


@dataclass(frozen=True)
class Run:
    """The records of one run folder; what the folder does not hold is empty.

    ``cells`` has the record of each cell that wrote one, by cell id. ``problems`` says which of these
    could not be read: a damaged cell must not hide the rest of a study.
    """

    folder: Path
    study: StudyRecord
    config: str | None
    measurements: tuple[Measurement, ...]
    curves: tuple[Curve, ...]
    verdicts: tuple[Verdict, ...]
    cells: dict[str, RunRecord]
    problems: tuple[str, ...]

    def by_split(self, records: Iterable[S]) -> list[S]:
        """``records`` in the study's order of splits, and otherwise as they came."""
        place = {name: at for at, name in enumerate(self.study.splits)}
        return sorted(records, key=lambda record: place.get(record.split or "", len(place)))

    def unfinished(self) -> tuple[CellRecord, ...]:
        """The study's cells without a result, failed ones first."""
        missing = [cell for cell in self.study.cells if cell.status != "done"]
        return tuple(sorted(missing, key=lambda cell: cell.status != "failed"))


def read_run(folder: str | Path) -> Run:
    """Read the records of a run folder.

    Raises:
        RunFolderError: If there is no ``study.json``, or a file of the study is damaged or newer.
    """
    folder = Path(folder)
    if not (folder / "study.json").is_file():
        raise RunFolderError(
            f"{folder} is not a run folder",
            expected="a folder that bequest run wrote, with study.json",
            got="an empty or foreign folder" if folder.is_dir() else "no such folder",
            remedy="check the path, or run the study first",
        )
    study = read_record(folder / "study.json", StudyRecord)
    cells, problems = _cells(folder, study)
    config = folder / "study.toml"
    return Run(
        folder=folder,
        study=study,
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else None,
        measurements=_optional(folder / "measurements.json", Measurement),
        curves=_optional(folder / "curves.json", Curve),
        verdicts=_optional(folder / "claims.json", Verdict),
        cells=cells,
        problems=problems,
    )


def _optional(path: Path, kind: type[R]) -> tuple[R, ...]:
    return tuple(read_records(path, kind)) if path.is_file() else ()


def _cells(folder: Path, study: StudyRecord) -> tuple[dict[str, RunRecord], tuple[str, ...]]:
    found: dict[str, RunRecord] = {}
    problems: list[str] = []
    for cell in study.cells:
        path = folder / "cells" / cell.id / "record.json"
        if not path.is_file():
            continue
        try:
            found[cell.id] = read_record(path, RunRecord)
        except RunFolderError as error:
            problems.append(f"{cell.arm}, seed {cell.seed}: {error.message}")
    return found, tuple(problems)
