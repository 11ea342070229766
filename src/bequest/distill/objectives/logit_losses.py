"""Losses between the logits of student and teacher: pure functions.

Every function takes logits, (N, C) or with ``mask`` (N, L, C), and averages over rows: the samples, or the
positions where the mask is True (the others are removed before anything is computed). Without rows a loss
is 0. Labels are int64, (N,) or (N, L); losses that need labels leave out rows whose label is ``UNLABELLED``.
No gradient flows to the teacher. Half-precision logits are converted to float32. A logit that is NaN or
+inf makes the loss NaN or infinite.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from bequest.distill.divergence import kl_rows, kl_terms
from bequest.distill.exchange import UNLABELLED
from bequest.distill.objectives.rows import (
    Array,
    Loss,
    Number,
    check_temperature,
    nothing,
    paired,
    precise,
)
from bequest.errors import ObjectiveError

Sigma = Literal["population", "sample"]

TINY = 1e-12
"""Added to variances, so that constant logits become 0 with a finite gradient."""

FLAT = 1e-6
"""A vector whose spread is below this share of its length is constant up to rounding."""


def kd(
    student_logits: Array, teacher_logits: Array, *, temperature: Number, mask: Tensor | None = None
) -> Loss:
    """Knowledge distillation: T² · KL(softmax(teacher / T) ‖ softmax(student / T)).

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        temperature: T > 0. The factor T² keeps the size of the gradient as T grows.
        mask: bool (N, L), True where a position counts.

    Returns:
        Summed over classes, averaged over rows ("batchmean"), in nats, ≥ 0; exactly 0 for equal logits.

    Raises:
        ObjectiveError: If the shapes differ or the temperature is not positive.

    Source: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2.

    >>> kd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), temperature=1.0)
    tensor(0.4338)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    check_temperature(temperature)
    if not len(student):
        return nothing(student)
    log_p = torch.log_softmax(teacher / temperature, -1)
    log_q = torch.log_softmax(student / temperature, -1)
    return kl_terms(log_p, log_q).sum() * (temperature * temperature / len(student))


def hard(student_logits: Array, teacher_logits: Array, *, mask: Tensor | None = None) -> Loss:
    """Hard distillation: cross-entropy to the teacher's most likely class.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in nats, ≥ 0.

    Raises:
        ObjectiveError: If the shapes differ.

    Source: Touvron et al. 2021, "Training data-efficient image transformers", section 4, hard labels.

    >>> hard(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.3, 0.1]]))
    tensor(0.1269)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    if not len(student):
        return nothing(student)
    # argmax takes NaN for the largest number: such a row has a class, but no answer.
    unanswered = teacher.isnan().any()
    return functional.cross_entropy(student, teacher.argmax(-1)).masked_fill(unanswered, math.nan)


def logit_mse(student_logits: Array, teacher_logits: Array, *, mask: Tensor | None = None) -> Loss:
    """Mean squared difference of the logits, over rows and classes; classes masked by both are left out.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        mask: bool (N, L), True where a position counts.

    Returns:
        ≥ 0; unlike the other losses it changes if a constant is added to a row's logits.

    Raises:
        ObjectiveError: If the shapes differ.

    Source: Ba & Caruana 2014, "Do deep nets really need to be deep?", equation 1.

    >>> logit_mse(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(2.)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    if not len(student):
        return nothing(student)
    masked = (student == -math.inf) & (teacher == -math.inf)  # -inf - -inf is NaN
    whole = functional.mse_loss(student.masked_fill(masked, 0.0), teacher.masked_fill(masked, 0.0))
    return whole * (masked.numel() / (~masked).sum().clamp(min=1))


def dkd(
    student_logits: Array,
    teacher_logits: Array,
    labels: Tensor,
    *,
    alpha: Number = 1.0,
    beta: Number = 8.0,
    temperature: Number = 4.0,
    mask: Tensor | None = None,
) -> Loss:
    """Decoupled distillation: T² · (α · KL of "target or not" + β · KL among the other classes).

    With p the teacher's and q the student's softmax at temperature T, y the label:
    α · KL([p_y, 1 - p_y] ‖ [q_y, 1 - q_y]) + β · KL(p without y, renormalised ‖ q without y, renormalised).
    For α = 1 and β = 1 - p_y (of each row) it is :func:`kd`.

    Args:
        student_logits: (N, C), or (N, L, C), of at least two classes.
        teacher_logits: As ``student_logits``.
        labels: (N,), or (N, L).
        alpha: α, weight of the target term.
        beta: β, weight of the non-target term.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over labelled rows, in nats, ≥ 0; 0 for equal logits.

    Raises:
        ObjectiveError: If shapes differ, there is one class, or the temperature is not positive.

    Source: Zhao et al. 2022, "Decoupled knowledge distillation", equation 7.

    >>> dkd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]), temperature=1.0)
    tensor(0.4338)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    check_temperature(temperature)
    if student.shape[1] < 2:
        raise ObjectiveError(
            "dkd needs classes besides the target", expected="C ≥ 2", got=f"C = {student.shape[1]}"
        )
    target, labelled = _targets(labels, student, mask)
    log_p, others_p = _decoupled(teacher / temperature, target)
    log_q, others_q = _decoupled(student / temperature, target)
    each = alpha * kl_rows(log_p, log_q) + beta * kl_rows(others_p, others_q)
    return temperature * temperature * _mean_of(each, labelled)


def dist(
    student_logits: Array,
    teacher_logits: Array,
    *,
    beta: Number = 1.0,
    gamma: Number = 1.0,
    temperature: Number = 1.0,
    mask: Tensor | None = None,
) -> Loss:
    """DIST, relations instead of values: T² · (β · (1 - ρ over classes) + γ · (1 - ρ over samples)).

    ρ is Pearson's correlation of the two softmax at temperature T: over the classes of each row, averaged
    over rows, and over the rows of each class, averaged over classes.

    Args:
        student_logits: (N, C), or (N, L, C); the second term needs two rows or more.
        teacher_logits: As ``student_logits``.
        beta: β, weight of the relation between classes.
        gamma: γ, weight of the relation between samples.
        temperature: T > 0.
        mask: bool (N, L), True where a position counts.

    Returns:
        In [0, 2 T² (β + γ)]; 0 for equal logits. Where a row or column is constant, ρ is undefined and is
        taken as 0, without gradient.

    Raises:
        ObjectiveError: If the shapes differ or the temperature is not positive.

    Source: Huang et al. 2022, "Knowledge distillation from a stronger teacher", equations 8 to 10.

    >>> dist(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [0.0, 2.0]]))
    tensor(0.)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    check_temperature(temperature)
    if not len(student):
        return nothing(student)
    q, p = _shares(student, temperature), _shares(teacher, temperature)
    between_classes = 1 - _pearson(q, p, 1).mean()
    between_samples = 1 - _pearson(q, p, 0).mean()
    return temperature * temperature * (beta * between_classes + gamma * between_samples)


def standardised_kd(
    student_logits: Array,
    teacher_logits: Array,
    *,
    temperature: Number = 2.0,
    weight: Number = 9.0,
    sigma: Sigma = "population",
    mask: Tensor | None = None,
) -> Loss:
    """Distillation of standardised logits: weight · kd(z(student), z(teacher)).

    z subtracts a row's mean over classes and divides by its standard deviation, so that only the relations of
    a teacher's logits matter, not their scale.

    Args:
        student_logits: (N, C), or (N, L, C).
        teacher_logits: As ``student_logits``.
        temperature: T > 0.
        weight: Factor on the loss.
        sigma: ``population`` divides squares by C, as in the paper's equation 7; ``sample`` by C - 1, as in
            its released code. The second equals the first at a temperature higher by the factor
            √(C / (C - 1)), divided by that factor squared.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over rows, in nats, ≥ 0; it does not change if a row's logits are shifted or scaled.

    Raises:
        ObjectiveError: If the shapes differ or the temperature is not positive.

    Source: Sun et al. 2024, "Logit standardization in knowledge distillation", algorithm 1.

    >>> float(standardised_kd(torch.tensor([[2.0, 0.0]]), torch.tensor([[7.0, 3.0]])))
    0.0
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    z_student, z_teacher = standardised(student, sigma=sigma), standardised(teacher, sigma=sigma)
    return weight * kd(z_student, z_teacher, temperature=temperature)


def ofa(
    student_logits: Array,
    teacher_logits: Array,
    labels: Tensor,
    *,
    epsilon: Number = 1.0,
    mask: Tensor | None = None,
) -> Loss:
    """One-for-all: cross-entropy to a teacher whose target is raised: -Σ [(p + 1_y)^ε - 1_y] · log q.

    Args:
        student_logits: (N, C), or (N, L, C); q is their softmax.
        teacher_logits: As ``student_logits``; p is their softmax.
        labels: (N,), or (N, L); y.
        epsilon: ε ≥ 1, usually up to 1.5; at 1 it is the cross-entropy to the teacher.
        mask: bool (N, L), True where a position counts.

    Returns:
        The mean over labelled rows, in nats, ≥ 0. Not a divergence: for equal logits it is not 0.

    Raises:
        ObjectiveError: If the shapes differ or ε is not positive.

    Source: Hao et al. 2023, "One-for-all: bridge the gap between heterogeneous architectures", equation 6.

    >>> ofa(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([0]), epsilon=1.0)
    tensor(1.1269)
    """
    student, teacher = paired(student_logits, teacher_logits, mask)
    if not epsilon > 0:
        raise ObjectiveError("epsilon must be positive", expected="> 0, usually 1 to 1.5", got=epsilon)
    target, labelled = _targets(labels, student, mask)
    p = torch.softmax(teacher, -1)
    raised = (p.gather(1, target) + 1).pow(epsilon) - 1
    wanted = p.pow(epsilon).scatter(1, target, raised)
    log_q = torch.log_softmax(student, -1)
    # 0 · log 0 counts as 0 where the teacher rules a class out.
    each = -torch.where(wanted == 0, 0.0, wanted * log_q).sum(-1)
    return _mean_of(each, labelled)


def standardised(logits: Tensor, *, sigma: Sigma = "population") -> Tensor:
    """Logits with mean 0 and standard deviation 1 over classes; constant rows become 0.

    Classes masked with -inf stay masked, and are left out of mean and deviation.
    """
    x = precise(logits)
    seen = x != -math.inf
    count = seen.sum(-1, keepdim=True).clamp(min=1)
    mean = torch.where(seen, x, 0.0).sum(-1, keepdim=True) / count
    centred = torch.where(seen, x - mean, 0.0)
    divisor = count if sigma == "population" else (count - 1).clamp(min=1)
    variance = centred.square().sum(-1, keepdim=True) / divisor
    return torch.where(seen, centred * (variance + TINY).rsqrt(), -math.inf)


def _targets(labels: Tensor, rows: Tensor, mask: Tensor | None) -> tuple[Int[Tensor, "m 1"], Tensor]:
    """The label of each row, 0 for rows without one, and whether the row has one."""
    flat = labels.flatten() if mask is None else labels[mask]
    if len(flat) != len(rows):
        raise ObjectiveError(
            "the labels do not fit the logits",
            expected=f"{len(rows)}, one per row",
            got=f"{len(flat)} of shape {tuple(labels.shape)}",
        )
    classes = rows.shape[-1]
    # On the CPU only: elsewhere it would wait for the device, where gather refuses large labels anyway.
    if flat.device.type == "cpu":
        wrong = (flat != UNLABELLED) & ((flat < 0) | (flat >= classes))
        if bool(wrong.any()):
            raise ObjectiveError(
                "a label is not a class",
                expected=f"0..{classes - 1}, or {UNLABELLED} for a row without a label",
                got=int(flat[wrong][0]),
                remedy=f"mark rows to be left out with {UNLABELLED}",
            )
    return flat.clamp(min=0)[:, None], flat >= 0


def _mean_of(each: Tensor, counted: Tensor) -> Tensor:
    """The mean of ``each`` over the rows that are counted; 0 if none is."""
    return torch.where(counted, each, 0.0).sum() / counted.sum().clamp(min=1)


def _decoupled(logits: Tensor, target: Tensor) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "m k"]]:
    """Log-probabilities of [target, not target], and of the other classes among themselves."""
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    rest = logits.gather(1, columns + (columns >= target))
    # Where every other class is masked with -inf, their softmax is 0 / 0; they add nothing.
    masked = (rest == -math.inf).all(-1, keepdim=True)
    rest = rest.masked_fill(masked, 0.0)
    total = rest.logsumexp(-1, keepdim=True).masked_fill(masked, -math.inf)
    both = torch.cat([logits.gather(1, target), total], 1)
    return torch.log_softmax(both, -1), torch.log_softmax(rest, -1).masked_fill(masked, -math.inf)


def _shares(logits: Tensor, temperature: Number) -> Tensor:
    """The softmax (N, C), or its excess over 1/C at temperatures that make all rows nearly uniform.

    Both have the same correlations, but the excess keeps its digits where a softmax is close to 1/C.
    """
    below = (logits - logits.amax(-1, keepdim=True).detach()) / temperature
    exponentials = below.exp()
    excess = below.expm1() - below.expm1().mean(-1, keepdim=True)
    return torch.where((below > -1).all(), excess, exponentials) / exponentials.sum(-1, keepdim=True)


def _pearson(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Pearson's correlation along ``dim``; 0 where one of the two is constant."""
    x_centred, y_centred = x - x.mean(dim, keepdim=True), y - y.mean(dim, keepdim=True)
    x_spread, y_spread = x_centred.norm(dim=dim), y_centred.norm(dim=dim)
    # "<=" for constant, not ">" for the opposite: NaN compares false, and must stay NaN.
    constant = (x_spread <= FLAT * x.norm(dim=dim)) | (y_spread <= FLAT * y.norm(dim=dim))
    product = torch.where(constant, 1.0, x_spread * y_spread)
    return torch.where(constant, 0.0, (x_centred * y_centred).sum(dim) / product)
