"""Estimates over seeds as records."""

from __future__ import annotations

from math import nan

import pytest
from scipy import stats

from bequest.evidence.estimates import inherited, over_seeds, point, points, ring
from bequest.measure import Undefined, inheritance
from bequest.measures import Reason


def test_a_mean_over_seeds_has_its_t_interval_and_its_values():
    m = over_seeds({3: 0.5, 4: 0.7, 9: 0.9}, measure="accuracy", arm="a", split="test", teacher="t")
    interval = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.5, 0.7, 0.9]))
    assert (m.value, m.n, m.low, m.high) == (pytest.approx(0.7), 3, *map(pytest.approx, interval))
    assert m.per_seed == {"3": 0.5, "4": 0.7, "9": 0.9}
    assert (m.split, m.teacher, m.layer) == ("test", "t", None)


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
    taught, control, teacher = {0: 0.6, 1: 0.7, 2: 0.65}, {0: 0.5, 1: 0.5}, {0: 0.9, 1: 0.95, 2: 0.9}
    m = inherited("accuracy", [taught, control, teacher], arm="a", teacher="t")
    expected = inheritance([0.6, 0.7], [0.5, 0.5], [0.9, 0.95])
    assert (m.measure, m.value, m.n) == ("inheritance/accuracy", pytest.approx(expected.value), 2)
    assert m.per_seed == {"0": pytest.approx(0.25), "1": pytest.approx(0.2 / 0.45)}
    none = inherited("accuracy", [{0: 0.6}, {0: 0.5}, {0: 0.5}], arm="a")
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
