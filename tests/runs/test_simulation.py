"""A cell of the solvable model."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest.files import file_digest, read_json
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder
from bequest.studies.solvable import model_point
from bequest.theory import Mixture, simulate

pytestmark = pytest.mark.usefixtures("one_worker_here")


def test_a_cell_holds_what_simulate_gives(simulated):
    folder, result = simulated
    assert result.trained == 9
    assert result.read == 0
    assert result.failed == ()
    plan = planned(folder / "study.toml")
    files = cell_folder(folder / "run", plan.cell("student", 2).id)
    observables = read_json(files.simulation)[model_point(plan.study, "student", {}).key]
    run = simulate(
        Mixture(2.0, 1.0, 0.2),
        lambda_teacher=1.0,
        lambda_student=0.1,
        eta=0.5,
        inputs=40,
        seeds=[2],
        samples=200,
    )
    assert observables == {name: value[0] for name, value in run.measured[-1].items()}
    record = read_record(files.record, RunRecord)
    assert record.files == {"simulation.json": file_digest(files.simulation)}


def test_the_same_command_again_draws_nothing(simulated):
    folder, _ = simulated
    result = bq.run(folder / "study.toml", out=folder / "run")
    assert (result.trained, result.conclusion) == (0, "nothing")


@pytest.mark.parametrize("damage", [b"{}", None])
def test_a_damaged_simulation_is_drawn_again_with_the_same_bytes(simulated, damage):
    folder, _ = simulated
    path = cell_folder(folder / "run", planned(folder / "study.toml").cell("plain", 0).id).simulation
    before = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert bq.run(folder / "study.toml", out=folder / "run", workers=1).trained == 1
    assert path.read_bytes() == before
