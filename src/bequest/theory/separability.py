"""Whether the training set is linearly separable, so that the unpenalised logistic minimiser diverges."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from bequest.theory.parameters import Array, Numbers, checked


def separability_threshold(delta: Numbers, rho: Numbers, eta: Numbers = 1.0) -> Array:
    r"""The samples per input α_c below which the mixture is almost surely linearly separable.

    .. math:: 1/α_c = \frac{1}{Δ'} \min_{m,b} E_{τ,z}\big[(\sqrt{Δ'(1+m²)}\, z − m − τ b)_+²\big],
        \qquad Δ' = Δ/η,

    and ηα_c in samples per *full* input when only ηN inputs are seen. From Gordon's comparison theorem, as
    for logistic regression in Candès & Sur 2020 ("The phase transition for the existence of the maximum
    likelihood estimate", Theorem 1); without signal and with equally frequent labels it is Cover's 2.

    Args:
        delta: Noise Δ > 0.
        rho: P(y = 1) in (0, 1).
        eta: Fraction of inputs seen, in (0, 1].

    Returns:
        α_c, in the broadcast shape; the data are separable for α < α_c.

    Raises:
        ConfigError: If an argument is out of range.

    >>> round(float(separability_threshold(1e8, 0.5)), 4)
    2.0
    >>> bool(separability_threshold(1.0, 0.2) > separability_threshold(1.0, 0.5))
    True
    """
    values = checked("separability_threshold", {"delta": delta, "rho": rho, "eta": eta})
    shape = values["delta"].shape
    noise = (values["delta"] / values["eta"]).ravel()
    slack = _least_slack(noise, np.stack([values["rho"].ravel(), 1.0 - values["rho"].ravel()]))
    return (values["eta"].ravel() * noise / slack).reshape(shape)


def _least_slack(noise: Array, label: Array) -> Array:
    """The minimum over (m, b), by Newton's method with halved steps: the function is convex."""
    signs = np.array([[1.0], [-1.0]])
    x = np.zeros((2, noise.size))
    value, gradient, hessian = _slack(x, noise, label, signs)
    for _ in range(100):
        step = np.linalg.solve(hessian.transpose(2, 0, 1), gradient.T[..., None])[..., 0].T
        size = np.ones(noise.size)
        for _ in range(30):
            trial = _slack(x - size * step, noise, label, signs)
            worse = ~(trial[0] <= value * (1.0 + 1e-14))  # at the minimum, rounding is no worsening
            if not worse.any():
                break
            size = np.where(worse, size / 2.0, size)
        x = x - size * step
        value, gradient, hessian = trial
        if np.abs(size * step).max() < 1e-9:
            break
    return value


def _slack(x: Array, noise: Array, label: Array, signs: Array) -> tuple[Array, Array, Array]:
    """E[u_+²] for u = √Δ(z + m z') − m − τb, with gradient and Hessian in (m, b).

    By Stein's identity in z' the derivatives need only three numbers: P(u > 0), E[u_+] and the density at 0.
    """
    m, b = x
    width = np.sqrt(noise * (1.0 + m**2))
    mean = m + signs * b
    ratio = mean / width
    beyond = ndtr(-ratio)
    density = np.exp(-0.5 * ratio**2) / np.sqrt(2.0 * np.pi)
    excess = width * density - mean * beyond
    value = (label * ((mean**2 + width**2) * beyond - mean * width * density)).sum(axis=0)
    down = (label * excess).sum(axis=0)
    probability = (label * beyond).sum(axis=0)
    gradient = np.stack([2.0 * (noise * m * probability - down), -2.0 * (label * signs * excess).sum(axis=0)])
    # dP(u > 0)/dm and dP/db through ratio = (m + τb)/width
    ratio_m = 1.0 / width - ratio * noise * m / width**2
    excess_m = noise * m / width * density - beyond
    tilt = (label * density * ratio_m).sum(axis=0)
    mm = 2.0 * (noise * probability - noise * m * tilt - (label * excess_m).sum(axis=0))
    mb = -2.0 * (label * signs * excess_m).sum(axis=0)
    bb = 2.0 * probability
    return value, gradient, np.array([[mm, mb], [mb, bb]])
