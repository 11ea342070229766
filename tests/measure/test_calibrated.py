from __future__ import annotations

import math

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.measure import calibrated_similarity, cka, mutual_neighbours, procrustes


def wide(seed, n=30, p=60, layers=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, p)) for _ in range(layers)]


def test_chance_has_a_score_of_0_where_the_raw_similarity_is_high():
    x, y = wide(0)[0], wide(1)[0]
    calibrated = calibrated_similarity(x, y, measure=procrustes, draws=99)
    assert calibrated.value > 0.5
    assert calibrated.score == 0
    assert calibrated.p_value > 0.05


def test_equal_representations_have_a_score_of_1():
    x = wide(0)[0]
    calibrated = calibrated_similarity(x, 2 * x, draws=99)
    assert (calibrated.score, calibrated.p_value) == (pytest.approx(1), 0.01)


def test_threshold_and_p_value_are_those_of_the_sorted_values():
    x, y = wide(0, p=4)[0], wide(3, p=4)[0]
    calibrated = calibrated_similarity(x, y, draws=99, level=0.9)
    together = sorted([*calibrated.null, calibrated.value])
    assert calibrated.threshold == together[math.ceil(0.9 * 100) - 1]
    assert calibrated.p_value == (1 + sum(v >= calibrated.value for v in calibrated.null)) / 100


def test_p_values_of_unrelated_layers_are_uniform_for_the_largest_of_many_pairs():
    smallest = [
        calibrated_similarity(
            wide(s, 16, 3, layers=3), wide(s + 500, 16, 3, layers=2), draws=19, seed=s
        ).p_value
        for s in range(200)
    ]
    for level in (0.05, 0.25, 0.5):
        # 200 draws: three standard errors.
        assert np.mean(np.array(smallest) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 200)
    assert np.mean(smallest) < 0.6


def test_one_permutation_moves_all_layers():
    """The null of two equal layers is that of one: permuted apart, their largest would be larger."""
    x, y = wide(0, p=5)[0], wide(1, p=5)[0]
    alone = calibrated_similarity(x, y, draws=49)
    twice = calibrated_similarity([x, x], [y, y], draws=49)
    assert twice.null.tolist() == alone.null.tolist()
    assert twice.values.shape == (2, 2)
    assert (twice.p_values == alone.p_value).all()


def test_the_packages_calibration_is_the_same():
    package = pytest.importorskip("calibrated_similarity")
    import torch

    x, noise = wide(0, p=5)[0], wide(1, p=5)[0]
    y = x + 2 * noise
    orders = iter([torch.as_tensor(np.random.default_rng(k).permutation(30)) for k in range(49)])
    kept = []

    def measure(a, b):
        return mutual_neighbours(np.asarray(a), np.asarray(b), k=5)

    def permutation(n, device):
        kept.append(next(orders))
        return kept[-1]

    score, p, threshold = package.calibrate(
        torch.as_tensor(x), torch.as_tensor(y), measure, K=49, perm_fn=permutation
    )
    null = np.array([measure(x, y[order.numpy()]) for order in kept])
    value = measure(x, y)
    ours = calibrated_similarity(x, y, measure=measure, draws=49)
    # The same formulas on the package's own permutations.
    together = np.sort(np.append(null, value))
    assert float(threshold) == pytest.approx(together[math.ceil(0.95 * 50) - 1])
    assert float(p) == pytest.approx((1 + (null >= value).sum()) / 50)
    # The package computes in float32.
    assert float(score) == pytest.approx((value - float(threshold)) / (1 - float(threshold)), abs=1e-6)
    assert ours.score == pytest.approx(float(score), abs=0.1)


def test_wrong_input_is_named():
    x = wide(0)[0]
    with pytest.raises(DataError, match="x has no layers"):
        calibrated_similarity([], x)
    with pytest.raises(DataError, match="the similarity is undefined"):
        calibrated_similarity(np.ones((9, 2)), x[:9], measure=cka)
    with pytest.raises(DataError, match="differ in length"):
        calibrated_similarity(x[:9], x)
