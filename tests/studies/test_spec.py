"""What a study's TOML may say, and what follows from it directly."""

from __future__ import annotations

import pytest

from bequest.errors import ConfigError
from bequest.evidence.corruption import Corruptions
from bequest.evidence.paths import Paths
from bequest.evidence.training import Training
from bequest.runs.planning import planned
from bequest.studies.source import SourceSpec
from bequest.studies.spec import MeasuresSpec, SplitSpec, StartSpec, split_kinds


def test_splits_may_be_corrupted_and_only_some_compared(tiny):
    tiny["splits"]["foggy"] = {"description": "fog", "corruption": "fog"}
    tiny["splits"]["noisy"] = {"description": "noise", "corruption": "gaussian_noise", "level": 5}
    tiny["measures"] = {"splits": ["moved"], "groups": {"weather": ["foggy", "noisy"]}}
    tiny["claims"][0]["split"] = "weather"
    study = planned(tiny).study
    assert study.compared_splits == ["moved"]
    assert list(study.described_splits) == ["moved", "weather", "test", "foggy", "noisy"]
    assert study.described_splits["weather"] == "mean over foggy, noisy"
    del tiny["measures"]["splits"]
    assert planned(tiny).study.compared_splits == ["test", "moved", "foggy", "noisy"]


def test_a_description_decides_no_sample():
    one = SplitSpec(description="one", variants=[{"name": "translate", "dx": 1}])
    other = one.model_copy(update={"description": "other"})
    further = SplitSpec(description="one", variants=[{"name": "translate", "dx": 2}])
    assert one.samples() == other.samples() != further.samples()


def test_a_start_is_an_arm_or_weights():
    with pytest.raises(ConfigError, match="either the arm"):
        StartSpec.parse({}, "start")
    with pytest.raises(ConfigError, match="either the arm"):
        StartSpec.parse({"arm": "a", "weights": "w.pt"}, "start")


def test_a_recipe_is_the_studys_under_the_models_under_the_arms(tiny):
    tiny["models"]["mlp"]["recipe"] = {"lr": 0.02, "batch": 32}
    tiny["arms"]["mlp<-cnn"]["recipe"] = {"lr": 0.3}
    study = planned(tiny).study
    recipe = study.recipe_of("mlp<-cnn")
    assert (recipe.epochs, recipe.batch, recipe.lr) == (1, 32, 0.3)
    assert study.recipe_of("mlp").lr == 0.02
    assert study.recipe_of("cnn").batch == 64


def test_models_data_and_queries_default_to_the_catalogue_and_the_study(tiny):
    tiny["arms"]["plain"] = {"student": "resnet8"}
    study = planned(tiny).study
    assert study.model("resnet8").family == "resnet8"
    assert study.data_of("mlp").name == "digits"
    assert study.sources_of("mlp") == (SourceSpec(),)
    assert [source.share for source in study.sources_of("mlp<-cnn")] == [0.5, 0.5]


NOISE = {"share": 0.5, "generate": "uniform"}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({"count": 9}, "only inputs that are made can be counted"),
        ({**NOISE, "views": [{"name": "shift", "pixels": 1}]}, "have no views and no choice; give count"),
        ({**NOISE, "student_views": "flip"}, "have no views and no choice; give count"),
        ({**NOISE, "active": {"budget": 9}}, "have no views and no choice; give count"),
        ({**NOISE, "view_count": 2}, "have no views and no choice; give count"),
        ({**NOISE, "generate": {"name": "unform"}}, "did you mean 'uniform'"),
        ({**NOISE, "count": 0}, "count: input should be greater than or equal to 1"),
    ],
)
def test_inputs_that_are_made_have_views_only_if_they_are_counted(source, fault):
    with pytest.raises(ConfigError, match=fault):
        SourceSpec.parse(source, "queries")


def test_inputs_that_are_made_come_anew_each_step_or_are_counted():
    assert SourceSpec.parse(NOISE, "queries").endless
    counted = {**NOISE, "count": 9, "views": "flip", "view_count": 2, "active": {"budget": 8}}
    assert not SourceSpec.parse(counted, "queries").endless
    assert not SourceSpec().endless


def test_seeds_begin_where_the_study_says(tiny):
    assert list(planned(tiny, seeds=3, seeds_from=7).study.seed_range) == [7, 8, 9]


def test_kinds_of_evidence_have_their_options(tiny):
    tiny["measures"] = {"corruptions": ["translate"], "training": {"reach": 0.5}}
    study = planned(tiny).study
    assert study.kind(Corruptions) == Corruptions(families=("translate",))
    assert study.kind(Training).reach == 0.5
    assert study.kind(Paths) is None


def test_kinds_are_told_apart_from_the_fields_of_measures():
    plain, kinds = split_kinds({"splits": ["a"], "paths": ["b"], "wrong": 1})
    assert (plain, kinds) == ({"splits": ["a"], "wrong": 1}, {"paths": ["b"]})
    assert {"splits", "groups", "paths", "corruptions"} <= set(MeasuresSpec.known_keys())
    assert "kinds" not in MeasuresSpec.known_keys()
