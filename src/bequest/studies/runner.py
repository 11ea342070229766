"""Running a study: plan, cells, measurements, verdicts, record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bequest.distill.parallel import Ranks
from bequest.errors import RunFolderError
from bequest.records import (
    CellRecord,
    Provenance,
    RunRecord,
    StudyRecord,
    command_line,
    read_record,
    write_record,
    write_records,
)
from bequest.studies.cells import cell_folder
from bequest.studies.claims import answer_sentence, judge
from bequest.studies.curves import study_curves
from bequest.studies.evidence import Evidence
from bequest.studies.folder import RunFolder
from bequest.studies.measuring import measure_study
from bequest.studies.plan import Cell, Plan, arm_records, make_plan, read_study, resolve
from bequest.studies.pool import Answer, LocalPool
from bequest.studies.ranks import RankPool, follow, leading
from bequest.studies.spec import described_splits
from bequest.studies.theories import measure_theory, theory_curves

Progress = Callable[["Update"], None]


@dataclass(frozen=True)
class Update:
    """How far a run is: ``done`` of ``total`` cells, after ``seconds``; ``cell`` ended last."""

    done: int
    total: int
    seconds: float
    failed: int = 0
    cell: Cell | None = None
    error: str | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds that are left, as far as the cells so far tell."""
        worked = self.done + self.failed
        return None if worked == 0 else self.seconds / worked * (self.total - worked)


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: The run folder.
        study: Its record.
        trained: How many cells this call ran; 0 if all were there.
        failed: The cells that failed, with their errors.
    """

    folder: Path
    study: StudyRecord
    trained: int
    failed: tuple[CellRecord, ...] = field(default=())

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


def run(
    study: str | Path | Mapping[str, Any],
    *,
    scale: str = "small",
    seeds: int | None = None,
    arms: Sequence[str] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    engine: Literal["local"] = "local",
    settings: Sequence[str] = (),
    fresh: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run a study, or finish one that was interrupted; what is done is not done again.

    Args:
        study: A bundled name (``bequest ls studies``), the path of a TOML file, or its content.
        scale: ``smoke``, ``small`` or ``paper``.
        seeds: Seeds an arm; default: the study's.
        arms: Run these only, with what they need.
        out: The run folder; default ``runs/NAME-SCALE``.
        workers: Worker processes; default: one a core.
        engine: Where cells run.
        settings: ``path=value`` each, laid over the study.
        fresh: Start over, deleting what the folder holds.
        progress: Told how far the run is.

    Raises:
        InputError: If anything asked for is wrong, before anything runs.

    Returns:
        The result; ``result.failed`` names the cells that failed.
    """
    del engine
    plan = planned(study, scale=scale, seeds=seeds, arms=arms, settings=settings)
    folder = RunFolder(Path(out) if out is not None else Path("runs") / f"{plan.study.name}-{scale}")
    if follow():
        return Result(folder.path, folder.record(), trained=0)
    with leading() as ranks, folder.locked():
        folder.prepare(plan, fresh=fresh)
        return _finish(plan, folder, ranks, workers or usable_cores(), progress or (lambda _: None))


def planned(
    study: str | Path | Mapping[str, Any],
    *,
    scale: str = "small",
    seeds: int | None = None,
    arms: Sequence[str] | None = None,
    settings: Sequence[str] = (),
) -> Plan:
    """The checked plan of a study at a scale; see :func:`run`."""
    resolved = resolve(read_study(study), scale=scale, seeds=seeds, arms=arms, settings=settings)
    return make_plan(resolved, scale=scale, where=study["name"] if isinstance(study, Mapping) else str(study))


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finish(plan: Plan, folder: RunFolder, ranks: Ranks, workers: int, progress: Progress) -> Result:
    started = time.perf_counter()
    root = folder.path
    there = {cell.id for cell in plan.cells if cell_folder(root, cell.id).done()}
    todo = [cell for cell in plan.cells if cell.id not in there]
    if not todo and folder.complete():
        return Result(root, folder.record(), trained=0)
    _write_study(plan, folder, "running", started)
    failed: dict[str, Answer] = {}
    try:
        several = ranks.world > 1
        pool = RankPool(plan, root, ranks) if several else LocalPool(root, min(workers, max(1, len(todo))))
        for count, answer in enumerate(pool.run(todo, there), 1):
            if answer.status != "done":
                failed[answer.cell.id] = answer
            done = len(there) + count - len(failed)
            seconds = time.perf_counter() - started
            progress(Update(done, len(plan.cells), seconds, len(failed), answer.cell, answer.error))
    except KeyboardInterrupt:
        _write_study(plan, folder, "interrupted", started)
        raise
    study = _conclude(plan, folder, failed, started)
    return Result(root, study, len(todo), tuple(cell for cell in study.cells if cell.status == "failed"))


def _conclude(plan: Plan, folder: RunFolder, failed: dict[str, Answer], started: float) -> StudyRecord:
    """Measure, judge, and write the study's record last."""
    evidence = Evidence(plan, folder.path)
    theory = plan.study.theory is not None
    measurements = measure_theory(evidence) if theory else measure_study(evidence)
    write_records(folder / "measurements.json", measurements)
    curves = theory_curves(evidence) if theory else study_curves(evidence, measurements)
    write_records(folder / "curves.json", curves)
    write_records(folder / "claims.json", judge(plan.study.claims, measurements))
    answer = plan.study.answer
    sentence = answer_sentence(answer, measurements, plan.study.seeds) if answer else None
    status: Literal["partial", "complete"] = "partial" if failed else "complete"
    return _write_study(plan, folder, status, started, answer=sentence, failed=failed)


def _write_study(
    plan: Plan,
    folder: RunFolder,
    status: Literal["running", "complete", "partial", "interrupted"],
    started: float,
    *,
    answer: str | None = None,
    failed: dict[str, Answer] | None = None,
) -> StudyRecord:
    records = _records(plan, folder.path)
    first = next(iter(records.values()), None)
    study = StudyRecord(
        name=plan.study.name,
        title=plan.study.title,
        question=" ".join(plan.study.question.split()),
        scale=plan.scale,
        status=status,
        config_hash=plan.hash,
        command=command_line(),
        arms=arm_records(plan.study),
        splits=described_splits(plan.study),
        seeds=tuple(range(plan.study.seeds)),
        cells=tuple(_cell_record(cell, records.get(cell.id), failed or {}) for cell in plan.cells),
        provenance=Provenance.here(),
        answer=answer,
        data_digest=first.data_digest if first else None,
        seconds=time.perf_counter() - started,
        notes=_notes(plan, records),
    )
    write_record(folder.study, study)
    return study


def _records(plan: Plan, root: Path) -> dict[str, RunRecord]:
    found = {}
    for cell in plan.cells:
        path = cell_folder(root, cell.id).record
        if path.exists():
            found[cell.id] = read_record(path, RunRecord)
    return found


def _cell_record(cell: Cell, record: RunRecord | None, failed: dict[str, Answer]) -> CellRecord:
    lost = failed.get(cell.id)
    if record is None or (lost is not None and record.status != "failed"):
        status: Literal["failed", "waiting"] = "failed" if lost else "waiting"
        return CellRecord(
            id=cell.id, arm=cell.arm, seed=cell.seed, status=status, error=lost.error if lost else None
        )
    return CellRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status=record.status,
        seconds=record.durations.get("total"),
        error=record.error,
    )


def _notes(plan: Plan, records: dict[str, RunRecord]) -> tuple[str, ...]:
    """The first warning of each shown arm and how many seeds had one; arms with the same share a line."""
    warned: dict[str, list[str]] = {}
    for record in records.values():
        if not plan.study.arms[record.arm].aside:
            found = [f"{warning}, seed {record.seed}" for warning in record.warnings]
            warned.setdefault(record.arm, []).extend(found)
    alike: dict[str, list[str]] = {}
    for arm, found in warned.items():
        if found:
            alike.setdefault(f"{found[0]} ({len(found)} in all)", []).append(arm)
    return tuple(f"{', '.join(arms)}: {text}" for text, arms in alike.items())


def refuse_missing(folder: Path) -> RunFolder:
    """The run folder at ``folder``.

    Raises:
        RunFolderError: If no run is there.
    """
    found = RunFolder(folder)
    if not found.study.exists():
        raise RunFolderError(
            f"{folder} holds no run",
            expected="a folder that `bequest run` wrote, with study.json",
            remedy="run a study first, or check the path",
        )
    return found
