"""A kind of evidence as a study configures it."""

from __future__ import annotations

from bequest.evidence.attention import Attention
from bequest.evidence.barriers import Barriers
from bequest.evidence.layers import Layers
from bequest.evidence.paths import Paths
from bequest.studies.kind import KindSpec


def test_every_kind_is_registered_under_its_key():
    assert KindSpec.registered["paths"] is Paths
    assert KindSpec.registered["barriers"] is Barriers


def test_a_bare_list_fills_one_field_true_none_and_layers_stand_under_the_key():
    assert Paths.configured(["a"]) == {"arms": ["a"]}
    assert Paths.configured({"arms": ["a"]}) == {"arms": ["a"]}
    assert Attention.configured(True) == {}
    assert Layers.configured({"mlp": ["0"]}) == {"models": {"mlp": ["0"]}}


def test_options_are_written_as_they_were_read():
    for kind, value in ((Layers, {"mlp": ["0"]}), (Paths, {"arms": ["a"]}), (Attention, {})):
        assert kind.model_validate(kind.configured(value)).as_configured() == value


def test_a_kind_without_arms_is_not_restricted():
    assert Attention().restricted({"mlp"}) == Attention()
    assert list(Attention().snapshot_arms()) == []
    assert set(Paths(arms=("a", "b")).snapshot_arms()) == {"a", "b"}
