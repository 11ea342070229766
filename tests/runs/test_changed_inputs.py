"""What decides a result is in its key: data on disk, users' optimizers, transforms and corruptions."""

from __future__ import annotations

import numpy as np
import pytest

from bequest import parts
from bequest.evidence.reading import Severity, answers_on, probe_split
from bequest.parts import load_parts
from bequest.runs.planning import planned
from bequest.studies.spec import DataSpec

SOURCE = """
import torch
from bequest.data.transforms import Transform
from bequest.distill.recipe import OPTIMIZERS
from bequest.variants import strict

@OPTIMIZERS.register("my_sgd")
class MySGD(torch.optim.SGD):
    momentum = 0

@strict
class Flipped(Transform, name="my_flip"):
    def __call__(self, x):
        return x.flip(-1)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    for module in [name for name in parts._contents if name.startswith(parts.PREFIX)]:
        parts._forget(str(path.resolve()), module)


def test_a_changed_optimizer_is_another_training_and_a_changed_transform_another_reading(tiny, file):
    load_parts([file])
    tiny["recipe"]["optimizer"] = "my_sgd"
    tiny["splits"]["moved"]["variants"] = [{"name": "my_flip"}]
    before = planned(tiny)
    cell = before.cell("mlp", 0)
    reading = answers_on(before.study, "moved").id_for(cell.id)
    file.write_text(SOURCE.replace("x.flip(-1)", "x.flip(-2)"))
    load_parts([file])
    turned = planned(tiny)
    assert turned.cell("mlp", 0).id == cell.id
    assert answers_on(turned.study, "moved").id_for(cell.id) != reading
    file.write_text(SOURCE.replace("momentum = 0", "momentum = 1"))
    load_parts([file])
    assert planned(tiny).cell("mlp", 0).id != cell.id


def test_data_on_disk_is_told_apart_by_content(tiny, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 8, 8)).astype(np.float32), np.arange(60) % 3

    def written(labels):
        np.savez(tmp_path / "d.npz", x=x, y=labels)
        tiny["data"] = {"name": f"npz:{tmp_path / 'd.npz'}"}
        return planned(tiny)

    first = written(y)
    again = written(y)
    assert [cell.id for cell in again.cells] == [cell.id for cell in first.cells]
    other = written(y[::-1].copy())
    assert not {cell.id for cell in other.cells} & {cell.id for cell in first.cells}
    data = DataSpec.model_validate(tiny["data"])
    reading = Severity(data=data, split=probe_split(other.study), family="fog")
    identity = reading.id_for("cell")
    written(y)
    assert reading.id_for("cell") != identity


def test_a_part_that_calls_another_changes_with_it(file):
    source = """
from bequest.models.catalogue import MODELS
from torch import nn

@MODELS.register("base_of_mine")
def base_of_mine(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.ReLU())

@MODELS.register("wide_of_mine")
def wide_of_mine(input_shape, classes):
    return base_of_mine(input_shape, classes)
"""
    file.write_text(source)
    load_parts([file])
    before = parts.part_of("model", "wide_of_mine").digest
    file.write_text(source.replace("nn.ReLU", "nn.Tanh"))
    load_parts([file])
    assert parts.part_of("model", "wide_of_mine").digest != before
