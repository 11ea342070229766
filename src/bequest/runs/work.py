"""Doing one job of a run, in whatever process."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bequest.errors import BequestError
from bequest.evidence.kinds import readings_of, snapshot_cells
from bequest.evidence.reading import Reading
from bequest.runs.cell import run_cell
from bequest.runs.reading import read_cell
from bequest.runs.survey import READ
from bequest.studies.plan import Plan


class Workbench:
    """What a process needs to do jobs of one run.

    Args:
        plan: The study.
        root: The run folder.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan = plan
        self.root = root

    def do(self, action: str, cell_id: str) -> tuple[str, str | None]:
        """Train a cell or make its readings; returns ``done`` or ``failed``, and the error."""
        cell = self.plan.by_id[cell_id]
        if action == READ:
            try:
                read_cell(cell, self.root, self._readings.get(cell_id, ()))
            except BequestError as error:
                return "failed", str(error)
            except Exception as error:  # a user's model or reading may raise anything
                return "failed", f"{type(error).__name__}: {error}"
            return "done", None
        record = run_cell(self.plan, cell, self.root, snapshots=cell.id in self._snapshot_cells)
        return record.status, record.error

    @cached_property
    def _readings(self) -> dict[str, tuple[Reading, ...]]:
        return readings_of(self.plan)

    @cached_property
    def _snapshot_cells(self) -> set[str]:
        return snapshot_cells(self.plan)
