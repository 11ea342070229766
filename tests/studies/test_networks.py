"""The networks of cells, before and after training."""

from __future__ import annotations

import shutil

import pytest
import torch

from bequest.errors import ConfigError, ModelError, RunFolderError
from bequest.models import build_model
from bequest.models.taps import head_of
from bequest.models.weights import save_weights, weights_digest
from bequest.record_files import read_record
from bequest.records import RunRecord
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


def test_an_arm_may_start_with_weights_of_its_teacher(tiny, finished):
    """Compared with networks built from the teacher's seed, and with its trained weights."""
    folder, _, _ = finished
    teacher = planned(folder / "study.toml").cell("mlp", 0)
    parts = ("teacher's initial weights", "teacher's initial head", "teacher's head")
    for part in parts:
        tiny["arms"][part] = {"student": "mlp", "teachers": ["mlp"], "initial": part}
    plan = planned(tiny)
    assert plan.cell("mlp", 0).id == teacher.id
    whole, initial_head, trained_head = (
        initial_network(plan.cell(part, 0), folder / "run") for part in parts
    )
    first, last = initial_network(teacher), trained_network(folder / "run", teacher)
    assert weights_digest(whole) == weights_digest(first)
    for network, source in ((initial_head, first), (trained_head, last)):
        assert torch.equal(head_of(network)[1].weight, head_of(source)[1].weight)
        assert torch.equal(head_of(network)[1].bias, head_of(source)[1].bias)
    alone = initial_network(planned(tiny).cell("mlp<-mlp", 0))
    hidden = [name for name in alone.state_dict() if not name.startswith(f"{head_of(alone)[0]}.")]
    assert hidden
    for network in (initial_head, trained_head):
        assert all(torch.equal(network.state_dict()[name], alone.state_dict()[name]) for name in hidden)
    assert len({plan.cell(arm, 0).id for arm in (*parts, "mlp<-mlp")}) == 4


def test_a_head_of_another_width_is_refused(tiny):
    tiny["models"]["wide"] = {"family": "mlp", "options": {"hidden": [24]}}
    tiny["arms"]["wide<-mlp"] = {"student": "wide", "teachers": ["mlp"], "initial": "teacher's initial head"}
    with pytest.raises(ModelError, match="head does not fit") as refused:
        initial_network(planned(tiny).cell("wide<-mlp", 0))
    assert "expected: 16 features and 10 outputs" in str(refused.value)


@pytest.mark.parametrize(
    ("arm", "fault"),
    [
        ({"student": "mlp"}, "there is no teacher whose weights it could take"),
        ({"student": "mlp", "teachers": ["cnn"]}, "mlp and cnn are different networks"),
    ],
)
def test_an_arm_that_cannot_start_so_is_a_fault(tiny, arm, fault):
    tiny["arms"]["odd"] = {**arm, "initial": "teacher's initial weights"}
    with pytest.raises(ConfigError, match=fault):
        planned(tiny)
