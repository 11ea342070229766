"""Runs in rounds: further seeds for the arms of undecided claims, at looks that are planned before the first.

The record of the looks is part of ``study.json`` and is kept in every status that is written there, so that
a run that was killed goes on with the looks, levels and verdicts that it had.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from pathlib import Path

from bequest.errors import ConfigError, RunFolderError
from bequest.records import RoundsRecord, Verdict
from bequest.runs.folder import CLAIMS, RunFolder
from bequest.runs.survey import record_of_cell
from bequest.studies.cell import Cell, cell_folder
from bequest.studies.looks import (
    Judging,
    family,
    involved_arms,
    judged_key,
    largest_plan,
    next_look,
    not_judged,
    plan_at,
    planned_looks,
    planned_rounds,
    verdicts_at,
    with_look,
    with_seeds_needed,
)
from bequest.studies.plan import Plan

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def budget_seconds(budget: str | float) -> float:
    """A time in seconds.

    Args:
        budget: Seconds, or text such as ``90s``, ``20m``, ``1.5h`` or ``1h30m``.

    Raises:
        ConfigError: If it is no time.

    >>> budget_seconds("20m"), budget_seconds("1h30m"), budget_seconds(90.0)
    (1200.0, 5400.0, 90.0)
    """
    if isinstance(budget, int | float):
        seconds = float(budget)
    else:
        # Every unit is optional, so that the pattern matches "" too; as 0 seconds it is refused below.
        match = _TIME.fullmatch(str(budget).strip())
        parts = [float(part or 0) for part in match.groups()] if match else [0.0]
        seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not 0 < seconds < float("inf"):
        raise ConfigError.of("--budget", [f"expected a time such as 90s, 20m or 1h30m, got {budget!r}"])
    return seconds


def time_limit(until_decided: bool, budget: str | float | None, most_seeds: int | None) -> float:
    """The budget of a run in seconds; without end where there is none.

    Raises:
        ConfigError: If it is no time, or a limit is given to a run that is not in rounds.
    """
    for option, value in (("--budget", budget), ("--most-seeds", most_seeds)):
        if value is not None and not until_decided:
            raise ConfigError.of(option, ["limits runs with --until-decided only; add it, or leave this out"])
    return float("inf") if budget is None else budget_seconds(budget)


@dataclass(frozen=True)
class Round:
    """One look of a study: the plan whose cells it needs, and what is judged at it.

    Attributes:
        study: The study as it is written.
        rounds: All looks.
        look: The look to take, or the last one taken, counted from 0; None if the seeds are not those of a
            look, so that nothing can be decided.
    """

    study: Plan
    rounds: RoundsRecord
    look: int | None

    @cached_property
    def plan(self) -> Plan:
        """The study with the seeds that each arm has at this look."""
        return plan_at(self.study, self.rounds, self._last if self.look is None else self.look)

    @cached_property
    def largest(self) -> Plan:
        """The study with every cell that any of its looks may ask for."""
        return largest_plan(self.plan, self.rounds)

    @property
    def pending(self) -> bool:
        """Whether this look is still to be taken."""
        return self.look is not None and not self.rounds.looks[self.look].taken

    def judged(
        self, judging: Judging, finished: Collection[str], seconds: float
    ) -> tuple[list[Verdict], RoundsRecord]:
        """The verdicts, and the looks, with this one marked as taken if it could be.

        A look is taken once, on all seeds that it was planned for. If a cell that an undecided claim needs is
        missing it is put off: judging without that cell and once more with it would be two looks, of which
        only one is paid for.

        Args:
            judging: Judges claims by what was measured.
            finished: Ids of the cells that are finished.
            seconds: How long the trainings of this look took.
        """
        claims = self.plan.study.claims
        if self.look is None:
            reason = "its looks are planned at different seeds; --until-decided takes the next one"
            verdicts, rounds = not_judged(claims, judging, self.rounds, reason), self.rounds
        elif self.pending and self._unfinished(finished):
            reason = "cells that it needs have no result, so the look was not taken"
            verdicts, rounds = not_judged(claims, judging, self.rounds, reason), self.rounds
        else:
            verdicts, rounds = verdicts_at(claims, judging, self.rounds, self.look), self.rounds
            if self.pending:
                arms = {arm: len(self.plan.seeds_of(arm)) for arm in self.plan.study.arms}
                rounds = with_look(rounds, self.look, verdicts, arms=arms, seconds=seconds)
        return with_seeds_needed(claims, verdicts), rounds

    @cached_property
    def new_cells(self) -> set[str]:
        """Ids of the cells that no look before this one had."""
        if not self.look:
            return set(self.plan.by_id)
        return self.plan.by_id.keys() - plan_at(self.study, self.rounds, self.look - 1).by_id.keys()

    @property
    def _last(self) -> int:
        return max(self.rounds.taken - 1, 0)

    def _unfinished(self, finished: Collection[str]) -> bool:
        """Whether a cell is missing without which an undecided claim cannot be judged."""
        claims = [c for c in family(self.plan.study.claims) if c.id not in self.rounds.decided]
        arms = set[str]().union(*(involved_arms(self.plan, claim) for claim in claims))
        return any(cell.arm in arms and cell.id not in finished for cell in self.plan.cells)


def round_of(plan: Plan, rounds: RoundsRecord) -> Round:
    """The look that comes next, or if there is none the last one that was taken."""
    look = next_look(rounds)
    return Round(plan, rounds, rounds.taken - 1 if look is None else look)


def begun_rounds(plan: Plan, folder: RunFolder, most: int | None, *, amend: bool) -> RoundsRecord:
    """The looks at a study in its folder: those that were begun there, else planned now.

    Args:
        plan: The study as it is written.
        folder: Its run folder.
        most: Seeds at the last look; default: as begun, else four times the study's.
        amend: Plan new looks where others were taken at other claims or networks.

    Raises:
        RunFolderError: If looks were taken that these claims, seeds or ``most`` do not fit.
        ConfigError: If the study has no claims to decide, or ``most`` is less than its seeds.
    """
    earlier = _rounds_in(folder)
    if earlier is not None and earlier.taken and _same_claims(plan, earlier, folder, amend=amend):
        begun, seeds = list(earlier.seeds), plan.study.seeds
        if seeds != begun[0] or (most is not None and planned_looks(seeds, most) != begun):
            raise RunFolderError(
                f"the looks of {folder.path} are planned, and {earlier.taken} of them taken",
                expected=f"looks at {', '.join(map(str, begun))} seeds",
                got=f"a first look at {seeds} seeds" + (f" and at most {most}" if most is not None else ""),
                remedy="leave out --seeds and --most-seeds; or take other seeds (--seeds-from) to another "
                "folder with --out",
            )
        return earlier
    rounds = planned_rounds(plan, most)
    if earlier is not None and earlier.key == rounds.key:
        # The same looks, none taken yet: by now claims.json may be their own, of a look that was put off.
        judged_before = earlier.judged_before
    else:
        # Judging before the looks were planned was a look that no level was spent on; the page says so.
        judged_before = (folder / CLAIMS).is_file()
    return rounds.model_copy(update={"judged_before": judged_before})


def earlier_round(plan: Plan, folder: RunFolder, *, amend: bool) -> Round | None:
    """For a run that takes no look: the last look in its folder, whose verdicts stay; None without one.

    A verdict at 95 % alongside them would be a further look, for which no error probability is left.

    Raises:
        RunFolderError: If looks were taken at other claims or networks than the plan's.
    """
    rounds = _rounds_in(folder)
    if rounds is None or not rounds.taken or not _same_claims(plan, rounds, folder, amend=amend):
        return None
    last = Round(plan, rounds, rounds.taken - 1)
    arms = set[str]().union(*(involved_arms(plan, claim) for claim in family(plan.study.claims)))
    seeds = rounds.looks[rounds.taken - 1].arms
    as_taken = all(len(last.plan.seeds_of(arm)) == seeds.get(arm) for arm in arms)
    return last if as_taken else Round(plan, rounds, None)


def _rounds_in(folder: RunFolder) -> RoundsRecord | None:
    record = folder.readable_record()
    return record.rounds if record is not None else None


def _same_claims(plan: Plan, rounds: RoundsRecord, folder: RunFolder, *, amend: bool) -> bool:
    """Whether the looks were taken at the plan's claims; if not, without ``amend`` they are refused."""
    same = rounds.key == judged_key(plan)
    if not same and not amend:
        raise RunFolderError(
            f"{rounds.taken} of the looks of {folder.path} are taken, at other claims or networks",
            expected="the claims that were judged, on the same networks and splits",
            got="a claim, or a network or split that one is about, that has changed",
            remedy="exploratory = true for claims that are new; another folder with --out; or --amend, which "
            "judges all claims again",
        )
    return same


@dataclass(frozen=True)
class Durations:
    """How long trainings take, from the records of those that are done.

    Attributes:
        root: The run folder.
    """

    root: Path

    def missing(self, plan: Plan) -> set[str]:
        """Ids of the cells of a plan that are not finished."""
        return {cell.id for cell in plan.by_id.values() if self._seconds(cell) is None}

    def spent(self, plan: Plan, ids: Collection[str]) -> float:
        """Total seconds of the trainings of some cells; those without a result count as 0."""
        return fsum(self._seconds(plan.by_id[cell_id]) or 0.0 for cell_id in ids)

    def expected(self, plan: Plan, workers: int) -> float:
        """Expected seconds of the missing cells: their arm's mean (0 without one), over the workers."""
        by_arm: dict[str, list[float]] = {}
        missing = []
        for cell in plan.by_id.values():
            seconds = self._seconds(cell)
            if seconds is None:
                missing.append(cell.arm)
            else:
                by_arm.setdefault(cell.arm, []).append(seconds)
        return sum(sum(by_arm[arm]) / len(by_arm[arm]) for arm in missing if arm in by_arm) / workers

    def _seconds(self, cell: Cell) -> float | None:
        record = record_of_cell(cell_folder(self.root, cell.id), cell)
        return record.durations.get("total", 0.0) if record is not None and record.status == "done" else None
