"""A cell of the solvable model: one draw at each of its points."""

from __future__ import annotations

import time

import numpy as np

from bequest.files import file_digest, write_json
from bequest.provenance import Provenance
from bequest.records import RunRecord
from bequest.studies.cell import Cell, CellFolder, SimulationConfig
from bequest.studies.solvable import ModelPoint
from bequest.theory import simulate_chain


def simulated(cell: Cell, folder: CellFolder, started: float) -> RunRecord:
    """Draw the solvable model at each point of the cell, measure the arm, and write its observables."""
    config = cell.config
    assert isinstance(config, SimulationConfig)
    by_key = {}
    for plain in config.points:
        point = ModelPoint.of(plain)
        simulation = simulate_chain(
            *point.built(),
            inputs=config.inputs,
            seeds=[cell.seed],
            samples=config.samples,
            workers=1,  # the cells are spread over processes already
        )
        # The last learner of the chain is the arm itself, those before it are its teachers.
        observables = {name: float(values[0]) for name, values in simulation.measured[-1].items()}
        # None for an undefined observable: JSON has no NaN.
        by_key[point.key] = {
            name: value if np.isfinite(value) else None for name, value in observables.items()
        }
    write_json(folder.simulation, by_key)
    return RunRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status="done",
        config=config.plain(),
        provenance=Provenance.here(),
        durations={"total": time.perf_counter() - started},
        files={folder.relative(folder.simulation): file_digest(folder.simulation)},
    )
