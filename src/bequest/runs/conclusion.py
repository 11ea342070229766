"""From finished cells to results: measurements, curves, verdicts, and last the study's record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from bequest.evidence.kinds import measure_study, sections_of, study_curves
from bequest.evidence.readings import Readings
from bequest.evidence.values import Values
from bequest.files import file_digest
from bequest.measures import measure_named
from bequest.provenance import Provenance, command_line
from bequest.record_files import write_record, write_records
from bequest.records import (
    CellRecord,
    Measurement,
    MeasureRecord,
    RoundsRecord,
    RunRecord,
    StudyRecord,
    Verdict,
)
from bequest.runs.folder import CLAIMS, CURVES, MEASUREMENTS, RESULTS, RunFolder
from bequest.runs.jobs.schedule import Answer
from bequest.runs.measurable import Measurable, measurable
from bequest.runs.rounds import Durations, Round
from bequest.runs.survey import record_of_cell
from bequest.studies.answer import answer_sentence, teachers_in
from bequest.studies.cell import cell_folder
from bequest.studies.claim_spec import AnswerSpec, ClaimSpec
from bequest.studies.claims import LEVEL, judge
from bequest.studies.looks import with_seeds_needed
from bequest.studies.plan import Plan

Status = Literal["prepared", "running", "complete", "partial", "interrupted"]


@dataclass
class Conclusion:
    """Measures and judges a run, and writes its records.

    Attributes:
        plan: The study.
        folder: The run folder.
        device: Device of the networks that a measure still has to load.
        failed: Answers of the jobs that failed, by job id.
        at: The look that the run is at; None where claims are judged once.
        rounds: The looks, with this one once it is taken.
    """

    plan: Plan
    folder: RunFolder
    device: str = "cpu"
    failed: dict[str, Answer] = field(default_factory=dict)
    at: Round | None = None
    rounds: RoundsRecord | None = None
    _left_out: tuple[str, ...] = ()
    _started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.at is not None:
            self.rounds = self.at.rounds

    def measure(self) -> list[Measurement]:
        """Measure what can be measured, and write measurements and curves."""
        self._left_out = self._part.notes
        measurements = measure_study(self._readings)
        write_records(self.folder / MEASUREMENTS, measurements)
        write_records(self.folder / CURVES, study_curves(self._readings, measurements))
        return measurements

    def judge(self, measurements: Sequence[Measurement]) -> StudyRecord:
        """Judge the claims, and write the study's record."""
        study = self.plan.study
        write_records(self.folder / CLAIMS, self._verdicts(measurements))
        self._readings.forget()  # a page of many cells takes as much memory again
        answer = None
        if study.answer is not None:
            answer = answer_sentence(study.answer, measurements, _seeds_behind(study.answer, self.plan))
        # Last, since the record holds the digests of all results: a run killed before is concluded again.
        return self.write("partial" if self.failed else "complete", measurements, answer)

    def _verdicts(self, measurements: Sequence[Measurement]) -> list[Verdict]:
        """One verdict for each claim; in a run in rounds this takes the look."""
        sampled = self._readings.shared(Values).named

        def judging(claims: Sequence[ClaimSpec], level: float) -> list[Verdict]:
            return judge(claims, measurements, self.plan.arms.control, level=level, sampled=sampled)

        if self.at is None:
            claims = self.plan.study.claims
            return with_seeds_needed(claims, judging(claims, LEVEL))
        finished = {line.id for line in self._lines(self._summaries()) if line.status == "done"}
        seconds = Durations(self.folder.path).spent(self.plan, self.at.new_cells)
        verdicts, self.rounds = self.at.judged(judging, finished, seconds)
        return verdicts

    def write(
        self, status: Status, measurements: Sequence[Measurement] = (), answer: str | None = None
    ) -> StudyRecord:
        """Write the study's record."""
        plan, study = self.plan, self.plan.study
        summaries = self._summaries()
        first = next(iter(summaries.values()), None)
        judged = status in ("complete", "partial")
        record = StudyRecord(
            name=study.name,
            title=study.title,
            question=" ".join(study.question.split()),
            scale=plan.scale,
            status=status,
            config_hash=plan.hash,
            command=command_line(),
            arms=plan.arms.records(),
            splits=study.described_splits,
            seeds=tuple(plan.seeds),
            cells=tuple(self._lines(summaries)),
            provenance=Provenance.here(device=_devices(summaries)),
            answer=answer,
            data_digest=first.data_digest if first else None,
            seconds=time.perf_counter() - self._started,
            notes=(*self._left_out, *_notes(plan, summaries)),
            measures=_described({m.measure for m in measurements}),
            sections=sections_of(study),
            profile_arms=_claimed_arms(plan),
            picture=study.answer.picture if study.answer else None,
            picture_teachers=teachers_in(study.answer, measurements) if study.answer else (),
            # Until the run is judged the files on disk may be those of an earlier study: none is vouched for.
            measuring_key=plan.measuring_key if judged else None,
            files={name: file_digest(self.folder / name) for name in RESULTS} if judged else {},
            rounds=self.rounds,
        )
        write_record(self.folder.study, record)
        return record

    @cached_property
    def _part(self) -> Measurable:
        """The part of the study that can be measured."""
        return measurable(self.plan, self.folder.path, self.failed)

    @cached_property
    def _readings(self) -> Readings:
        """What the cells left behind, loaded once for measurements and verdicts."""
        return Readings(self._part.plan, self.folder.path, self._part.without, device=self.device)

    def _summaries(self) -> dict[str, _Summary]:
        """A few fields of each cell's record, by id: 10,000 whole records would fill the memory."""
        summaries = {}
        for cell in self.plan.cells:
            record = record_of_cell(cell_folder(self.folder.path, cell.id), cell)
            if record is not None:
                summaries[cell.id] = _Summary.of(record)
        return summaries

    def _lines(self, summaries: Mapping[str, _Summary]) -> list[CellRecord]:
        """The cells' lines in the study's record; a failed reading counts as its cell's failure."""
        # Reversed, so that of several failed jobs of a cell the error of the first one stays.
        lost = {answer.job.cell.id: answer.error for answer in reversed(self.failed.values())}
        lines = []
        for cell in self.plan.cells:
            line = CellRecord(id=cell.id, arm=cell.arm, seed=cell.seed, status="waiting")
            summary = summaries.get(cell.id)
            if cell.id in lost:
                line = line.model_copy(update={"status": "failed", "error": lost[cell.id]})
            elif summary is not None:
                update = {"status": summary.status, "seconds": summary.seconds, "error": summary.error}
                line = line.model_copy(update=update)
            lines.append(line)
        return lines


@dataclass(frozen=True, slots=True)
class _Summary:
    """The fields of a cell's record that the study's record needs."""

    status: str
    seconds: float | None
    error: str | None
    warnings: tuple[str, ...]
    data_digest: str | None
    device: str | None

    @classmethod
    def of(cls, record: RunRecord) -> _Summary:
        source = record.provenance
        device = None
        if source is not None:
            device = f"{source.device} ({source.accelerator})" if source.accelerator else source.device
        seconds = record.durations.get("total")
        return cls(record.status, seconds, record.error, record.warnings, record.data_digest, device)


def _seeds_behind(answer: AnswerSpec, plan: Plan) -> str:
    """How many seeds the arms of the answer have: one number, or a range as ``3 to 5``."""
    arms = [value.arm for value in answer.values.values() if value.arm in plan.study.arms]
    counts = sorted({len(plan.seeds_of(arm)) for arm in arms}) or [plan.study.seeds]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _devices(summaries: Mapping[str, _Summary]) -> str:
    """The devices that the cells were trained on, with the names of GPUs."""
    named = {summary.device for summary in summaries.values() if summary.device is not None}
    return ", ".join(sorted(named)) or "cpu"


def _described(names: Iterable[str]) -> dict[str, MeasureRecord]:
    """What readers need to know of each measure."""
    measures = {name: measure_named(name) for name in sorted(names)}
    return {
        name: MeasureRecord(
            title=measure.title,
            unit=measure.unit,
            better=measure.better,
            group=measure.group,
            of=measure.of,
            mark=measure.mark,
        )
        for name, measure in measures.items()
    }


def _claimed_arms(plan: Plan) -> tuple[str, ...]:
    """The taught arms that claims are about, exploratory ones left out, in the study's order."""
    claims = [claim for claim in plan.study.claims if not claim.exploratory]
    named = {arm for claim in claims for arm in (claim.arm, claim.against)}
    taught = {arm for arm, _, _ in plan.arms.taught}
    return tuple(arm for arm in plan.arms.shown if arm in named & taught)


def _notes(plan: Plan, summaries: Mapping[str, _Summary]) -> tuple[str, ...]:
    """The first warning of each shown arm, and how many it has; arms with equal notes share a line."""
    by_arm: dict[str, list[str]] = {}
    for cell in plan.cells:  # the record names the arm that it was trained for, which may be gone
        summary = summaries.get(cell.id)
        if summary is not None and not plan.study.arms[cell.arm].aside:
            warnings = [f"{warning}, seed {cell.seed}" for warning in summary.warnings]
            by_arm.setdefault(cell.arm, []).extend(warnings)
    alike: dict[str, list[str]] = {}
    for arm, warnings in by_arm.items():
        if warnings:
            alike.setdefault(f"{warnings[0]} ({len(warnings)} in all)", []).append(arm)
    return tuple(f"{', '.join(arms)}: {text}" for text, arms in alike.items())
