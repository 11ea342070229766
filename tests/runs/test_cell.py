"""Training one cell: its files, its record, and its failures."""

from __future__ import annotations

import json
import shutil

import pytest

from bequest.evidence.kinds import readings_of
from bequest.files import file_digest
from bequest.models.weights import save_weights
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.cell import run_cell
from bequest.runs.planning import planned
from bequest.runs.reading import Made, read_cell
from bequest.runs.survey import state_of
from bequest.studies.cell import cell_folder
from bequest.studies.networks import initial_network


def test_the_record_names_every_file_with_its_digest(tiny, tmp_path):
    plan = planned(tiny)
    cell = plan.cell("mlp", 0)
    record = run_cell(plan, cell, tmp_path)
    folder = cell_folder(tmp_path, cell.id)
    assert record == read_record(folder.record, RunRecord)
    assert (record.status, record.error, record.needs) == ("done", None, {})
    assert record.files == {
        name: file_digest(folder.path / name) for name in ("metrics.jsonl", "weights.safetensors")
    }
    assert {path.name for path in folder.path.iterdir()} == {
        "metrics.jsonl",
        "record.json",
        "weights.safetensors",
    }
    assert record.config == cell.config.plain()
    assert set(record.durations) == {"preparation", "training", "total"}
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]


def test_snapshots_are_files_of_the_training(tiny, tmp_path):
    tiny["recipe"]["epochs"] = 3
    plan = planned(tiny)
    cell = plan.cell("mlp", 0)
    record = run_cell(plan, cell, tmp_path, snapshots=True)
    taken = {name for name in record.files if name.startswith("snapshots/")}
    assert taken == {f"snapshots/{epoch:05d}.npz" for epoch in (0, 1, 2, 3)}
    state = state_of(tmp_path, cell)
    assert (state.trained, state.snapshots) == (True, True)


def test_readings_of_the_same_weights_outlast_another_training(tiny, tmp_path):
    plan = planned(tiny)
    cell = plan.cell("mlp", 0)
    run_cell(plan, cell, tmp_path)
    wanted = readings_of(plan)[cell.id]
    assert read_cell(cell, tmp_path, wanted) == Made(len(wanted))
    run_cell(plan, cell, tmp_path, snapshots=True)
    assert state_of(tmp_path, cell).lacking(wanted) == {}
    save_weights(cell_folder(tmp_path, cell.id).weights, initial_network(cell))
    run_cell(plan, cell, tmp_path)
    assert state_of(tmp_path, cell).lacking(wanted) == {}


def test_queries_that_are_made_come_from_the_study(tiny, tmp_path):
    """New inputs each step are asked about once each; a pool of them like any other pool, and stored too."""
    counted = {"share": 0.5, "generate": {"name": "normal", "clip": True}, "count": 100}
    tiny["queries"] = {
        "noise": [{"share": 0.5}, {"share": 0.5, "generate": "uniform"}],
        "pool": [{"share": 0.5}, counted | {"views": "flip", "view_count": 2}],
        "part": [{"share": 0.5}, counted | {"active": {"by": "coverage", "budget": 40, "rounds": 2}}],
    }
    common = {"student": "mlp", "teachers": ["mlp"]}
    tiny["arms"] = {"mlp": {"student": "mlp"}} | {
        name: common | {"queries": name} for name in tiny["queries"]
    }
    tiny["arms"]["stored"] = common | {"queries": "pool", "mode": "stored"}
    tiny["recipe"]["epochs"] = 2
    del tiny["answer"], tiny["claims"]
    plan = planned(tiny)
    run_cell(plan, plan.cell("mlp", 0), tmp_path)
    records = {arm: run_cell(plan, plan.cell(arm, 0), tmp_path) for arm in (*tiny["queries"], "stored")}
    assert {arm: record.error for arm, record in records.items()} == dict.fromkeys(records)
    rows = 32 * 2 * (1297 // 64)  # of each source; less than one pass over the clean images
    assert {arm: record.asked["mlp"] for arm, record in records.items()} == {
        "noise": rows + rows,
        "pool": rows + 2 * 100,
        "part": rows + 40,
        "stored": 1297 + 2 * 100,
    }
    assert records["stored"].weights_digest == records["pool"].weights_digest
    again = run_cell(plan, plan.cell("noise", 0), tmp_path)
    assert again.weights_digest == records["noise"].weights_digest
    assert len({plan.cell(arm, 0).id for arm in tiny["arms"]}) == len(tiny["arms"])


def test_a_missing_teacher_fails_the_cell(tiny, tmp_path):
    plan = planned(tiny)
    cell = plan.cell("mlp<-cnn", 0)
    record = run_cell(plan, cell, tmp_path)
    assert record.status == "failed"
    assert str(cell_folder(tmp_path, cell.teachers["cnn"]).weights) in record.error
    assert record.needs == {"cnn": cell.teachers["cnn"]}
    assert not cell_folder(tmp_path, cell.id).weights.exists()
    assert not state_of(tmp_path, cell).trained


def test_a_failure_of_the_training_is_recorded(tiny, tmp_path):
    tiny["arms"]["mlp"]["recipe"] = {"optimizer": "sgd", "lr": 1e30}
    plan = planned(tiny)
    record = run_cell(plan, plan.cell("mlp", 0), tmp_path)
    assert record.status == "failed"
    assert "is not finite at step" in record.error
    assert record.config["recipe"]["lr"] == 1e30


def test_an_error_that_is_not_ours_is_recorded_with_its_name(tiny, tmp_path, monkeypatch):
    def broken(*arguments):
        raise MemoryError("not that much")

    monkeypatch.setattr("bequest.runs.cell._lesson", broken)
    plan = planned(tiny)
    assert run_cell(plan, plan.cell("mlp", 0), tmp_path).error == "MemoryError: not that much"


def test_an_interrupt_passes_through(tiny, tmp_path, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("bequest.runs.cell._lesson", stopped)
    plan = planned(tiny)
    with pytest.raises(KeyboardInterrupt):
        run_cell(plan, plan.cell("mlp", 0), tmp_path)
    assert not cell_folder(tmp_path, plan.cell("mlp", 0).id).record.exists()


def test_a_teacher_is_recorded_with_its_cell_and_how_it_answered(finished, tmp_path, tiny):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    for mode in ("noisy", "online"):
        tiny["arms"][mode] = {"student": "mlp", "teachers": ["cnn"], "mode": mode}
    plan = planned(tiny)
    for mode in ("noisy", "online"):
        cell = plan.cell(mode, 0)
        record = run_cell(plan, cell, tmp_path / "run")
        assert record.status == "done", record.error
        (teacher,) = record.teachers
        assert (teacher.mode, teacher.arm, teacher.cell) == (mode, "cnn", cell.teachers["cnn"])
        assert (teacher.digest_before == teacher.digest_after) == (mode == "noisy")
