"""A cell: its identity, its seed and its files."""

from __future__ import annotations

from pathlib import Path

from bequest.runs.planning import planned
from bequest.seeding import derive
from bequest.studies.cell import SimulationConfig, cell_folder, cell_id


def test_plain_arms_share_initial_weights_and_taught_arms_others(tiny):
    tiny["arms"]["mlp again"] = {"student": "mlp", "restart": 1}
    plan = planned(tiny)
    seeds = {arm: plan.cell(arm, 1).initial_seed for arm in tiny["arms"]}
    assert seeds["mlp"] == seeds["cnn"] == derive(1, "student", "alone")
    assert seeds["mlp<-mlp"] == seeds["mlp<-cnn"] == derive(1, "student", "taught")
    assert seeds["mlp again"] == derive(1, "student", "alone", 1)
    assert len(set(seeds.values())) == 3
    assert plan.cell("mlp", 0).initial_seed != seeds["mlp"]


def test_an_id_is_of_configuration_teachers_and_seed():
    config = SimulationConfig(points=(), inputs=10, samples=100)
    ids = [
        cell_id(config, {}, 0),
        cell_id(config, {}, 1),
        cell_id(config, {"a": "1", "b": "2"}, 0),
        cell_id(config, {"a": "2", "b": "1"}, 0),
        cell_id(config.model_copy(update={"inputs": 11}), {}, 0),
    ]
    assert len(set(ids)) == 5
    assert cell_id(config, {"other name": "1", "b": "2"}, 0) == ids[2]


def test_a_file_is_named_relative_to_the_cell():
    folder = cell_folder(Path("run"), "abc")
    assert folder.relative(folder.reading("def")) == "readings/def.npz"
    assert folder.relative(folder.snapshot(12)) == "snapshots/00012.npz"
    assert folder.record == Path("run/cells/abc/record.json")
