from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from bequest.errors import DataError
from bequest.measure import cka, reason_of
from bequest.measure.alignment import _gram, centred, cross_product, squared_product


def hsic_by_definition(k: np.ndarray, l: np.ndarray) -> float:
    """The U-statistic: the kernel of HSIC averaged over all ordered 4-tuples of different samples."""
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
        count += 1
    return total / count


def noise(seed: int, n: int, p: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p))


@pytest.mark.parametrize("seed", range(3))
def test_unbiased_cka_equals_the_u_statistic(seed):
    x, y = noise(seed, 8, 3) + 5, noise(seed + 50, 8, 4) - 2
    y[:, 0] += x[:, 0]
    k, l = x @ x.T, y @ y.T
    expected = hsic_by_definition(k, l) / math.sqrt(hsic_by_definition(k, k) * hsic_by_definition(l, l))
    assert cka(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_biased_cka_equals_centred_grams(seed):
    x, y = noise(seed, 20, 3) + 5, noise(seed + 50, 20, 30)
    centre = np.eye(20) - 1 / 20
    k, l = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    expected = (k * l).sum() / np.linalg.norm(k) / np.linalg.norm(l)
    assert cka(x, y, unbiased=False) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 30), st.integers(1, 40), st.integers(1, 40))
def test_both_spaces_agree(seed, n, p, q):
    x, y = centred(noise(seed, n, p) + 1, "x"), centred(noise(seed + 1, n, q), "y")
    over_features = np.vdot(product := cross_product(x, y), product)
    assert over_features == pytest.approx(np.vdot(_gram(x), _gram(y)), rel=1e-9)
    assert squared_product(x, y) == pytest.approx(over_features, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_symmetric_bounded_and_blind_to_rotation_shift_and_scale(seed, unbiased):
    x, y = noise(seed, 25, 6), noise(seed + 1, 25, 9)
    value = cka(x, y, unbiased=unbiased)
    turned = 3.0 * x @ ortho_group.rvs(6, random_state=seed) + 7
    order = np.random.default_rng(seed).permutation(25)
    assert value == pytest.approx(cka(y, x, unbiased=unbiased), abs=1e-12)
    assert value == pytest.approx(cka(turned, y, unbiased=unbiased), abs=1e-9)
    assert value == pytest.approx(cka(x[order], y[order], unbiased=unbiased), abs=1e-12)
    assert abs(value) <= 1
    assert cka(x, turned, unbiased=unbiased) == pytest.approx(1, abs=1e-12)


def test_independent_noise_is_unrelated_where_the_biased_form_says_otherwise():
    pairs = [(noise(s, 64, 128), noise(1000 + s, 64, 128)) for s in range(200)]
    unbiased = np.array([cka(x, y) for x, y in pairs])
    assert abs(unbiased.mean()) < 0.02
    assert unbiased.std() < 0.05
    assert np.mean([cka(x, y, unbiased=False) for x, y in pairs[:20]]) > 0.5


def test_float32_data_with_a_large_offset_keep_their_digits():
    x, y = noise(0, 500, 40), noise(1, 500, 30)
    y[:, :10] += x[:, :10]
    shifted_x, shifted_y = (x + 300).astype(np.float32), (y - 300).astype(np.float32)
    expected = cka(shifted_x.astype(np.float64) - 300, shifted_y.astype(np.float64) + 300)
    assert cka(shifted_x, shifted_y) == pytest.approx(expected, rel=1e-9)


def test_images_tensors_and_memory_maps_are_read_in_blocks(tmp_path):
    x = torch.from_numpy(noise(0, 3000, 4 * 5 * 20)).float().reshape(3000, 4, 5, 20)
    y = noise(1, 3000, 350).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    value = cka(x, np.load(tmp_path / "y.npy", mmap_mode="r"))
    assert value == pytest.approx(cka(x.reshape(3000, -1).double(), y.astype(np.float64)), abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("width", [2, 400])
def test_constant_features_are_undefined(constant, width):
    x = np.full((40, width), constant, dtype=np.float32)
    for unbiased in (True, False):
        assert "features of y are constant" in str(reason_of(cka(noise(0, 40, 5), x, unbiased=unbiased)))


def test_one_outlier_says_nothing_to_the_unbiased_form():
    x = np.zeros((10, 3))
    x[4] = 1
    assert "differ in one sample only" in str(reason_of(cka(x, noise(0, 10, 3))))


@pytest.mark.parametrize(("count", "unbiased"), [(0, True), (3, True), (1, False)])
def test_too_few_samples_are_undefined(count, unbiased):
    value = cka(noise(0, count, 3), noise(1, count, 3), unbiased=unbiased)
    assert "samples; CKA needs" in str(reason_of(value))


def test_wrong_input_is_named():
    x = noise(0, 10, 3)
    for wide in (3, 50):
        broken = noise(0, 10, wide)
        broken[3, 1] = math.nan
        with pytest.raises(DataError, match="y holds NaN or infinite numbers"):
            cka(noise(1, 10, wide), broken)
    with pytest.raises(DataError, match="x and y differ in length"):
        cka(x, x[:9])
    with pytest.raises(DataError, match="x has the wrong shape"):
        cka(x[:, 0], x)
