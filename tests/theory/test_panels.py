"""Integrals by halved panels: against closed forms, smooth and with jumps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from bequest.theory import panels
from bequest.theory.panels import expectations


def test_polynomials_have_their_moments():
    powers = np.arange(5)
    moments = expectations(lambda i, z: z ** powers[i], 5, 1e-12)
    assert moments == pytest.approx([1, 0, 1, 0, 3], abs=1e-12)


@pytest.mark.parametrize("width", [1e-1, 1e-4, 1e-8, 0.0])
def test_steps_of_any_width_anywhere_have_their_mass(width):
    """E Φ((z − c)/w) = Φ(−c/√(1 + w²)), also where c lies on or next to the edge of a panel."""
    centres = np.concatenate([np.linspace(-4, 4, 41), 1.0 + np.array([1e-9, 1e-6, 1e-3, 5e-3])])

    def step(i, z):
        gap = z - centres[i]
        return ndtr(gap / width) if width else 1.0 * (gap > 0)

    exact = ndtr(-centres / np.sqrt(1 + width**2))
    assert expectations(step, 45, 1e-10) == pytest.approx(exact, abs=1e-9)


def test_two_jumps_are_both_met():
    values = expectations(lambda i, z: 1.0 * (np.abs(z - 0.3) < 0.2), 1, 1e-10)
    assert values == pytest.approx([ndtr(0.5) - ndtr(0.1)], abs=1e-9)


def test_batches_change_nothing():
    def step(i, z):
        return ndtr(50.0 * (z - 0.1 * i))

    assert expectations(step, 7, 1e-9, batch=13) == pytest.approx(expectations(step, 7, 1e-9), abs=1e-15)


def test_undefined_integrands_end_and_stay_undefined():
    values = expectations(lambda i, z: np.where(i == 1, np.nan, z**2), 3, 1e-9)
    assert np.isnan(values).tolist() == [False, True, False]


def test_halving_ends(monkeypatch):
    monkeypatch.setattr(panels, "MOST_HALVINGS", 3)
    assert expectations(lambda i, z: 1.0 * (z > 0.1), 1, 1e-12) == pytest.approx([ndtr(-0.1)], abs=0.05)
