"""Faults of form do not hide faults of meaning."""

from __future__ import annotations

import pytest

import bequest.evidence.kinds  # noqa: F401  (registers the kinds of evidence)
from bequest.errors import ConfigError
from bequest.runs.planning import planned
from bequest.studies.parsing import MISSING, parse_study


def test_a_sound_study_parses_without_a_fault_and_is_not_changed(tiny):
    content = {**tiny, "measures": {"paths": ["mlp"]}}
    content.pop("scales")
    study, faults = parse_study(content)
    assert faults == []
    assert list(study.measures.kinds) == ["paths"]
    assert content["measures"] == {"paths": ["mlp"]}


def test_form_and_meaning_are_reported_together(tiny):
    del tiny["title"], tiny["arms"]["cnn"]["student"]
    tiny["recipe"]["epochs"] = "many"
    tiny["seeds"] = 0
    tiny["colour"] = "red"
    tiny["arms"]["mlp<-cnn"]["teachers"] = ["cn"]
    tiny["claims"][0]["arm"] = "mpl"
    tiny["measures"] = {"paths": 3, "corruptions": ["fogg"]}
    with pytest.raises(ConfigError) as refused:
        planned(tiny)
    paths = {fault.split(": ", 1)[0] for fault in refused.value.faults}
    assert paths == {
        *("title", "arms.cnn.student", "recipe.epochs", "seeds", "colour"),
        *("arms.mlp<-cnn.teachers", "claims.better", "measures.paths", "measures.corruptions"),
    }
    assert MISSING not in str(refused.value)


def test_an_empty_name_of_the_users_own_is_a_fault_beside_faults_of_form(tiny):
    del tiny["title"]
    tiny["arms"]["mlp<-cnn"]["teachers"] = [""]
    with pytest.raises(ConfigError) as refused:
        planned(tiny)
    assert [fault.split(";")[0] for fault in refused.value.faults] == [
        "title: required and not given",
        "arms.mlp<-cnn.teachers: there is no arm ''",
    ]


def test_a_study_of_which_nothing_is_left_has_its_faults_too():
    study, faults = parse_study({})
    assert {fault.split(":")[0] for fault in faults} == {
        *("name", "title", "question", "splits", "arms"),
    }
    assert study is None or study.arms == {}


def test_a_kind_may_be_switched_off_and_true_means_its_defaults(tiny):
    tiny.pop("scales")
    study, faults = parse_study({**tiny, "measures": {"seconds": False, "attention": True}})
    assert faults == []
    assert list(study.measures.kinds) == ["attention"]


def test_an_unknown_kind_is_answered_with_the_nearest(tiny):
    tiny["measures"] = {"corruption": ["fog"]}
    with pytest.raises(ConfigError, match=r"measures.corruption: unknown key; did you mean 'corruptions'\?"):
        planned(tiny)


def test_a_faulty_item_of_a_list_does_not_hide_what_else_is_wrong(tiny):
    tiny["splits"]["moved"]["variants"] = [{"name": "translat"}, {"name": "scal"}]
    tiny["claims"].append("no table")
    tiny["arms"]["mlp<-cnn"]["teachers"] = ["cn"]
    with pytest.raises(ConfigError) as refused:
        planned(tiny)
    text = str(refused.value)
    for part in ("moved.variants.0", "moved.variants.1", "claims.1", "there is no arm 'cn'"):
        assert part in text
    assert len(refused.value.faults) == 4
