"""Divergences of distributions, row by row, from log-probabilities.

Each takes log-probabilities with the classes as the last axis, and counts 0 · log 0 as 0: a class that both
distributions mask with -inf adds nothing, to the value and to the gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def kl_terms(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The terms p · (log p - log q) of each class, which :func:`kl_rows` sums.

    Args:
        log_p: (..., C).
        log_q: As ``log_p``.
    """
    # Not ">", which is false for NaN: a NaN must stay in the sum, where the training loop finds it.
    possible = log_p != -math.inf
    gap = torch.where(possible, log_p - log_q, 0.0)
    return torch.where(possible, log_p.exp(), 0.0) * gap


def kl_rows(log_p: Tensor, log_q: Tensor) -> Float[Tensor, "..."]:
    """KL(p ‖ q) of each row, in nats, ≥ 0; infinite where q rules out what p does not.

    Args:
        log_p: (..., C).
        log_q: As ``log_p``.

    >>> half = torch.tensor([0.5, 0.5]).log()
    >>> float(kl_rows(half, half)), float(kl_rows(torch.tensor([1.0, 0.0]).log(), half))
    (0.0, 0.6931471824645996)
    """
    return kl_terms(log_p, log_q).sum(-1)


def entropy_rows(log_p: Tensor) -> Float[Tensor, "..."]:
    """-Σ p · log p of each row, in [0, log C] nats.

    Args:
        log_p: (..., C).

    >>> float(entropy_rows(torch.tensor([0.5, 0.5, 0.0]).log()))
    0.6931471824645996
    """
    return -(log_p.exp() * torch.where(log_p != -math.inf, log_p, 0.0)).sum(-1)
