"""Values by seed, each computed once."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.evidence.values import LIKENESSES, PROPERTIES, REPRESENTATIONS, Values, layer_of
from bequest.evidence.values import likenesses_and_splits as pairs_of
from bequest.measures import MEASURES


def test_every_property_and_likeness_is_in_the_catalogue_of_measures():
    names = {*PROPERTIES.in_order(), *LIKENESSES.in_order(), *REPRESENTATIONS.in_order()}
    assert names <= set(MEASURES)
    assert {MEASURES[name].group for name in LIKENESSES} == {"likeness"}
    assert {MEASURES[name].group for name in REPRESENTATIONS} == {"representation"}


def test_images_have_no_means_over_strata(readings):
    values = Values(readings)
    assert set(values.properties_of("test")) == set(PROPERTIES) - {"a_accuracy", "d_accuracy"}
    assert values.properties_of("both") == values.properties_of("test")


def test_a_value_is_computed_once_and_shared(readings, monkeypatch):
    values = readings.shared(Values)
    assert readings.shared(Values) is values
    first = values.property("accuracy", "cnn", "test")
    monkeypatch.setattr(readings, "predictions", None)
    assert values.property("accuracy", "cnn", "test") is first


def test_a_group_is_the_mean_of_its_splits(readings):
    values = Values(readings)
    parts = [values.property("nll", "mlp", split) for split in ("moved", "foggy")]
    both = values.property("nll", "mlp", "both")
    assert both == {seed: pytest.approx(np.mean([part[seed] for part in parts])) for seed in (0, 1)}


def test_one_seed_has_no_partner(readings, monkeypatch):
    monkeypatch.setattr(readings, "seeds", lambda *arms: [0])
    values = Values(readings)
    assert list(values.likeness("agreement", "mlp<-cnn", "cnn", "test")) == [0]
    assert values.other_teacher("agreement", "mlp<-cnn", "cnn", "test") == {}
    assert values.ceiling("agreement", "cnn", "test") == {}
    assert values.own_minus_other("agreement", "mlp<-cnn", "cnn", "test") == {}


def test_representations_are_compared_on_one_split_and_have_a_layer():
    named = pairs_of(["test", "moved"])
    assert ("agreement", "moved") in named
    assert ("cka", "test") in named
    assert ("cka", "moved") not in named
    assert (layer_of("cka"), layer_of("agreement")) == ("penultimate", None)
