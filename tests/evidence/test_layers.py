"""The layer of a teacher that is most like each layer of a student."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.measure import cka
from bequest.models.taps import activations
from bequest.runs.planning import planned
from bequest.studies.networks import initial_network


@pytest.fixture(scope="module")
def features(readings):
    x = readings.data["test"].x[:500]

    def of(network, names):
        maps = activations(network, x, names)
        return [(maps[n].mean((2, 3)) if maps[n].ndim == 4 else maps[n]).numpy() for n in names]

    return of


def best(one, other):
    return [max(cka(x, y) for y in other) for x in one]


def test_the_mean_of_the_best_with_null_and_ceiling(readings, features, measured):
    students, teachers = (
        [features(readings.network(arm, seed), names) for seed in (0, 1)]
        for arm, names in (("mlp<-cnn", ["1", "2"]), ("cnn", ["0", "2"]))
    )
    untrained = features(initial_network(readings.plan.cell("mlp<-cnn", 1)), ["1", "2"])
    expected = {
        "layer_cka": best(students[1], teachers[1]),
        "layer_cka/null": best(untrained, teachers[1]),
        "layer_cka/ceiling": best(teachers[0], teachers[1]),
    }
    for name, values in expected.items():
        m = measured(name, "mlp<-cnn", teacher="cnn", split="test")
        assert m.per_seed["1"] == pytest.approx(np.mean(values), abs=1e-5)


def test_a_curve_has_a_point_for_each_layer_of_the_student(readings, features, curves):
    (curve,) = curves("layers", arm="mlp<-cnn", teacher="cnn")
    assert [point.label for point in curve.points] == ["1", "2"]
    by_seed = [
        best(
            features(readings.network("mlp<-cnn", seed), ["1", "2"]),
            features(readings.network("cnn", seed), ["0", "2"]),
        )
        for seed in (0, 1)
    ]
    assert [point.y for point in curve.points] == pytest.approx(np.mean(by_seed, axis=0).tolist(), abs=1e-5)


def test_only_pairs_whose_students_have_named_layers(measured):
    pairs = {(m.arm, m.teacher) for m in measured.all if m.measure == "layer_cka"}
    assert pairs == {("mlp<-cnn", "cnn"), ("mlp<-mlp", "mlp"), ("mlp<-mlp", "cnn"), ("mlp", "cnn")}


def test_a_model_that_is_not_there_is_named(study):
    study["measures"]["layers"] = {"cnnn": ["0"]}
    with pytest.raises(ConfigError, match=r"measures\.layers: there is no model 'cnnn'"):
        planned(study)


def test_layers_survive_a_choice_of_arms(study):
    plan = planned(study, arms=["mlp<-cnn"])
    assert plan.resolved["measures"]["layers"] == study["measures"]["layers"]
