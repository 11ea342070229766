from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.measure import cka, pair


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-50, 50), unique=True), st.lists(st.integers(-50, 50), unique=True))
def test_pairs_are_the_common_ids_in_the_first_order(first, second):
    a, b = np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
    if not set(first) & set(second):
        with pytest.raises(DataError, match="no sample in common"):
            pair(a, b, common=True)
        return
    rows, other_rows = pair(a, b, common=True)
    assert a[rows].tolist() == [i for i in first if i in second]
    assert np.array_equal(a[rows], b[other_rows])
    if set(first) == set(second):
        assert np.array_equal(pair(a, b), (rows, other_rows))


def test_texts_are_ids_too():
    rows, other_rows = pair(np.array(["b", "a"]), np.array(["a", "b"]))
    assert (rows.tolist(), other_rows.tolist()) == ([0, 1], [1, 0])


def test_an_identical_network_is_itself_under_any_order_of_samples():
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=(100, 20)), rng.permutation(1000)[:100]
    order = rng.permutation(100)
    assert abs(cka(x, x[order])) < 0.2
    rows, other_rows = pair(ids, ids[order])
    assert cka(x[rows], x[order][other_rows]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("ids", "other", "message"),
    [
        ([1, 1, 2], [1, 2, 3], "ids occur more than once"),
        ([1, 2], [3, 3], "other_ids occur more than once"),
        ([1, 2], [2, 3], "samples are not paired"),
        ([1, 2], [1, 2, 3], "samples are not paired"),
        ([], [1], "samples are not paired"),
        ([0.5, 1.0], [1, 2], "ids are not sample ids"),
        ([[1], [2]], [1, 2], "ids are not sample ids"),
        (["a"], [1], "ids have different types"),
    ],
)
def test_wrong_ids_are_named(ids, other, message):
    first = np.array(ids, dtype=np.int64) if not ids else np.array(ids)
    with pytest.raises(DataError, match=message):
        pair(first, np.array(other))


def test_signed_and_unsigned_ids_pair_exactly():
    """NumPy compares uint64 with int64 as float64, which holds whole numbers up to 2**53 alone."""
    big = 2**60
    unsigned = np.array([big, big + 1, big + 2], dtype=np.uint64)
    signed = np.array([big + 2, big, big + 1], dtype=np.int64)
    rows, others = pair(unsigned, signed)
    assert (rows.tolist(), others.tolist()) == ([0, 1, 2], [1, 2, 0])


def test_unsigned_ids_beyond_int64_pair_with_positive_and_beside_negative_ones():
    unsigned = np.array([2**63 + 5, 7], dtype=np.uint64)
    rows, others = pair(unsigned, np.array([7, 9], dtype=np.int64), common=True)
    assert (rows.tolist(), others.tolist()) == ([1], [0])
    rows, others = pair(np.array([-1, 7], dtype=np.int64), unsigned, common=True)
    assert (rows.tolist(), others.tolist()) == ([1], [1])
