"""What it takes to run a study again: command, versions, digests, durations, and what each cell left."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bequest.printable import counted
from bequest.records import CellRecord
from bequest.report.folder import CellFacts, Run
from bequest.report.numbers import ABSENT, count, duration


@dataclass(frozen=True)
class CellLine:
    """One cell as the page lists it."""

    cell: CellRecord
    seconds: str
    parameters: str
    weights: str
    teacher: str


MOST_CELLS = 500
"""The most cells that are listed: 1,000 would take 300 kB of the 2 MB that a page may have."""


@dataclass(frozen=True)
class Reproduction:
    """The facts of the reproduce box; each warning once, with the cells that it came from."""

    facts: tuple[tuple[str, str], ...]
    cells: tuple[CellLine, ...]
    warnings: tuple[tuple[str, str], ...]


def reproduction(run: Run) -> Reproduction:
    """All that the records say about where the numbers come from."""
    return Reproduction(
        facts=tuple((name, text) for name, text in _facts(run) if text),
        cells=tuple(_line(cell, run.cells.get(cell.id)) for cell in run.study.cells[:MOST_CELLS]),
        warnings=_warnings(run),
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    study, source = run.study, run.study.provenance
    work = math.fsum(cell.seconds or 0.0 for cell in study.cells)
    done = sum(cell.status == "done" for cell in study.cells)
    packages = ", ".join(f"{name} {version}" for name, version in source.packages.items())
    dirty = " with uncommitted changes" if source.dirty else ""
    return [
        ("study", f"{study.name}, scale {study.scale}, {study.status}"),
        ("seeds", ", ".join(map(str, study.seeds))),
        ("cells", f"{done} of {len(study.cells)} done" if study.cells else ""),
        ("duration", _durations(study.seconds, work)),
        ("bequest", f"{source.bequest}{f', commit {source.commit}{dirty}' if source.commit else ''}"),
        ("python", f"{source.python}, {packages}" if packages else source.python),
        (
            "machine",
            f"{source.platform}, {source.device}, {counted(source.threads, 'thread')} per cell",
        ),
        ("configuration", study.config_hash),
        ("data", study.data_digest or ""),
    ]


def _durations(wall: float | None, work: float) -> str:
    """Wall time and work; of a resumed run the wall time is that of the last session."""
    parts = [f"{duration(wall)} from start to end"] if wall is not None else []
    parts += [f"{duration(work)} of work in cells"] if work else []
    return ", ".join(parts)


def _line(cell: CellRecord, facts: CellFacts | None) -> CellLine:
    if facts is None:
        return CellLine(cell, duration(cell.seconds), ABSENT, ABSENT, ABSENT)
    unchanged = [
        f"{teacher.arm} {teacher.digest_before[:12]} "
        + (
            "unchanged"
            if teacher.digest_after == teacher.digest_before
            else "CHANGED"
            if teacher.digest_after
            else ""
        )
        for teacher in facts.teachers
    ]
    return CellLine(
        cell,
        duration(cell.seconds),
        ABSENT if facts.parameters is None else count(facts.parameters),
        (facts.weights_digest or ABSENT)[:12],
        ", ".join(text.strip() for text in unchanged) or ABSENT,
    )


def _warnings(run: Run) -> tuple[tuple[str, str], ...]:
    by_text: dict[str, list[str]] = {}
    for cell in run.study.cells:
        for warning in run.cells[cell.id].warnings if cell.id in run.cells else ():
            by_text.setdefault(warning, []).append(f"{cell.arm} seed {cell.seed}")
    return tuple((warning, ", ".join(cells)) for warning, cells in by_text.items())
