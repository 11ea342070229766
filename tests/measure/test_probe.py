from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from bequest.errors import DataError
from bequest.measure import linear_probe, reason_of


def made(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) * 10.0 ** np.arange(6)
    return x, np.argmax(np.stack([x[:, 0], x[:, 1] / 10, 0.3 * rng.normal(size=n)]), axis=0)


def test_one_penalty_equals_scikit_learns_classifier():
    (x, y), (t, truth) = made(0), made(1)
    scaler = StandardScaler().fit(x)
    expected = RidgeClassifier(alpha=3.0).fit(scaler.transform(x), y).score(scaler.transform(t), truth)
    assert linear_probe(x, y, t, truth, penalties=[3.0]) == pytest.approx(expected)
    assert linear_probe(x, y, t, truth) > 0.8


def test_scale_shift_and_constant_features_do_not_matter():
    (x, y), (t, truth) = made(0), made(1)
    value = linear_probe(x, y, t, truth)
    wider = [np.concatenate([1000 * side + 7, np.full((200, 1), 0.1)], axis=1) for side in (x, t)]
    assert linear_probe(wider[0], y, wider[1], truth) == value


def test_noise_is_read_at_chance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 5)), rng.integers(0, 2, 2000)
    # 1,000 tosses: the standard error is .016; four of them.
    assert linear_probe(x[:1000], y[:1000], x[1000:], y[1000:]) == pytest.approx(0.5, abs=0.064)


def test_nothing_to_read_is_undefined():
    x, y = made(0)
    assert reason_of(linear_probe(x, 0 * y, x, y)) == "1 classes in the training set; a probe needs 2 or more"
    assert reason_of(linear_probe(0 * x + 0.1, y, x, y)) == "the features are constant"
    assert reason_of(linear_probe(x, y, x[:0], y[:0])) == "no test samples"


def test_wrong_input_is_named():
    x, y = made(0)
    with pytest.raises(DataError, match="features and test_features differ in width"):
        linear_probe(x, y, x[:, :3], y)
    with pytest.raises(DataError, match="features and labels differ in length"):
        linear_probe(x, y[:9], x, y)
    x[0, 0] = math.nan
    with pytest.raises(DataError, match="features holds NaN or infinite numbers"):
        linear_probe(x, y, x, y)
