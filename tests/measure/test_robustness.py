from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bequest.data.corruptions import FAMILIES, MNIST_C, corrupt, gaussian_blur, rotate
from bequest.errors import DataError
from bequest.measure import accuracy, corruption_robustness, nll, reason_of, relative_to_clean, severity_curve
from bequest.measure.robustness import SeverityCurve

X = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
IDS, LABELS = torch.arange(100, 140), torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(1))
WEIGHT = torch.randn(144, 3, generator=torch.Generator().manual_seed(2))


def answer(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1) @ WEIGHT


def test_a_curve_is_the_score_at_each_level():
    found = severity_curve(answer, X, IDS, LABELS, rotate, seed=5)
    assert found.levels.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.values[0] == accuracy(answer(X), LABELS)
    assert found.values[4] == accuracy(answer(corrupt("rotate", X, IDS, 4, seed=5)), LABELS)
    assert found.relative == pytest.approx(np.mean(found.values[1:]) / found.values[0])


def test_any_score_will_do():
    def likelihood(scores, labels):
        return math.exp(-nll(torch.log_softmax(scores, 1), labels))

    found = severity_curve(answer, X, IDS, LABELS, gaussian_blur, score=likelihood)
    assert found.values[2] == pytest.approx(likelihood(answer(corrupt("gaussian_blur", X, IDS, 2)), LABELS))


def test_robustness_is_the_mean_over_the_fifteen():
    found = corruption_robustness(answer, X, IDS, LABELS, seed=3)
    assert list(found.values) == [c.name for c in MNIST_C]
    by_hand = [accuracy(answer(c(X, IDS, seed=3)), LABELS) for c in MNIST_C]
    assert found.mean == pytest.approx(np.mean(by_hand))
    assert found.relative == pytest.approx(np.mean(by_hand) / accuracy(answer(X), LABELS))


def test_shares_of_nothing_are_undefined():
    assert reason_of(relative_to_clean(0.0, {"fog": 0.1}).relative) == "the clean score is 0"
    assert relative_to_clean(0.0, {"fog": 0.1}).mean == 0.1
    assert reason_of(relative_to_clean(0.9, {}).mean) == "no corruptions"
    lost = relative_to_clean(0.9, {"fog": math.nan, "scale": 0.5})
    assert reason_of(lost.mean) == reason_of(lost.relative) == "undefined under fog"
    empty = corruption_robustness(answer, X[:0], IDS[:0], LABELS[:0])
    assert reason_of(empty.mean).startswith("undefined under shot_noise, ")
    assert reason_of(severity_curve(answer, X[:0], IDS[:0], LABELS[:0], rotate).relative) == (
        "the clean score is undefined: the value is not a number"
    )
    broken = SeverityCurve("fog", np.arange(3), np.array([0.9, 0.5, math.nan]))
    assert reason_of(broken.relative) == "fog is undefined at level 2"


def test_families_without_a_published_level_are_named():
    assert gaussian_blur in FAMILIES
    with pytest.raises(DataError, match="the corruption 'gaussian_blur' has no published level"):
        corruption_robustness(answer, X, IDS, LABELS, corruptions=[gaussian_blur])
