"""Every fault of a study is listed before anything runs."""

from __future__ import annotations

import pytest

from bequest.errors import ConfigError
from bequest.runs.planning import planned
from bequest.studies.faults import measure_faults, not_known
from bequest.studies.plan import Plan


def faults_in(content, **options):
    with pytest.raises(ConfigError) as refused:
        planned(content, **options)
    return str(refused.value), refused.value.faults


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
    text, faults = faults_in(tiny)
    for part in (
        "data.name: there is no dataset 'digit'; did you mean 'digits'?",
        "models.mlp: hiden: unknown option; did you mean 'hidden'?",
        "splits.moved.variants.0: there is no transform 'translat'; did you mean 'translate'?",
        "queries.views: shares must sum to 1, not 0.75",
        "queries.views.1.views.0: pixel: unknown key; did you mean 'pixels'?",
        "arms.mlp<-cnn.teachers: there is no arm 'cn'; did you mean 'cnn'?",
        "arms.mlp<-mlp.queries: there is no table of queries 'veiws'; did you mean 'views'?",
        "arms.mlp.student: there is no model 'perceiver'",
        "arms.cnn.objective: smooth: unknown key; did you mean 'smoothing'?",
        "arms.cnn: lr: input should be greater than 0",
        "claims.better: there is no split 'tset'; did you mean 'test'?",
    ):
        assert part in text
    assert len(faults) == 11


def test_splits_that_the_data_does_not_have_are_named(tiny):
    tiny["splits"]["moved"]["of"] = "tset"
    tiny["queries"]["views"][1]["of"] = "queries"
    assert list(faults_in(tiny)[1]) == [
        "splits.moved.of: there is no split 'tset'; did you mean 'test'?",
        "queries.views.1.of: there is no split 'queries'; known: test, train, validation",
    ]
    tiny["data"]["name"] = "cifar10"  # the files are not needed
    tiny["data"]["options"] = {"validation": 0}
    assert "did you mean 'test'" in faults_in(tiny)[0]
    tiny["datasets"] = {"language": {"name": "agreement"}}
    tiny["models"] = {name: {"family": "lstm", "data": "language"} for name in ("mlp", "cnn")}
    del tiny["splits"]["moved"], tiny["answer"], tiny["claims"]
    assert isinstance(planned(tiny), Plan)  # these networks ask about their own data


def test_splits_that_a_model_cannot_have_of_its_own_are_named(tiny):
    tiny["datasets"] = {"sentences": {"name": "agreement", "options": {"test": 0}}}
    tiny["models"]["cnn"]["own_splits"] = True
    assert "models.cnn.own_splits: the model has no data of its own" in faults_in(tiny)[1]
    tiny["models"]["cnn"]["data"] = "sentences"
    tiny["measures"] = {"corruptions": ["rotate"]}
    faults = faults_in(tiny)[1]
    assert "models.cnn.own_splits: measures.corruptions is read on [data] alone" in faults
    assert any(fault.startswith("splits.test.of: there is no split 'test'; known: far") for fault in faults)
    tiny["measures"] = {"classes": True, "changes": [["mlp", "cnn"]]}
    for kind in ("classes", "changes"):
        assert f"models.cnn.own_splits: measures.{kind} is read on [data] alone" in faults_in(tiny)[1]


def test_contradictions_are_named(tiny):
    with pytest.raises(ConfigError, match="not a multiple of accumulate"):
        planned(tiny, settings=["recipe.accumulate=7"])
    tiny["arms"]["mlp"]["teachers"] = ["mlp<-mlp"]
    assert "arms: mlp and mlp<-mlp teach each other in a circle" in faults_in(tiny)[0]


def test_every_fault_of_queries_is_listed(tiny):
    shift = [{"name": "shift", "pixels": 1}]
    tiny["queries"] = {
        "few": [{"views": shift, "view_count": 2, "active": {"by": "random", "budget": 3000}}],
        "endless": [{"views": shift, "active": {"by": "coverage", "budget": 30}}],
        "unmoved": [{"active": {"by": "far", "budget": 1298}}],
        "two": [{"active": {"by": "disagreement", "budget": 30}}],
        "ranked": [{"active": {"by": "badge", "budget": 30}}],
        "noise": [{"generate": "normal", "count": 20, "active": {"by": "random", "budget": 21}}],
        "made": [{"generate": "normal"}],
        "part": [{"fraction": 0.5, "active": {"by": "random", "budget": 1000}}],
    }
    tiny["arms"] = {name: tiny["arms"][name] for name in ("cnn", "mlp")} | {
        "two": {"student": "mlp", "teachers": ["cnn"], "queries": "two"},
        "alone": {"student": "mlp", "queries": "ranked"},
        "stored": {"student": "mlp", "teachers": ["cnn"], "queries": "made", "mode": "stored"},
    }
    del tiny["answer"], tiny["claims"]
    assert list(faults_in(tiny)[1]) == [
        "queries.few.0.active.budget: 3000 queries cannot be chosen from a pool of 2594",
        "queries.endless.0.active: a pool of views is finite only with a view_count",
        "queries.unmoved.0.active.by: 'far' chooses among views of the samples, and there are none",
        "queries.unmoved.0.active.budget: 1298 queries cannot be chosen from a pool of 1297",
        "queries.noise.0.active.budget: 21 queries cannot be chosen from a pool of 20",
        "arms.two.queries: two are chosen by disagreement, which needs 2 teachers, not 1",
        "arms.alone.queries: ranked are chosen by badge, which needs 1 teacher, not 0",
        "arms.stored.mode: inputs that are made for each step cannot be stored; give them a count",
    ]
    tiny["data"]["options"] = {"classes": [0, 1], "per_class": 5}
    assert "a pool of 20" in faults_in(tiny)[0]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb"])
def test_a_name_that_is_no_folder_is_refused(tiny, name):
    tiny["name"] = name
    assert any("cannot name a folder" in fault for fault in faults_in(tiny)[1])


def test_a_study_without_data_is_refused(tiny):
    del tiny["data"]
    assert "data: must name a dataset, unless [theory] describes" in faults_in(tiny)[0]


def test_faults_of_corrupted_splits_and_groups_are_named(tiny):
    tiny["splits"]["foggy"] = {"description": "fog", "corruption": "fogg"}
    tiny["splits"]["noisy"] = {"description": "noise", "corruption": "gaussian_noise"}
    tiny["splits"]["late"] = {"description": "no level 9", "corruption": "fog", "level": 9}
    tiny["splits"]["level"] = {"description": "of nothing", "level": 1}
    tiny["splits"]["both"] = {**tiny["splits"]["moved"], "corruption": "fog"}
    tiny["measures"] = {"splits": ["mved"], "groups": {"test": ["test"], "none": [], "some": ["foggie"]}}
    text, faults = faults_in(tiny)
    for part in (
        "splits.foggy.corruption: there is no corruption 'fogg'; did you mean 'fog'?",
        "splits.noisy.level: gaussian_noise needs a level of 1..5",
        "splits.late.level: fog needs a level of 1..",
        "splits.level.level: there is no corruption",
        "splits.both: give variants or a corruption, not both",
        "measures: there is no split 'mved'; did you mean 'moved'?",
        "measures: there is no split 'foggie'; did you mean 'foggy'?",
        "measures.groups.test: expected a name that no split has",
        "measures.groups.none: expected a name that no split has, and at least one split",
    ):
        assert part in text
    assert len(faults) == 9


def test_faults_of_models_on_other_data_are_named(tiny):
    tiny["datasets"] = {"language": {"name": "agreement"}, "lost": {"name": "agrement"}}
    tiny["models"]["cnn"]["data"] = "language"
    tiny["models"]["mlp"]["data"] = "langage"
    tiny["measures"] = {"charted": ["mlpp"]}
    text, _ = faults_in(tiny)
    for part in (
        "datasets.lost.name: there is no dataset 'agrement'; did you mean 'agreement'?",
        "models.mlp.data: there is no dataset of the study 'langage'; did you mean 'language'?",
        "arms.mlp<-cnn.teachers: cnn and mlp are trained on different data",
        "measures.charted: there is no arm 'mlpp'; did you mean 'mlp'?",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"codec": "float8"}, "arms.stored.codec: .*float8"),
        ({"codec": {"name": "topk", "q": 3}}, "arms.stored.codec: .*unknown key"),
        ({"teachers": []}, "arms.stored.mode: only the answers of teachers can be stored"),
        ({"control": "nobody"}, "arms.stored.control: there is no arm 'nobody'"),
    ],
)
def test_faults_of_a_stored_arm_are_found_before_anything_runs(tiny, change, text):
    tiny["arms"]["stored"] = {**tiny["arms"]["mlp<-cnn"], "mode": "stored", **change}
    with pytest.raises(ConfigError, match=text):
        planned(tiny)


def test_what_is_wrong_with_a_start_is_found_before_anything_runs(tiny):
    tiny["models"]["mlp"]["start"] = {"weights": "none.safetensors"}
    tiny["models"]["cnn"]["start"] = {"arm": "mlp"}
    tiny["arms"]["cnn"]["task"] = "source"
    text, _ = faults_in(tiny)
    assert "models.mlp.start: the weights none.safetensors do not exist" in text
    assert "models.cnn.start: the arm mlp is not of the source task" in text
    assert "arms.cnn.task: there is no [source] to train on" in text
    assert "arms.cnn: an arm of the source task cannot start from another arm" in text
    tiny["models"]["cnn"]["start"] = {"arm": "mpl"}
    tiny["arms"]["mlp<-cnn"]["task"] = "source"
    text, _ = faults_in(tiny)
    assert "models.cnn.start: there is no arm 'mpl'; did you mean 'mlp'?" in text
    assert "arms.mlp<-cnn: an arm of the source task has no teachers" in text


def test_faults_of_claims_and_of_the_answer_are_named(tiny):
    tiny["claims"].append({**tiny["claims"][0], "measure": "acuracy", "against": "mlpp", "teacher": "cn"})
    tiny["claims"].append({**tiny["claims"][0], "id": "worded", "text": "{of.label} over {teacher.label}"})
    tiny["answer"]["values"]["share"] |= {"arm": "nn", "measure": "inheritance/nl"}
    tiny["answer"]["text"] = "It took {shear}."
    text, faults = faults_in(tiny)
    for part in (
        "claims.better: two claims have this id",
        "claims.better.measure: there is no measure 'acuracy'; did you mean 'accuracy'",
        "claims.better.against: there is no arm 'mlpp'; did you mean 'mlp'?",
        "claims.better.teacher: there is no arm 'cn'; did you mean 'cnn'?",
        "claims.worded.text: {of.label} is not an arm of this claim; known: ",
        "answer.values.share: there is no arm 'nn'; did you mean 'cnn'?",
        "answer.values.share.measure: there is no measure 'nl'; did you mean 'nll'",
        "answer.text: {shear} is not in [answer.values]; known: n, share",
    ):
        assert part in text
    assert len(faults) == 9


def test_a_profile_is_of_measures(tiny):
    tiny["measures"] = {"profile": ["accuracy", "acc"]}
    assert any(
        fault.startswith("measures.profile: there is no measure 'acc'") for fault in faults_in(tiny)[1]
    )


def test_a_name_that_is_not_known_is_answered_with_the_nearest_or_all():
    assert not_known("arm", "tset", ["test", "train"]) == "there is no arm 'tset'; did you mean 'test'?"
    assert not_known("arm", "zzz", ["b", "a"]) == "there is no arm 'zzz'; known: a, b"
    assert not_known("arm", "zzz", []) == "there is no arm 'zzz'; known: none"
    assert list(measure_faults("p", "accuracy")) == []
