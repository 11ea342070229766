from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.measure import CkaStream, cka, minibatch_cka, reason_of


def pairs(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) + rng.normal(size=5)
    return x, np.tanh(x @ rng.normal(size=(5, 7))) - 3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.booleans())
def test_batches_merged_equal_the_whole(seed, size, unbiased):
    x, y = pairs(seed)
    stream = CkaStream()
    for start in range(0, 60, size):
        stream.update(x[start : start + size], y[start : start + size])
    assert stream.value(unbiased=unbiased) == pytest.approx(cka(x, y, unbiased=unbiased), abs=1e-10)
    assert stream.count == 60


def test_large_offsets_cost_no_digits():
    x, y = pairs(0, n=400)
    stream = CkaStream()
    for start in range(0, 400, 50):
        stream.update(x[start : start + 50] + 1e5, y[start : start + 50] - 1e5)
    assert stream.value() == pytest.approx(cka(x, y), abs=1e-8)


def test_streams_know_what_is_undefined():
    x, y = pairs(0)
    stream = CkaStream()
    assert "0 samples; CKA needs 4 or more" in str(reason_of(stream.value()))
    stream.update(x[:0], y[:0])
    stream.update(x, np.full((60, 2), 0.1))
    assert "features of y are constant" in str(reason_of(stream.value()))
    with pytest.raises(DataError, match="the number of features of x changed"):
        stream.update(x[:, :3], y[:, :2])
    y[3, 0] = math.inf
    with pytest.raises(DataError, match="y holds NaN or infinite numbers"):
        CkaStream().update(x, y)


def test_one_batch_is_the_whole():
    x, y = pairs(3)
    for unbiased in (True, False):
        assert minibatch_cka([(x, y)], unbiased=unbiased) == pytest.approx(
            cka(x, y, unbiased=unbiased), abs=1e-12
        )


def test_small_batches_of_noise_stay_at_zero_only_without_bias():
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(16, 64)), rng.normal(size=(16, 64))) for _ in range(400)]
    assert abs(minibatch_cka(batches)) < 0.02
    assert minibatch_cka(batches, unbiased=False) > 0.7


def test_minibatches_estimate_the_cka_of_all_samples():
    x, y = pairs(1, n=4000)
    found = minibatch_cka((x[k : k + 40], y[k : k + 40]) for k in range(0, 4000, 40))
    assert found == pytest.approx(cka(x, y), abs=0.03)


def test_minibatches_know_what_is_undefined():
    x, y = pairs(0)
    assert reason_of(minibatch_cka([])) == "no batches"
    assert reason_of(minibatch_cka([(x, 0 * y)])) == "the features of y are constant in every batch"
    with pytest.raises(DataError, match="a batch is too small for CKA"):
        minibatch_cka([(x, y), (x[:3], y[:3])])
