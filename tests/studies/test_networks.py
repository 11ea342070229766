"""The networks of cells, before and after training."""

from __future__ import annotations

import shutil

import pytest
import torch

from bequest.errors import RunFolderError
from bequest.models import build_model
from bequest.models.weights import save_weights, weights_digest
from bequest.records import RunRecord, read_record
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder
from bequest.studies.networks import initial_network, trained_network


def test_an_initial_network_follows_from_the_cells_seed(finished):
    plan = planned(finished[0] / "study.toml")
    cell = plan.cell("mlp", 1)
    expected = build_model("mlp", (1, 12, 12), 10, seed=cell.initial_seed, hidden=[16])
    assert weights_digest(initial_network(cell)) == weights_digest(expected)
    assert weights_digest(initial_network(plan.cell("mlp", 0))) != weights_digest(expected)


def test_a_trained_network_has_the_weights_of_the_cells_record(finished):
    folder, _, _ = finished
    cell = planned(folder / "study.toml").cell("cnn", 0)
    network = trained_network(folder / "run", cell)
    record = read_record(cell_folder(folder / "run", cell.id).record, RunRecord)
    assert weights_digest(network) == record.weights_digest
    assert not torch.equal(next(network.parameters()), next(initial_network(cell).parameters()))


def test_other_weights_than_the_record_names_are_refused(finished, tmp_path):
    folder, _, _ = finished
    cell = planned(folder / "study.toml").cell("mlp", 0)
    shutil.copytree(cell_folder(folder / "run", cell.id).path, cell_folder(tmp_path, cell.id).path)
    save_weights(
        cell_folder(tmp_path, cell.id).weights, build_model("mlp", (1, 12, 12), 10, seed=9, hidden=[16])
    )
    with pytest.raises(RunFolderError, match="does not hold the weights that its cell trained"):
        trained_network(tmp_path, cell)
