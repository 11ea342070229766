from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bequest import seeding

IDS = torch.arange(20_000)


def splitmix64(x: int) -> int:
    """The published finaliser, in Python's unbounded integers."""
    mask = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


@given(st.integers(0, 2**62), st.integers(0, 2**40), st.integers(0, 1000))
def test_bits_equal_the_published_finaliser(seed, sample, view):
    mask, golden = (1 << 64) - 1, 0x9E3779B97F4A7C15
    key = seeding.derive(seed, "t", view)
    row = splitmix64((sample * golden + key) & mask)
    expected = [splitmix64((row + c * golden) & mask) for c in (1, 2, 3)]
    got = seeding.bits(seed, "t", torch.tensor([sample]), view, 3)[0]
    assert [int(v) & mask for v in got] == expected


def test_rows_depend_on_nothing_but_their_own_id():
    whole = seeding.uniform(1, "shift", IDS, 3, 4)
    order = torch.randperm(len(IDS), generator=torch.Generator().manual_seed(0))
    assert torch.equal(seeding.uniform(1, "shift", IDS[order], 3, 4), whole[order])
    assert torch.equal(seeding.uniform(1, "shift", IDS[7:8], 3, 2), whole[7:8, :2])


@pytest.mark.parametrize("other", [(2, "a", 0), (1, "b", 0), (1, "a", 1)])
def test_another_key_gives_independent_numbers(other):
    first = seeding.uniform(1, "a", IDS, 0, 1)[:, 0].numpy()
    second = seeding.uniform(other[0], other[1], IDS, other[2], 1)[:, 0].numpy()
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(IDS))


def test_distributions():
    drawn = seeding.uniform(0, "u", IDS, 0, 2)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    assert stats.kstest(drawn[:, 1].numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(seeding.normal(0, "n", IDS, 0, 3)[:, 2].numpy(), "norm").pvalue > 1e-3
    dice = seeding.integers(0, "i", IDS, 0, 1, low=-2, high=2)[:, 0].numpy()
    assert stats.chisquare(np.bincount(dice + 2, minlength=5)).pvalue > 1e-3
