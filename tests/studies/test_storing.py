"""A study whose teachers answer once."""

from __future__ import annotations

import numpy as np
import pytest

import bequest as bq
from bequest.errors import ConfigError
from bequest.records import RunRecord, read_record
from bequest.studies.cells import cell_folder
from bequest.studies.plan import make_plan, resolve
from bequest.studies.runner import planned


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
    logits, records = {}, {}
    for arm in ("mlp<-cnn", "stored", "stored hard"):
        folder = cell_folder(tmp_path / "run", plan.cell(arm, 0).id)
        logits[arm] = np.load(folder.outputs("moved"))["logits"]
        records[arm] = read_record(folder.record, RunRecord)
    np.testing.assert_allclose(logits["stored"], logits["mlp<-cnn"], rtol=1e-3, atol=1e-3)
    assert not np.allclose(logits["stored hard"], logits["stored"], atol=1e-2)
    assert len(list((tmp_path / "run" / "stores").iterdir())) == 1
    (stored,), (live,) = records["stored"].teachers, records["mlp<-cnn"].teachers
    assert (stored.mode, stored.arm, stored.cell) == ("stored", "cnn", live.cell)
    assert stored.digest_before == live.digest_before


def test_a_codec_decides_the_cell_and_only_of_stored_arms(tiny):
    def ids(**change):
        study = with_stored(tiny)
        study["arms"]["stored"].update(change)
        plan = make_plan(resolve(study), scale="small")
        return {arm: plan.cell(arm, 0).id for arm in ("mlp<-cnn", "stored")}

    plain, other = ids(), ids(codec={"name": "topk", "k": 3})
    assert plain["mlp<-cnn"] == other["mlp<-cnn"]
    assert plain["stored"] != other["stored"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"codec": "float8"}, "arms.stored.codec: .*float8"),
        ({"codec": {"name": "topk", "q": 3}}, "arms.stored.codec: .*unknown key"),
        ({"teachers": []}, "arms.stored.mode: only the answers of teachers can be stored"),
    ],
)
def test_faults_of_a_stored_arm_are_found_before_anything_runs(tiny, change, text):
    study = with_stored(tiny)
    study["arms"]["stored"].update(change)
    with pytest.raises(ConfigError, match=text):
        make_plan(resolve(study), scale="small")
