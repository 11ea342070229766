"""A checked study as cells: their order, what decides their ids, and the hashes of a plan."""

from __future__ import annotations

import pytest

from bequest.errors import ConfigError
from bequest.evidence.kind import cells_of
from bequest.evidence.kinds import readings_of
from bequest.runs.planning import planned
from bequest.studies.cost import study_cost
from bequest.studies.plan import with_seeds


def ids_of(plan):
    return {(cell.arm, cell.seed): cell.id for cell in plan.cells}


def test_cells_come_after_their_teachers(tiny):
    plan = planned(tiny)
    assert len(plan.cells) == 8
    seen = set()
    for cell in plan.cells:
        assert set(cell.teachers.values()) == cell.requires
        assert cell.requires <= seen
        assert cell.plain is None or cell.plain in seen
        seen.add(cell.id)
    taught = plan.cell("mlp<-cnn", 1)
    assert taught.teachers == {"cnn": plan.cell("cnn", 1).id}
    assert taught.plain == plan.cell("mlp", 1).id
    assert plan.by_id[taught.id] is taught
    assert list(plan.seeds) == [0, 1]


def test_an_arm_may_have_more_seeds_than_the_study_and_its_teachers_as_many(tiny):
    tiny["arms"]["cnn"]["seeds"] = 4
    tiny["arms"]["mlp<-cnn"]["seeds"] = 3
    plan = planned(tiny)
    assert {arm: list(plan.seeds_of(arm)) for arm in plan.study.arms} == {
        "cnn": [0, 1, 2, 3],
        "mlp": [0, 1],
        "mlp<-mlp": [0, 1],
        "mlp<-cnn": [0, 1, 2],
    }
    assert (len(plan.cells), list(plan.seeds)) == (11, [0, 1, 2, 3])
    assert plan.cell("mlp<-cnn", 1).plain == plan.cell("mlp", 1).id
    assert plan.cell("mlp<-cnn", 2).plain is None
    assert [cell.seed for cell in cells_of(plan, "mlp<-cnn")] == [0, 1, 2]
    assert {cost.arm: cost.cells for cost in study_cost(plan)}["cnn"] == 4
    assert {c.id for c in planned(tiny, settings=["arms.cnn.seeds=3"]).cells} < {c.id for c in plan.cells}


def test_an_arm_with_fewer_seeds_than_one_that_needs_it_is_a_fault(tiny):
    tiny["arms"]["mlp<-cnn"]["seeds"] = 3
    with pytest.raises(ConfigError) as caught:
        planned(tiny)
    assert "arms.cnn.seeds: mlp<-cnn has 3 seeds and needs it at each; it has 2" in str(caught.value)


def test_other_numbers_of_seeds_leave_the_rest_of_the_plan_as_it_is(tiny):
    plan = planned(tiny)
    grown = with_seeds(plan, {"cnn": 3, "mlp": 2})
    assert grown.resolved["arms"]["cnn"] == {**plan.resolved["arms"]["cnn"], "seeds": 3}
    assert with_seeds(grown, {"cnn": 2}).resolved == plan.resolved
    assert "seeds" not in plan.resolved["arms"]["cnn"]
    with pytest.raises(ConfigError, match="mlp<-cnn has 3 seeds"):
        with_seeds(plan, {"mlp<-cnn": 3})


def test_an_id_follows_from_all_that_decides_the_result_and_nothing_else(tiny):
    before = ids_of(planned(tiny))
    assert len(set(before.values())) == 8
    tiny["title"] = "Another title"
    tiny["claims"] = []
    tiny["splits"]["far"] = {"description": "far", "variants": [{"name": "translate", "dx": 3}]}
    tiny["measures"] = {"splits": ["moved"], "corruptions": ["translate"], "training": {"reach": 0.5}}
    assert ids_of(planned(tiny)) == before
    tiny["models"]["cnn"]["options"]["channels"] = [5]
    after = ids_of(planned(tiny))
    changed = {arm for (arm, seed), name in after.items() if before[arm, seed] != name}
    assert changed == {"cnn", "mlp<-cnn"}


@pytest.mark.parametrize(
    "setting",
    [
        "recipe.lr=0.5",
        "recipe.epochs=2",
        "data.options={border=3}",
        "arms.mlp.objective={name='cross_entropy', smoothing=0.1}",
        "arms.mlp.queries='views'",
        "arms.mlp.restart=1",
    ],
)
def test_every_setting_that_matters_changes_the_id(tiny, setting):
    assert planned(tiny).cell("mlp", 0).id != planned(tiny, settings=[setting]).cell("mlp", 0).id


def test_a_default_that_is_written_out_decides_the_same_cell(tiny):
    plain = planned(tiny).cell("mlp", 0)
    written = planned(tiny, settings=["arms.mlp.objective.name='cross_entropy'", "arms.mlp.mode='eval'"])
    assert written.cell("mlp", 0).id == plain.id


def test_a_text_for_readers_changes_the_hash_and_no_measurement(tiny):
    plan = planned(tiny)
    tiny["title"], tiny["claims"] = "Another title", []
    other = planned(tiny)
    assert other.hash != plan.hash
    assert other.measuring_key == plan.measuring_key
    tiny["splits"]["moved"]["variants"][0]["dx"] = 2
    assert planned(tiny).measuring_key != plan.measuring_key


def test_a_claim_names_arms_by_their_labels(tiny):
    tiny["arms"]["mlp"]["label"] = "an MLP"
    tiny["arms"]["mlp<-cnn"]["label"] = "its student"
    claim = {
        "id": "c",
        "source": "s",
        "measure": "agreement",
        "arm": "mlp<-cnn",
        "against": "mlp",
        "teacher": "cnn",
    }
    text = "{arm.label} agrees with {teacher.label} more than {against.label} {does}."
    tiny["claims"] = [{**claim, "text": text}, {**claim, "id": "d", "text": "As it is."}]
    worded = [claim.text for claim in planned(tiny).study.claims]
    assert worded == ["its student agrees with cnn more than an MLP {does}.", "As it is."]
    tiny["arms"]["mlp"]["label"] = "the MLP"
    assert planned(tiny).study.claims[0].text.endswith("more than the MLP {does}.")


def test_a_claim_on_what_is_measured_only_where_it_is_named_decides_the_measurements(tiny):
    tiny["claims"] = []
    plan = planned(tiny)
    claim = {"id": "c", "text": "t", "source": "s", "arm": "cnn", "split": "test"}
    tiny["claims"] = [{**claim, "measure": "accuracy"}]
    assert planned(tiny).measuring_key == plan.measuring_key
    tiny["claims"] = [{**claim, "measure": "aurc"}]
    assert planned(tiny).measuring_key != plan.measuring_key
    tiny["measures"] = {"profile": ["accuracy", "aurc"]}
    named = planned(tiny).measuring_key
    tiny["claims"] = []
    assert planned(tiny).measuring_key == named


def test_a_part_and_a_restart_decide_the_cell_and_no_other(tiny):
    tiny["queries"] = {name: [{"fraction": share}] for name, share in (("all", 1.0), ("part", 0.1))}
    tiny["arms"] = {
        "cnn": {"student": "cnn", "queries": "all"},
        "cnn again": {"student": "cnn", "queries": "all", "restart": 1},
        "mlp all": {"student": "mlp", "queries": "all"},
        "mlp part": {"student": "mlp", "queries": "part"},
    }
    del tiny["claims"], tiny["answer"]
    plan = planned(tiny)
    tiny["queries"]["part"][0]["fraction"] = 0.2
    tiny["arms"]["cnn again"]["restart"] = 2
    other = planned(tiny)
    same = {arm: plan.cell(arm, 0).id == other.cell(arm, 0).id for arm in tiny["arms"]}
    assert same == {"cnn": True, "cnn again": False, "mlp all": True, "mlp part": False}
    assert plan.cell("cnn", 0).id != plan.cell("cnn again", 0).id


def test_a_codec_decides_the_cell_and_only_of_stored_arms(tiny):
    def ids(**change):
        arms = tiny["arms"]
        arms["stored"] = {**arms["mlp<-cnn"], "mode": "stored", **change}
        plan = planned(tiny)
        return {arm: plan.cell(arm, 0).id for arm in ("mlp<-cnn", "stored")}

    plain, other = ids(), ids(codec={"name": "topk", "k": 3})
    assert plain["mlp<-cnn"] == other["mlp<-cnn"]
    assert plain["stored"] != other["stored"]


def test_a_model_on_other_data_is_trained_on_it_and_read_on_the_data_of_the_splits(tiny):
    tiny["datasets"] = {"other": {"name": "digits", "options": {"border": 3}}}
    tiny["models"]["cnn"]["data"] = "other"
    del tiny["arms"]["mlp<-cnn"], tiny["claims"], tiny["answer"]
    plan = planned(tiny)
    cell = plan.cell("cnn", 0)
    assert cell.training.data.options == {"border": 3}
    assert plan.cell("mlp", 0).training.data.options == {}
    answers = [reading for reading in readings_of(plan)[cell.id].values() if reading.what == "answers"]
    assert answers
    assert {(reading.data.name, *reading.data.options) for reading in answers} == {("digits",)}


def test_a_cell_of_the_source_task_is_trained_on_its_data_and_starts_others(tiny):
    tiny["source"] = {"name": "digits", "options": {"border": 3}}
    tiny["models"]["cnn"]["start"] = {"arm": "source"}
    tiny["models"]["first"] = {"family": "cnn", "options": tiny["models"]["cnn"]["options"]}
    tiny["arms"]["source"] = {"student": "first", "task": "source"}
    plan = planned(tiny)
    source, cnn = plan.cell("source", 1), plan.cell("cnn", 1)
    assert source.training.data.options == {"border": 3}
    assert (cnn.start, cnn.training.start_digest) == (source.id, source.id)
    assert source.id in cnn.requires
    assert cnn.training.data.options == {}
