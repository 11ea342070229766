"""The data of the solvable model: two Gaussian clusters, and the least error on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from bequest.theory.parameters import Array, Numbers, checked


@dataclass(frozen=True)
class Mixture:
    r"""M = αN samples of a two-cluster Gaussian mixture in N dimensions, N → ∞.

    The label is y = 1 with probability ρ, else 0; the input is x = (2y − 1) v/√N + √Δ z with z ~ N(0, I)
    and v ~ N(0, I), so that |v|²/N → 1. Each parameter may be an array; they broadcast.

    Args:
        alpha: Samples per input, α > 0.
        delta: Variance of the noise, Δ > 0.
        rho: P(y = 1), in (0, 1).

    Raises:
        ConfigError: Lists every parameter that is out of range.

    Source: Saglietti & Zdeborová 2022, "Solvable Model for Inheriting the Regularization through Knowledge
    Distillation", arXiv:2012.00194.

    >>> Mixture(alpha=2, delta=1, rho=0.2).shape
    ()
    """

    alpha: Numbers
    delta: Numbers
    rho: Numbers

    def __post_init__(self) -> None:
        checked("Mixture", self.values())

    def values(self) -> dict[str, Numbers]:
        """The parameters by name."""
        return {"alpha": self.alpha, "delta": self.delta, "rho": self.rho}

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the parameters broadcast to."""
        return np.broadcast_shapes(*(np.shape(value) for value in self.values().values()))


def bayes_error(mixture: Mixture, eta: Numbers = 1.0) -> Array:
    r"""The least test error that any learner of the αN samples can have, knowing Δ and ρ.

    The posterior of v has overlap q = α/(α + Δ) with the truth on each input seen, so the best field is
    normal with mean ±ηq and variance Δηq, and the best bias is (Δ/2) log(ρ/(1 − ρ)).

    Args:
        mixture: The data.
        eta: Fraction of the inputs seen, in (0, 1].

    Raises:
        ConfigError: If ``eta`` is out of range or does not broadcast.

    >>> round(float(bayes_error(Mixture(2, 1, 0.5))), 5), round(float(bayes_error(Mixture(2, 1, 0.2))), 5)
    (0.20711, 0.14092)
    """
    values = checked("bayes_error", {**mixture.values(), "eta": eta})
    overlap = values["eta"] * values["alpha"] / (values["alpha"] + values["delta"])
    return _best_error(overlap, values["delta"], values["rho"])


def oracle_error(mixture: Mixture, eta: Numbers = 1.0) -> Array:
    """The test error with v known on the inputs seen: the limit α → ∞ of :func:`bayes_error`.

    >>> round(float(oracle_error(Mixture(2, 1, 0.5))), 5)
    0.15866
    """
    values = checked("oracle_error", {**mixture.values(), "eta": eta})
    return _best_error(values["eta"], values["delta"], values["rho"])


def _best_error(overlap: Numbers, delta: Array, rho: Array) -> Array:
    bias = 0.5 * delta * np.log(rho / (1.0 - rho))
    overlap = np.asarray(overlap)
    width = np.sqrt(delta * overlap)
    return np.asarray(rho * ndtr(-(overlap + bias) / width) + (1.0 - rho) * ndtr(-(overlap - bias) / width))
