"""A study whose teachers answer once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.data.batches import Source
from bequest.data.datasets import load_dataset
from bequest.data.queries import Generated
from bequest.data.views import Identity, Shift
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import KD
from bequest.distill.recipe import Recipe
from bequest.errors import ConfigError
from bequest.evidence.readings import Readings
from bequest.models import build_model
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.planning import planned
from bequest.runs.store import seeded
from bequest.studies.cell import cell_folder

pytestmark = pytest.mark.usefixtures("one_worker_here")


def with_stored(tiny):
    """The taught arm live, from a store, and from the same store with another objective."""
    arms = tiny["arms"]
    arms["stored"] = {**arms["mlp<-cnn"], "mode": "stored"}
    arms["stored hard"] = {**arms["stored"], "objective": {"name": "hard"}}
    return tiny


def test_a_stored_arm_is_the_live_arm_and_arms_share_a_store(tiny, write_study, tmp_path):
    path = write_study(with_stored(tiny))
    arms = ["mlp<-cnn", "stored", "stored hard"]
    result = bq.run(path, out=tmp_path / "run", seeds=1, arms=arms, workers=2)
    assert result.failed == ()
    plan = planned(path, seeds=1, arms=arms)
    readings = Readings(plan, tmp_path / "run")
    logits, records = {}, {}
    for arm in ("mlp<-cnn", "stored", "stored hard"):
        folder = cell_folder(tmp_path / "run", plan.cell(arm, 0).id)
        logits[arm] = readings.predictions(arm, 0, "moved").logits
        records[arm] = read_record(folder.record, RunRecord)
    np.testing.assert_allclose(logits["stored"], logits["mlp<-cnn"], rtol=1e-3, atol=1e-3)
    assert not np.allclose(logits["stored hard"], logits["stored"], atol=1e-2)
    assert len(list((tmp_path / "run" / "stores").iterdir())) == 1
    (stored,), (live,) = records["stored"].teachers, records["mlp<-cnn"].teachers
    assert (stored.mode, stored.arm, stored.cell) == ("stored", "cnn", live.cell)
    assert stored.digest_before == live.digest_before
    assert records["stored"].store == records["stored hard"].store
    assert (tmp_path / "run" / "stores" / records["stored"].store).is_dir()
    assert records["mlp<-cnn"].store is None


def test_every_view_that_a_run_will_show_is_stored(tiny):
    data = load_dataset("digits")
    sources = (
        Source("plain", data["train"], Identity(), 0.5),
        Source("moved", data["train"], Shift(1), 0.5),
    )
    recipe = Recipe(epochs=4, batch=64)
    lesson = Lesson(build_model("mlp", (1, 12, 12), 10, seed=0), data, sources, KD(), recipe, 7)
    plain, moved = seeded(lesson)
    steps = recipe.total_steps(len(data["train"]))
    assert (plain.view_count, plain.view_seed) == (1, 7)
    assert moved.view_count == -(-steps // (len(data["train"]) // 32))
    assert moved.view_seed == 7


def test_inputs_that_are_made_for_each_step_cannot_be_stored(tiny):
    data = load_dataset("digits")
    lesson = Lesson(
        build_model("mlp", (1, 12, 12), 10, seed=0),
        data,
        (Generated("noise", lambda rows, generator: torch.rand(rows, 1, 12, 12, generator=generator)),),
        KD(),
        Recipe(epochs=1, batch=64),
        0,
    )
    with pytest.raises(ConfigError, match="inputs made for each step cannot be stored"):
        seeded(lesson)
