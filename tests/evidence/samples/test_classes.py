"""Precision, recall and the area under the ROC of every class."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from bequest.errors import ConfigError
from bequest.evidence.kinds import kinds_of
from bequest.evidence.samples.classes import Classes
from bequest.runs.planning import planned

SKILLS = {
    "class_precision": lambda p, k: metrics.precision_score(
        p.labels == k, p.classes == k, zero_division=math.nan
    ),
    "class_recall": lambda p, k: metrics.recall_score(p.labels == k, p.classes == k),
    "class_roc_auc": lambda p, k: metrics.roc_auc_score(p.labels == k, p.probs[:, k]),
}


@pytest.fixture(scope="module")
def by_class(readings):
    kind = Classes(arms=("cnn", "mlp"), names={"3": "three"})
    return {(m.measure, m.arm, m.layer): m for m in kind.measurements(readings)}


@pytest.mark.parametrize("measure", sorted(SKILLS))
def test_each_class_equals_scikit_learn_at_every_seed(by_class, readings, measure):
    for k, name in enumerate(["0", "1", "2", "three"]):
        measurement = by_class[measure, "cnn", name]
        for seed in (0, 1):
            predictions = readings.predictions("cnn", seed, "test")
            expected = SKILLS[measure](predictions, k)
            value = measurement.per_seed[str(seed)]
            assert value == (None if math.isnan(expected) else pytest.approx(expected))


def test_only_the_chosen_arms_and_every_class_once(by_class):
    assert len(by_class) == 3 * 2 * 10
    assert {arm for _, arm, _ in by_class} == {"cnn", "mlp"}


def test_a_class_that_is_never_answered_has_no_precision(readings):
    kind = Classes()
    rows = {0: np.array([0.5, math.nan]), 1: np.array([0.7, math.nan])}
    first, second = kind._of_each_class("class_precision", "cnn", rows, ["a", "b"])
    assert first.value == pytest.approx(0.6)
    assert second.value is None
    assert "never predicted" in second.reason


def test_arms_that_are_not_shown_are_named(study):
    study["measures"]["classes"] = ["cn"]
    with pytest.raises(ConfigError, match=r"measures\.classes\.arms: there is no arm 'cn'"):
        planned(study)
    study["measures"]["classes"] = ["mlp part"]
    with pytest.raises(ConfigError, match="'mlp part' is aside"):
        planned(study)
    study["measures"]["classes"] = True
    assert Classes() in kinds_of(planned(study).study)
    assert Classes(arms=("cnn", "mlp")).restricted(["mlp"]) == Classes(arms=("mlp",))
    assert Classes(arms=("cnn",)).restricted(["mlp"]) is None
