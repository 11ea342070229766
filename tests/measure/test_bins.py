from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.measure import brier_parts, expected_calibration_error, reliability
from bequest.measure.arrays import precision
from bequest.measure.bins import bin_of, edges


def test_edges_are_the_numbers_that_one_writes():
    assert edges(100)[7] == 0.07
    assert edges(100)[[0, 100]].tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bins", [2, 10, 15])
def test_an_edge_is_in_the_bin_below_it_in_every_type(dtype, bins):
    on_edges = torch.arange(1, bins + 1, dtype=torch.float64).div(bins).to(dtype)
    places = bin_of(on_edges.double().numpy(), bins, precision=precision(on_edges))
    assert places.tolist() == list(range(bins))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_next_number_of_the_type_is_in_the_bin_above(dtype):
    edge = torch.tensor([0.1, 0.3, 0.5, 0.7], dtype=torch.float64).to(dtype)
    # Two steps in float64, where logarithms and sums may cost a few; one elsewhere.
    spacing = float(torch.finfo(dtype).eps)
    above = (edge.double() * (1 + (5 if dtype == torch.float64 else 1) * spacing)).to(dtype)
    assert bin_of(above.double().numpy(), 10, precision=spacing).tolist() == [1, 3, 5, 7]


def test_logarithms_do_not_move_a_confidence_over_an_edge():
    confidences = np.arange(1, 10) / 10
    there_and_back = np.exp(np.log(confidences))
    spacing = float(np.finfo(np.float64).eps)
    assert bin_of(there_and_back, 10, precision=spacing).tolist() == list(range(9))


def test_reliability_is_the_same_in_float32_and_float64():
    confidence = np.repeat(np.arange(5, 10) / 10, 20)
    probs = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.arange(100) % 3 % 2
    wide, narrow = (reliability(probs.astype(t), labels, bins=10) for t in (np.float64, np.float32))
    assert narrow.count.tolist() == wide.count.tolist() == [0] * 4 + [20] * 5 + [0]
    ece = [expected_calibration_error(probs.astype(t), labels, bins=10) for t in (np.float64, np.float32)]
    assert ece[0] == pytest.approx(ece[1], abs=1e-6)


def test_forecasts_of_7_and_8_percent_are_in_bins_of_their_own():
    probs = np.array([[0.07, 0.93], [0.08, 0.92]] * 50)
    parts = brier_parts(probs, np.arange(100) % 2, bins=100)
    # Each bin holds one forecast: nothing is left inside.
    assert parts.within == pytest.approx(0, abs=1e-15)
