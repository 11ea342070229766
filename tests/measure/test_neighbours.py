from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from bequest.errors import DataError
from bequest.measure import code_of, mutual_neighbours
from bequest.measures import Reason


def pair_of(seed, n=60, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    return x, x + noise * rng.normal(size=(n, 5))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from(["cosine", "euclidean"]))
def test_it_counts_scikit_learns_common_neighbours(seed, k, metric):
    x, y = pair_of(seed)
    near = [
        NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(s).kneighbors()[1]
        for s in (x, y)
    ]
    expected = np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)])
    assert mutual_neighbours(x, y, k=k, metric=metric) == pytest.approx(expected)


def test_it_is_symmetric_and_1_for_a_rotation():
    x, y = pair_of(0)
    assert mutual_neighbours(x, y) == mutual_neighbours(y, x)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    assert mutual_neighbours(x, 3 * x @ rotation) == 1


def test_unrelated_representations_share_as_many_as_chance_gives():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 800, 6))
    # 8,000 neighbours at 10/799: the standard error is .0013; four of them.
    assert abs(mutual_neighbours(x, y) - 10 / 799) < 4 * 0.0013


def test_blocks_of_rows_do_not_change_the_result(monkeypatch):
    x, y = pair_of(2)
    whole = mutual_neighbours(x, y)
    monkeypatch.setattr("bequest.measure.alignment.BLOCK", 60 * 7)
    assert mutual_neighbours(x, y) == whole


def test_too_little_is_undefined():
    x, _ = pair_of(0, n=11)
    assert code_of(mutual_neighbours(x, x)) is Reason.TOO_FEW
    x, y = pair_of(0)
    x[3] = 0
    assert code_of(mutual_neighbours(x, y)) is Reason.CONSTANT
    assert not np.isnan(mutual_neighbours(x, y, metric="euclidean"))
    with pytest.raises(DataError, match="k is too small"):
        mutual_neighbours(x, y, k=0)
