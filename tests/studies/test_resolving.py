"""From a study's name or file to the configuration of one run."""

from __future__ import annotations

import pytest

from bequest.errors import ConfigError, UnknownName
from bequest.runs.planning import planned
from bequest.studies import faults, starts
from bequest.studies.resolving import bundled, expanded, read_study, resolve


def test_scale_then_settings_then_seeds_and_arms(tiny):
    assert resolve(tiny, scale="smoke")["seeds"] == 1
    assert resolve(tiny, scale="smoke", settings=["seeds=4"])["seeds"] == 4
    assert resolve(tiny, scale="smoke", settings=["seeds=4"], seeds=7)["seeds"] == 7
    assert resolve(tiny, seeds_from=3)["seeds_from"] == 3
    only = resolve(tiny, arms=["mlp<-mlp"])
    assert set(only["arms"]) == {"mlp<-mlp", "mlp"}
    assert only["claims"] == []
    assert "answer" not in only
    with pytest.raises(ConfigError, match="'paper' is not a scale of this study; known: smoke, small"):
        resolve(tiny, scale="paper")
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        resolve(tiny, arms=["mpl"])


def test_a_scale_is_laid_over_the_one_that_it_is_like(tiny):
    tiny["scales"]["smoke"]["recipe"] = {"epochs": 1, "lr": 0.5}
    tiny["scales"]["decide"] = {"like": "smoke", "seeds": 9, "recipe": {"lr": 0.25}}
    tiny["scales"]["mine"] = {"like": "decide"}  # a name of one's own, two steps away
    decided = resolve(tiny, scale="decide")
    assert (decided["seeds"], decided["recipe"]["epochs"], decided["recipe"]["lr"]) == (9, 1, 0.25)
    assert "like" not in decided
    assert resolve(tiny, scale="mine") == decided


def test_a_scale_is_like_another_that_is_there_and_not_like_itself(tiny):
    tiny["scales"]["decide"] = {"like": "smal"}
    with pytest.raises(
        ConfigError, match=r"(?s)scales\.decide\.like: .*another scale's name; known: smoke, small"
    ):
        resolve(tiny, scale="decide")
    tiny["scales"]["decide"] = {"like": "mine"}
    tiny["scales"]["mine"] = {"like": "decide"}
    with pytest.raises(ConfigError, match=r"(?s)scales\.mine\.like: .*another scale's name"):
        resolve(tiny, scale="decide")


def test_a_scale_may_keep_some_arms_only_and_arms_on_the_command_line_come_first(tiny):
    tiny["scales"]["smoke"]["only"] = ["mlp<-mlp"]
    resolved = resolve(tiny, scale="smoke")
    assert set(resolved["arms"]) == {"mlp", "mlp<-mlp"}
    assert "only" not in resolved
    assert set(resolve(tiny, scale="smoke", arms=["cnn"])["arms"]) == {"cnn"}


def test_arms_come_with_teachers_controls_and_what_they_start_from(tiny):
    tiny["source"] = {"name": "digits"}
    tiny["models"]["cnn"]["start"] = {"arm": "source"}
    tiny["arms"]["source"] = {"student": "first", "task": "source"}
    tiny["arms"]["mlp<-cnn"]["control"] = "mlp<-mlp"
    assert set(resolve(tiny, arms=["mlp<-cnn"])["arms"]) == {"mlp<-cnn", "cnn", "source", "mlp<-mlp", "mlp"}


def test_claims_on_remaining_arms_stay(tiny):
    claim = {**tiny["claims"][0], "id": "own", "arm": "cnn"}
    del claim["against"]
    tiny["claims"].append(claim)
    assert [each["id"] for each in resolve(tiny, arms=["cnn"])["claims"]] == ["own"]
    assert [each["id"] for each in resolve(tiny, arms=["mlp<-cnn", "mlp<-mlp"])["claims"]] == [
        "better",
        "own",
    ]


def test_measures_of_other_arms_go_with_them(tiny):
    tiny["measures"] = {
        "charted": ["mlp", "cnn"],
        "paths": ["mlp", "cnn"],
        "barriers": [["mlp", "mlp"], ["cnn", "cnn"]],
        "corruptions": ["translate"],
    }
    measures = resolve(tiny, arms=["mlp"])["measures"]
    assert measures["charted"] == ["mlp"]
    assert measures["paths"] == {"arms": ["mlp"]}
    assert measures["barriers"] == {"pairs": [["mlp", "mlp"]]}
    assert measures["corruptions"] == {"families": ["translate"]}
    tiny["measures"]["barriers"] = [["cnn", "cnn"]]
    assert "barriers" not in resolve(tiny, arms=["mlp"])["measures"]
    assert planned(tiny, arms=["mlp"]).study.measures.charted == ("mlp",)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scales": ["smoke"]}, "scales: expected a table of scales"),
        ({"scales": {"small": 3}}, "scales.small: expected a table"),
        (
            {"arms": {"a {n}": {"foreach": [1, 2]}}},
            "a {n}: foreach: expected a table of lists",
        ),
        (
            {"arms": {"a {n}": {"foreach": {"n": 2}}}},
            "a {n}: foreach: expected a table of lists",
        ),
        ({"arms": {"a": {"foreach": {"n": [1, 2]}}}}, "foreach: 'a' is made twice; use every variable"),
    ],
)
def test_what_cannot_be_resolved_is_refused(tiny, change, text):
    with pytest.raises(ConfigError) as refused:
        resolve({**tiny, **change})
    assert text in str(refused.value)


def test_a_foreach_writes_out_every_combination_in_names_texts_and_lists():
    content = {
        "queries": {"{n} a class": {"foreach": {"n": [5, 10]}, "sources": [{"per_class": "{n}"}]}},
        "arms": {"{kind} {n}": {"foreach": {"kind": ["mlp", "cnn"], "n": [5, 10]}, "queries": "{n} a class"}},
        "claims": [{"foreach": {"n": [5, 10]}, "id": "with {n}", "margin": "{n}"}, {"id": "last"}],
    }
    written = expanded(content)
    assert written["queries"] == {"5 a class": [{"per_class": 5}], "10 a class": [{"per_class": 10}]}
    assert list(written["arms"]) == ["mlp 5", "mlp 10", "cnn 5", "cnn 10"]
    assert written["arms"]["cnn 10"] == {"queries": "10 a class"}
    assert written["claims"] == [
        {"id": "with 5", "margin": 5},
        {"id": "with 10", "margin": 10},
        {"id": "last"},
    ]


def test_bundled_studies_are_sound_at_every_scale(monkeypatch):
    monkeypatch.setattr(faults, "weights_digest_at", lambda path: "weights that this machine may lack")
    monkeypatch.setattr(starts, "weights_digest_at", lambda path: "weights that this machine may lack")
    assert "digits" in bundled()
    for name in bundled():
        for scale in read_study(name)["scales"]:
            assert planned(name, scale=scale).cells


def test_unknown_studies_show_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        read_study("digist")
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        read_study("none.toml")
