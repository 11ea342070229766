"""Estimates over seeds as records."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
from scipy import stats

from bequest.evidence.estimates import inherited, over_seeds, point, points, ring
from bequest.measure import Undefined, inheritance, seed_values
from bequest.measures import Reason


def test_a_mean_over_seeds_has_its_t_interval_and_its_values():
    m = over_seeds({3: 0.5, 4: 0.7, 9: 0.9}, measure="nll", arm="a", split="test", teacher="t")
    interval = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.5, 0.7, 0.9]))
    assert (m.value, m.n, m.low, m.high) == (pytest.approx(0.7), 3, *map(pytest.approx, interval))
    assert (m.seed_low, m.seed_high) == (None, None)
    assert m.per_seed == {"3": 0.5, "4": 0.7, "9": 0.9}
    assert (m.split, m.teacher, m.layer) == ("test", "t", None)


def test_the_interval_of_a_share_stays_within_its_bounds():
    m = over_seeds({0: 0.99, 1: 1.0, 2: 0.9}, measure="accuracy", arm="a", split="test")
    assert 0 < m.low < m.value < m.high < 1


def test_a_mean_over_samples_has_a_crossed_interval_and_the_one_over_seeds_beside_it():
    easy = np.linspace(0, 1, 60)
    right = np.random.default_rng(0).random((3, 60)) < easy
    values = seed_values(dict(enumerate(right)), bounds=(0.0, 1.0))
    m = over_seeds(values, measure="accuracy", arm="a", split="test")
    crossed, seeds = values.interval(), values.seed_interval()
    assert (m.low, m.high, m.method) == (crossed.low, crossed.high, crossed.method)
    assert (m.seed_low, m.seed_high) == (seeds.low, seeds.high)
    assert (m.seed_low, m.seed_high) != (m.low, m.high)


def test_where_one_seed_is_undefined_the_reason_says_why():
    lost = Undefined("an accuracy of 0.9 was not reached", Reason.NOT_REACHED)
    m = over_seeds({0: 3.0, 1: lost}, measure="epochs_to/0.9", arm="a")
    assert m.value is None
    assert m.reason.endswith("an accuracy of 0.9 was not reached")
    assert m.reason_code == "not_reached"
    assert m.per_seed == {"0": 3.0, "1": None}


def test_without_a_seed_there_is_a_reason():
    m = over_seeds({}, measure="accuracy", arm="a")
    assert (m.value, m.n, m.reason_code) == (None, 0, "no_samples")


def test_inheritance_is_of_the_seeds_that_all_three_have():
    by_role = {0: 0.6, 1: 0.7, 2: 0.65}, {0: 0.5, 1: 0.5}, {0: 0.9, 1: 0.95, 2: 0.9}
    m = inherited("accuracy", [*map(seed_values, by_role)], arm="a", teacher="t")
    expected = inheritance([0.6, 0.7], [0.5, 0.5], [0.9, 0.95])
    assert (m.measure, m.value, m.n) == ("inheritance/accuracy", pytest.approx(expected.value), 2)
    assert m.per_seed == {"0": pytest.approx(0.25), "1": pytest.approx(0.2 / 0.45)}
    none = inherited("accuracy", [*map(seed_values, ({0: 0.6}, {0: 0.5}, {0: 0.5}))], arm="a")
    assert none.per_seed == {"0": None}


def test_points_are_means_over_seeds_and_details_come_first():
    one = point(3, [0.5, 0.7], n=40, label="x")
    assert (one.x, one.y, one.n, one.label) == (3, pytest.approx(0.6), 40, "x")
    assert point(0.5, [nan, 1.0]).y is None
    drawn = points(range(1, 3), [[0.1, 0.2], [0.3, 0.4]])
    assert [(p.x, p.y, p.n) for p in drawn] == [(1, pytest.approx(0.2), 2), (2, pytest.approx(0.3), 2)]


def test_each_seed_has_the_next_one():
    assert ring([0, 1]) == {0: 1, 1: 0}
    assert ring([5]) == ring([]) == {}
