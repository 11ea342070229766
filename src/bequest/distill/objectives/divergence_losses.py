"""Divergences other than forward KL between the distributions of teacher and student: pure functions.

Shapes, masks and dtypes are those of :mod:`bequest.distill.objectives.logit_losses`. p is the teacher's and q
the student's softmax at temperature T; each loss is averaged over rows and has the factor T².
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bequest.distill.divergence import kl_rows
from bequest.distill.objectives.rows import (
    Array,
    Loss,
    Number,
    check_temperature,
    nothing,
    paired,
)
from bequest.errors import ObjectiveError


def reverse_kl(
    student_logits: Array, teacher_logits: Array, *, temperature: Number = 1.0, mask: Tensor | None = None
) -> Loss:
    """T² · KL(q ‖ p): a student that cannot cover every mode keeps to the teacher's largest ones.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``; a class masked with -inf makes the loss infinite unless the
            student masks it too.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in nats, ≥ 0; 0 for equal logits.

    Raises:
        ObjectiveError: If the shapes differ or the temperature is not positive.

    Source: Gu et al. 2024, "MiniLLM: knowledge distillation of large language models", section 2.

    >>> reverse_kl(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.3278)
    """
    log_p, log_q = _log_probs(student_logits, teacher_logits, temperature, mask)
    return _mean(kl_rows(log_q, log_p), log_q, temperature)


def jensen_shannon(
    student_logits: Array,
    teacher_logits: Array,
    *,
    beta: Number = 0.5,
    temperature: Number = 1.0,
    mask: Tensor | None = None,
) -> Loss:
    """Generalised Jensen-Shannon: T² · (β · KL(p ‖ m) + (1 - β) · KL(q ‖ m)), m = β · p + (1 - β) · q.

    Divided by β it tends to KL(p ‖ q) as β → 0, divided by 1 - β to KL(q ‖ p) as β → 1.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        beta: β in (0, 1); 1/2 is the symmetric divergence of Lin 1991, at most log 2.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in nats, ≥ 0; 0 for equal logits.

    Raises:
        ObjectiveError: If the shapes differ, β is not inside (0, 1) or the temperature is not positive.

    Source: Agarwal et al. 2024, "On-policy distillation of language models: learning from self-generated
    mistakes", section 2 (β weighs the teacher).

    >>> jensen_shannon(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.0895)
    """
    if not 0 < beta < 1:
        raise ObjectiveError("beta must lie between 0 and 1", expected="0 < β < 1, such as 0.5", got=beta)
    log_p, log_q = _log_probs(student_logits, teacher_logits, temperature, mask)
    log_m = _mixture(log_p, log_q, beta)
    return _mean(beta * kl_rows(log_p, log_m) + (1 - beta) * kl_rows(log_q, log_m), log_q, temperature)


def total_variation(
    student_logits: Array, teacher_logits: Array, *, temperature: Number = 1.0, mask: Tensor | None = None
) -> Loss:
    """T² · Σ |p - q| / 2, T² times the largest difference between the probabilities of any event.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in [0, T²]; 0 for equal logits.

    Raises:
        ObjectiveError: If the shapes differ or the temperature is not positive.

    Source: Wen et al. 2023, "f-divergence minimization for sequence-level knowledge distillation".

    >>> total_variation(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.3808)
    """
    log_p, log_q = _log_probs(student_logits, teacher_logits, temperature, mask)
    return _mean((log_p.exp() - log_q.exp()).abs().sum(-1) / 2, log_q, temperature)


def skew_kl(
    student_logits: Array,
    teacher_logits: Array,
    *,
    skew: Number = 0.1,
    reverse: bool = False,
    temperature: Number = 1.0,
    mask: Tensor | None = None,
) -> Loss:
    """Skewed KL: T² · KL(p ‖ λ · p + (1 - λ) · q); reverse: T² · KL(q ‖ λ · q + (1 - λ) · p).

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        skew: λ in [0, 1); at 0 it is KL, above 0 it is finite (at most -T² log λ) even with masked classes.
        reverse: Exchange p and q.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in nats, ≥ 0; 0 for equal logits.

    Raises:
        ObjectiveError: If the shapes differ, λ is not in [0, 1) or the temperature is not positive.

    Source: Ko et al. 2024, "DistiLLM: towards streamlined distillation for large language models".

    >>> skew_kl(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), skew=0.0)
    tensor(0.4338)
    """
    if not 0 <= skew < 1:
        raise ObjectiveError("the skew must lie in [0, 1)", expected="0 ≤ λ < 1, such as 0.1", got=skew)
    log_p, log_q = _log_probs(student_logits, teacher_logits, temperature, mask)
    first, second = (log_q, log_p) if reverse else (log_p, log_q)
    if skew > 0:
        second = _mixture(first, second, skew)
    return _mean(kl_rows(first, second), log_q, temperature)


def _log_probs(
    student_logits: Array, teacher_logits: Array, temperature: Number, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Log p and log q, (rows, C)."""
    student, teacher = paired(student_logits, teacher_logits, mask)
    check_temperature(temperature)
    return torch.log_softmax(teacher / temperature, -1), torch.log_softmax(student / temperature, -1)


def _mixture(log_p: Tensor, log_q: Tensor, share: Number) -> Tensor:
    """log(share · p + (1 - share) · q)."""
    # Where both are 0, logaddexp has the gradient 0 / 0.
    masked = (log_p == -math.inf) & (log_q == -math.inf)
    first, second = (each.masked_fill(masked, 0.0) for each in (log_p, log_q))
    mixed = torch.logaddexp(first + math.log(share), second + math.log(1 - share))
    return mixed.masked_fill(masked, -math.inf)


def _mean(each: Tensor, log_q: Tensor, temperature: Number) -> Loss:
    """T² · the mean over rows; 0 without rows."""
    return temperature * temperature * each.mean() if len(each) else nothing(log_q)
