from __future__ import annotations

import pytest

from bequest.errors import ConfigError, UnknownName
from bequest.studies import faults, starts
from bequest.studies.plan import arm_records, bundled, control_of, make_plan, read_study, resolve
from bequest.studies.spec import compared_splits


def plan_of(content, **options):
    return make_plan(resolve(content, **options), scale=options.get("scale", "small"))


def test_cells_come_after_their_teachers(tiny):
    plan = plan_of(tiny)
    assert len(plan.cells) == 8
    seen = set()
    for cell in plan.cells:
        assert set(cell.needs.values()) <= seen
        assert cell.plain is None or cell.plain in seen
        seen.add(cell.id)
    taught = plan.cell("mlp<-cnn", 1)
    assert taught.needs == {"cnn": plan.cell("cnn", 1).id}
    assert taught.plain == plan.cell("mlp", 1).id


def test_an_id_follows_from_all_that_decides_the_result_and_nothing_else(tiny):
    before = {(c.arm, c.seed): c.id for c in plan_of(tiny).cells}
    assert len(set(before.values())) == 8
    tiny["title"] = "Another title"
    tiny["claims"] = []
    assert {(c.arm, c.seed): c.id for c in plan_of(tiny).cells} == before
    tiny["models"]["cnn"]["options"]["channels"] = [5]
    after = {(c.arm, c.seed): c.id for c in plan_of(tiny).cells}
    changed = {arm for (arm, seed), name in after.items() if before[arm, seed] != name}
    assert changed == {"cnn", "mlp<-cnn"}


@pytest.mark.parametrize(
    "setting",
    [
        "recipe.lr=0.5",
        "recipe.epochs=2",
        "data.options={border=3}",
        "arms.mlp.objective.name='cross_entropy'",
    ],
)
def test_every_setting_that_matters_changes_the_id(tiny, setting):
    assert plan_of(tiny).cell("mlp", 0).id != plan_of(tiny, settings=[setting]).cell("mlp", 0).id


def test_controls_are_self_taught_on_the_same_queries_else_plain(tiny):
    study = plan_of(tiny).study
    assert control_of(study, "mlp<-cnn") == "mlp<-mlp"
    assert control_of(study, "mlp<-mlp") == "mlp"
    assert control_of(study, "mlp") is None
    del tiny["arms"]["mlp<-mlp"]["queries"]
    assert control_of(plan_of(tiny).study, "mlp<-cnn") == "mlp"
    roles = {arm.name: arm.role for arm in arm_records(study)}
    assert roles == {"cnn": "teacher", "mlp": "control", "mlp<-mlp": "control", "mlp<-cnn": "taught"}


def test_scale_then_settings_then_seeds_and_arms(tiny):
    assert resolve(tiny, scale="smoke")["seeds"] == 1
    assert resolve(tiny, scale="smoke", settings=["seeds=4"])["seeds"] == 4
    assert resolve(tiny, scale="smoke", settings=["seeds=4"], seeds=7)["seeds"] == 7
    only = resolve(tiny, arms=["mlp<-mlp"])
    assert set(only["arms"]) == {"mlp<-mlp", "mlp"}
    assert only["claims"] == []
    assert "answer" not in only
    with pytest.raises(ConfigError, match="'paper' is not a scale of this study; known: smoke, small"):
        resolve(tiny, scale="paper")
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        resolve(tiny, arms=["mpl"])


def test_every_fault_is_listed_before_anything_runs(tiny):
    tiny["data"]["name"] = "digit"
    tiny["models"]["mlp"]["options"]["hiden"] = [3]
    tiny["splits"]["moved"]["variants"][0]["name"] = "translat"
    tiny["queries"]["views"][0]["share"] = 0.25
    tiny["queries"]["views"][1]["views"][0]["pixel"] = 3
    tiny["arms"]["mlp<-cnn"]["teachers"] = ["cn"]
    tiny["arms"]["mlp<-mlp"]["queries"] = "veiws"
    tiny["arms"]["mlp"]["student"] = "perceiver"
    tiny["arms"]["cnn"]["objective"] = {"name": "cross_entropy", "smooth": 1}
    tiny["arms"]["cnn"]["recipe"] = {"lr": -1}
    tiny["claims"][0]["split"] = "tset"
    with pytest.raises(ConfigError) as caught:
        plan_of(tiny)
    text = str(caught.value)
    for part in (
        "data.name: there is no dataset 'digit'; did you mean 'digits'?",
        "models.mlp: hiden: unknown option; did you mean 'hidden'?",
        "splits.moved: there is no transform 'translat'; did you mean 'translate'?",
        "queries.views: shares must sum to 1, not 0.75",
        "queries.views.views: 0: pixel: unknown key; did you mean 'pixels'?",
        "arms.mlp<-cnn.teachers: there is no arm 'cn'; did you mean 'cnn'?",
        "arms.mlp<-mlp.queries: there is no queries 'veiws'; did you mean 'views'?",
        "arms.mlp.student: there is no model 'perceiver'",
        "arms.cnn.objective: smooth: unknown key; did you mean 'smoothing'?",
        "arms.cnn: lr: input should be greater than 0",
        "claims.better: there is no split 'tset'; did you mean 'test'?",
    ):
        assert part in text
    assert len(caught.value.faults) == 11


def test_contradictions_are_named(tiny):
    tiny["arms"]["mlp"]["teachers"] = ["mlp<-mlp"]
    with pytest.raises(ConfigError, match="teach each other in a circle"):
        plan_of(tiny)
    with pytest.raises(ConfigError, match="not a multiple of accumulate"):
        plan_of(resolve(tiny, settings=["recipe.accumulate=7"]))


def test_bundled_studies_are_sound_at_every_scale(monkeypatch):
    monkeypatch.setattr(faults, "weights_digest_at", lambda path: "weights that this machine may lack")
    monkeypatch.setattr(starts, "weights_digest_at", lambda path: "weights that this machine may lack")
    assert "digits" in bundled()
    for name in bundled():
        raw = read_study(name)
        for scale in raw["scales"]:
            assert make_plan(resolve(raw, scale=scale), scale=scale).cells


def test_unknown_studies_show_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        read_study("digist")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_study("none.toml")


def test_splits_may_be_corrupted_and_only_some_compared(tiny):
    tiny["splits"]["foggy"] = {"description": "fog", "corruption": "fog"}
    tiny["splits"]["noisy"] = {"description": "noise", "corruption": "gaussian_noise", "level": 5}
    tiny["measures"] = {"splits": ["moved"], "groups": {"weather": ["foggy", "noisy"]}}
    tiny["claims"][0]["split"] = "weather"
    plan = plan_of(tiny)
    assert compared_splits(plan.study) == ["moved"]
    assert plan.cell("mlp", 0).config["compared"] == ["moved"]


def test_faults_of_corrupted_splits_and_groups_are_named(tiny):
    tiny["splits"]["foggy"] = {"description": "fog", "corruption": "fogg"}
    tiny["splits"]["noisy"] = {"description": "noise", "corruption": "gaussian_noise"}
    tiny["splits"]["late"] = {"description": "no level 9", "corruption": "fog", "level": 9}
    tiny["splits"]["level"] = {"description": "of nothing", "level": 1}
    tiny["splits"]["both"] = {**tiny["splits"]["moved"], "corruption": "fog"}
    tiny["measures"] = {"splits": ["mved"], "groups": {"test": ["test"], "none": [], "some": ["foggie"]}}
    with pytest.raises(ConfigError) as caught:
        plan_of(tiny)
    text = str(caught.value)
    for part in (
        "splits.foggy.corruption: there is no corruption 'fogg'; did you mean 'fog'?",
        "splits.noisy.level: gaussian_noise needs a level of 1..5",
        "splits.late.level: fog needs a level of 1..",
        "splits.level.level: there is no corruption",
        "splits.both: give variants or a corruption, not both",
        "measures: there is no split 'mved'; did you mean 'moved'?",
        "measures: there is no split 'foggie'; did you mean 'foggy'?",
        "measures.groups.test: expected a name that no split has",
        "measures.groups.none: expected a name that no split has, and a split or more",
    ):
        assert part in text
    assert len(caught.value.faults) == 9


def test_online_arms_have_online_controls(tiny):
    for name in ("mlp<-cnn", "mlp<-mlp"):
        tiny["arms"][f"{name} online"] = {**tiny["arms"][name], "mode": "online"}
    study = plan_of(tiny).study
    assert control_of(study, "mlp<-cnn online") == "mlp<-mlp online"
    assert control_of(study, "mlp<-cnn") == "mlp<-mlp"


def test_faults_of_models_on_other_data_are_named(tiny):
    tiny["datasets"] = {"language": {"name": "agreement"}, "lost": {"name": "agrement"}}
    tiny["models"]["cnn"]["data"] = "language"
    tiny["models"]["mlp"]["data"] = "langage"
    tiny["measures"] = {"charted": ["mlpp"], "barriers": [["cnn", "cnn"]]}
    with pytest.raises(ConfigError) as caught:
        plan_of(tiny)
    text = str(caught.value)
    for part in (
        "datasets.lost.name: there is no dataset 'agrement'; did you mean 'agreement'?",
        "models.mlp.data: there is no dataset of the study 'langage'; did you mean 'language'?",
        "arms.mlp<-cnn.teachers: cnn and mlp are trained on different data",
        "measures: there is no arm 'mlpp'; did you mean 'mlp'?",
        "measures.barriers: cnn is trained on other data than the splits have",
    ):
        assert part in text


def test_a_model_on_other_data_has_cells_that_know_both(tiny):
    tiny["datasets"] = {"other": {"name": "digits", "options": {"border": 3}}}
    tiny["models"]["cnn"]["data"] = "other"
    del tiny["arms"]["mlp<-cnn"], tiny["claims"], tiny["answer"]
    plan = plan_of(tiny)
    assert plan.cell("cnn", 0).config["data"]["options"] == {"border": 3}
    assert plan.cell("cnn", 0).config["tests"]["name"] == "digits"
    assert "tests" not in plan.cell("mlp", 0).config
