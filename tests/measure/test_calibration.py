from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from torchmetrics.functional.classification import multiclass_calibration_error

from bequest.errors import DataError
from bequest.measure import (
    accuracy,
    classwise_calibration_error,
    expected_calibration_error,
    fit_temperature,
    mean_confidence_gap,
    nll,
    reason_of,
    reliability,
)


def made(seed: int, n: int = 300, c: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probs = special.softmax(2 * rng.normal(size=(n, c)), axis=1)
    labels = np.where(rng.random(n) < 0.6, probs.argmax(1), rng.integers(0, c, n))
    return probs, labels


def by_definition(probs, labels, bins):
    """Sum over bins (b/B, (b+1)/B], one sample at a time."""
    groups: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(probs, labels, strict=True):
        b = next(b for b in range(bins) if row.max() <= (b + 1) / bins or b == bins - 1)
        groups.setdefault(b, []).append((row.max(), row.argmax() == label))
    return sum(abs(sum(hit for _, hit in g) - sum(conf for conf, _ in g)) for g in groups.values()) / len(
        probs
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_equals_its_definition_and_torchmetrics_away_from_one(seed, bins):
    probs, labels = made(seed)
    value = expected_calibration_error(probs, labels, bins=bins)
    assert value == pytest.approx(by_definition(probs, labels, bins), abs=1e-12)
    other = multiclass_calibration_error(torch.from_numpy(probs), torch.from_numpy(labels), 5, n_bins=bins)
    assert value == pytest.approx(float(other), abs=1e-6)


def test_confidence_one_is_in_the_last_bin():
    probs, labels = np.array([[0.95, 0.05], [1.0, 0.0]]), np.array([0, 1])
    # By hand: one bin holds both, |1/2 − 1.95/2| = .475. A hidden bin for 1.0 would give (.05 + 1)/2 = .525.
    assert expected_calibration_error(probs, labels) == pytest.approx(0.475)
    hidden = multiclass_calibration_error(torch.tensor(probs), torch.tensor(labels), 2, n_bins=15)
    assert float(hidden) == pytest.approx(0.525)


def test_bins_are_closed_on_the_right():
    table = reliability(np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]), np.zeros(3, int), bins=4)
    assert table.count.tolist() == [0, 1, 1, 1]
    assert table.high.tolist() == [0.25, 0.5, 0.75, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from(["width", "mass"]))
def test_tables_account_for_every_sample_and_ignore_their_order(seed, bins, binning):
    probs, labels = made(seed, n=50)
    probs = np.round(probs * 8) / 8
    probs[:, 0] += 1 - probs.sum(axis=1)
    probs = np.clip(probs, 0, None) / np.clip(probs, 0, None).sum(axis=1, keepdims=True)
    table = reliability(probs, labels, bins=bins, binning=binning)
    order = np.random.default_rng(seed).permutation(50)
    again = reliability(probs[order], labels[order], bins=bins, binning=binning)
    held = table.count > 0
    assert table.count.sum() == 50
    assert (table.count * np.nan_to_num(table.accuracy)).sum() / 50 == pytest.approx(
        (probs.argmax(1) == labels).mean()
    )
    assert np.array_equal(table.count, again.count)
    assert again.error == pytest.approx(table.error, abs=1e-12)
    assert (table.low[held] - 1e-12 <= table.confidence[held]).all()
    assert (table.confidence[held] <= table.high[held] + 1e-12).all()
    assert table.error <= table.largest_gap + 1e-12


def test_equal_mass_fills_bins_evenly_and_keeps_equal_confidences_together():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 40)
    table = reliability(np.stack([confidence, 1 - confidence], 1), np.zeros(40, int), bins=8, binning="mass")
    assert table.count.tolist() == [5] * 8
    assert (np.diff(table.low) > 0).all()
    same = reliability(np.tile([0.7, 0.3], (40, 1)), np.zeros(40, int), bins=8, binning="mass")
    assert same.count.tolist() == [40]
    assert same.error == pytest.approx(0.3)


def test_a_calibrated_model_has_no_error_but_a_confidence_gap():
    probs, labels = np.tile([0.75, 0.25], (400, 1)), np.array([0, 0, 0, 1] * 100)
    assert expected_calibration_error(probs, labels) == pytest.approx(0, abs=1e-12)
    assert mean_confidence_gap(probs, labels) == pytest.approx(2 * 0.75 * 0.25)


def test_ever_more_bins_turn_the_error_into_the_confidence_gap():
    probs, labels = made(3)
    found = expected_calibration_error(probs, labels, bins=1_000_000)
    assert found == pytest.approx(mean_confidence_gap(probs, labels), abs=1e-9)


def test_empty_bins_are_nan_and_empty_sets_undefined():
    table = reliability(np.array([[0.9, 0.1]]), np.array([0]), bins=2)
    assert math.isnan(table.accuracy[0])
    nothing, labels = np.zeros((0, 3)), np.zeros(0, int)
    for binning in ("width", "mass"):
        assert reason_of(expected_calibration_error(nothing, labels, binning=binning)) == "no samples"
    assert reason_of(mean_confidence_gap(nothing, labels)) == "no samples"
    assert reason_of(reliability(nothing, labels).largest_gap) == "no samples"


def test_wrong_input_is_named():
    probs, labels = made(0)
    with pytest.raises(DataError, match="bins is too small"):
        expected_calibration_error(probs, labels, bins=0)
    with pytest.raises(DataError, match="there are too many bins"):
        expected_calibration_error(probs, labels, bins=10**9)
    with pytest.raises(DataError, match="apply softmax to logits first"):
        expected_calibration_error(np.log(probs), labels)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_classwise_error_is_the_mean_of_two_column_errors(binning):
    probs, labels = made(2)
    expected = []
    for k in range(5):
        place = (
            np.minimum(np.ceil(probs[:, k] * 10).astype(int) - 1, 9)
            if binning == "width"
            else np.argsort(np.argsort(probs[:, k])) * 10 // len(probs)
        )
        gaps = [abs(((labels == k) - probs[:, k])[place == b].sum()) for b in range(10)]
        expected.append(sum(gaps) / len(probs))
    found = classwise_calibration_error(probs, labels, bins=10, binning=binning)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)
    assert reason_of(classwise_calibration_error(probs[:0], labels[:0])) == "no samples"


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 50.0])
def test_the_fitted_temperature_has_the_lowest_nll(scale):
    probs, labels = made(1)
    logits = scale * np.log(probs)
    found = fit_temperature(logits, labels)

    def loss(log_temperature):
        return nll(special.log_softmax(logits / np.exp(log_temperature), axis=1), labels)

    best = optimize.minimize_scalar(loss, bounds=(np.log(found) - 3, np.log(found) + 3), method="bounded")
    assert found == pytest.approx(np.exp(best.x), rel=1e-3)
    assert loss(np.log(found)) <= best.fun + 1e-12
    assert fit_temperature(logits / found, labels) == pytest.approx(1, rel=1e-9)
    assert accuracy(logits / found, labels) == accuracy(logits, labels)


def test_no_best_temperature_is_undefined():
    labels = np.array([0, 1, 2])
    right = 5 * np.eye(3)
    assert reason_of(fit_temperature(right, labels)) == "no temperature is best: every answer is right"
    for logits in (np.zeros((3, 3)), -right):
        assert "say nothing about the labels" in str(reason_of(fit_temperature(logits, labels)))
    assert reason_of(fit_temperature(right[:0], labels[:0])) == "no samples"
    with pytest.raises(DataError, match="logits holds -inf"):
        fit_temperature(np.array([[-math.inf, 0.0]]), np.array([0]))


def test_probabilities_are_no_logits():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), size=20)
    with pytest.raises(DataError, match="logits are probabilities"):
        fit_temperature(probs, np.zeros(20, dtype=int))


def test_logits_near_the_largest_float_have_a_temperature():
    small = np.array([[1.0, -1.0]] * 3 + [[-1.0, 1.0]])
    labels = np.zeros(4, dtype=int)
    fitted = fit_temperature(small, labels)
    assert fit_temperature(small * 1e307, labels) == pytest.approx(fitted * 1e307)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_softmax_in_half_precision_is_measured(dtype):
    logits = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    labels = logits.argmax(1)
    exact = expected_calibration_error(torch.softmax(logits, -1), labels)
    halved = expected_calibration_error(torch.softmax(logits, -1).to(dtype), labels)
    assert halved == pytest.approx(exact, abs=0.01)
