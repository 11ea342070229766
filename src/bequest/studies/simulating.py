"""The work of a cell of the solvable model: one draw at each of its settings."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from bequest.files import write_json
from bequest.records import Provenance, RunRecord
from bequest.studies.plan import Cell
from bequest.studies.solvable import Setting
from bequest.theory import simulate_chain


def simulated(cell: Cell, path: Path, started: float) -> RunRecord:
    """Draw the solvable model at each setting of the cell; measure the arm, and keep it at ``path``."""
    found = {}
    for plain in cell.config["settings"]:
        setting = Setting.of(plain)
        run = simulate_chain(
            *setting.built(),
            inputs=cell.config["inputs"],
            seeds=[cell.seed],
            samples=cell.config["samples"],
            workers=1,
        )
        values = {name: float(one[0]) for name, one in run.measured[-1].items()}
        found[setting.key] = {name: value if np.isfinite(value) else None for name, value in values.items()}
    write_json(path, found)
    return RunRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status="done",
        config=cell.config,
        provenance=Provenance.here(),
        durations={"total": time.perf_counter() - started},
    )
