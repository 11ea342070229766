"""Accuracy by what is known of the samples. The chart is tested with the study of agreement."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.evidence.readings import Predictions
from bequest.evidence.strata import NONE, Strata, mean_over_strata, strata_of, stratum
from bequest.evidence.values import PROPERTIES

ABOUT = {
    "attractors": np.array([0, 1, 1, 2, 0]),
    "intervening": np.array([0, 1, 2, 2, 0]),
    "distance": np.array([1, 4, 16, 17, 1]),
}


def test_attractors_count_where_every_intervening_noun_is_one_and_distances_up_to_16():
    assert stratum(ABOUT, "attractors").tolist() == [0, 1, NONE, 2, 0]
    assert stratum(ABOUT, "distance").tolist() == [1, 4, 16, NONE, 1]


def test_the_mean_over_strata_weighs_each_alike():
    logits = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0], [0, 1]])
    labels = np.array([0, 1, 1, 1, 0])  # right: yes, yes, no, no, no
    predictions = Predictions(np.arange(5), labels, logits, ABOUT)
    assert mean_over_strata("a_accuracy", predictions) == pytest.approx((0.5 + 1 + 0) / 3)
    assert mean_over_strata("d_accuracy", predictions) == pytest.approx((0.5 + 1 + 0) / 3)


def test_a_split_has_the_means_that_its_knowledge_allows():
    assert strata_of(ABOUT) == {"a_accuracy", "d_accuracy"}
    assert strata_of({"attractors": 1, "intervening": 1}) == {"a_accuracy"}
    assert strata_of({"attractors": 1}) == set()


def test_images_are_in_no_strata(readings):
    assert list(Strata().curves(readings, [])) == []


def test_groups_and_shortcuts_are_measured_where_they_are_known():
    about = {"group": np.array([0, 0, 1, 1]), "shortcut": np.array([1, 1, 0, 1])}
    logits = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]])
    predictions = Predictions(np.arange(4), np.array([0, 1, 1, 0]), logits, about)
    assert PROPERTIES["worst_group"](predictions) == 0.5
    assert PROPERTIES["shortcut_answers"](predictions).tolist() == [False, True, True, False]
    assert strata_of(about) == {"worst_group", "shortcut_answers"}
