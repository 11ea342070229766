"""The input of an objective in one training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from bequest.data.batches import UNLABELLED

__all__ = ["UNLABELLED", "Exchange"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One batch with the answers of student and teachers.

    Attributes:
        student_logits: (N, C), or (N, L, C) for sequences.
        labels: int64 class indices, (N,) or (N, L), ``UNLABELLED`` where there is none; None if all are.
        partner_labels: The labels of the mixing partners, as ``labels``; None without mixup or CutMix.
        label_weight: (N,), the weight of ``labels`` in [0, 1]; ``partner_labels`` have the rest.
        mask: bool (N, L), True where a position counts; None if all do.
        teacher_logits: One tensor per teacher (after combination), each shaped as ``student_logits``.
        student_tokens: (N, T, C), one logit vector per token, from models with a token for each teacher.
        student_features: Named activations of the student, (N, ...).
        teacher_features: Named activations of each teacher, (N, ...).
        clean_logits: The student's answers to the samples as they are, without gradient, shaped as
            ``student_logits``; None unless the objective reads them.
        rows: Positions that count in this step, over all micro-batches and ranks; None: those given here.
            With it, the losses of the pieces of a batch sum to the loss of the whole batch.
        labelled: Positions with a label, counted in the same way.
        step: Optimizer steps taken so far.
        steps: Optimizer steps of the whole run.
    """

    student_logits: Tensor
    labels: Tensor | None = None
    partner_labels: Tensor | None = None
    label_weight: Tensor | None = None
    mask: Tensor | None = None
    teacher_logits: tuple[Tensor, ...] = ()
    student_tokens: Tensor | None = None
    student_features: Mapping[str, Tensor] = field(default_factory=dict)
    teacher_features: tuple[Mapping[str, Tensor], ...] = ()
    clean_logits: Tensor | None = None
    rows: int | None = None
    labelled: int | None = None
    step: int = 0
    steps: int = 1
