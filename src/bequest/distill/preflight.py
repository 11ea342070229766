"""What is looked at before the first step, so that a run that cannot work does not start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from bequest.data.datasets import Dataset
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import Objective
from bequest.distill.teachers import AnyTeacher
from bequest.errors import ModelError, ObjectiveError

ROWS = 2
"""Shuffling needs at least so many rows."""


def check_teachers(teachers: Sequence[AnyTeacher], student: nn.Module, data: Dataset) -> None:
    """Refuse teachers that cannot teach this student.

    Raises:
        TeacherChanged: If one is in training mode.
        ModelError: If one has another label space than the data, or shares a tensor with the student.
    """
    for teacher in teachers:
        teacher.verify_mode()
        if teacher.shares(student):
            raise ModelError(
                f"the teacher {teacher.name!r} and the student share parameters or buffers",
                expected="two networks of their own",
                got="tensors that belong to both, which training the student would change",
                remedy="copy one of them (copy.deepcopy)",
            )
        width = teacher.evaluated(data["train"].x[:ROWS]).shape[-1]
        if width != len(data.classes):
            raise ModelError(
                f"the teacher {teacher.name!r} has another label space than the data",
                expected=f"{len(data.classes)} logits",
                got=f"{width} logits",
                remedy="replace the teacher's head, or map its classes to the data's",
            )


def check_alive(objective: Objective, exchange: Exchange, learned: nn.Module | None) -> None:
    """Refuse a signal to which the loss does not listen: each teacher's answers, shuffled, must change it.

    The student's answers are replaced by noise, since a fresh student may answer everything alike; the
    beginning, the middle and the end of the run are tried, since a schedule may silence a teacher for a
    while.

    Raises:
        ObjectiveError: Names the teacher whose shuffled answers change nothing.
    """
    if len(exchange.student_logits) < ROWS:
        return
    posed = _with_noise(exchange)
    moments = sorted({0, exchange.steps // 2, max(0, exchange.steps - 1)})
    for teacher in range(max(len(exchange.teacher_logits), len(exchange.teacher_features))):
        pairs = [_losses(objective, replace(posed, step=step), teacher, learned) for step in moments]
        if all(plain == other or not math.isfinite(other) for plain, other in pairs):
            plain, other = pairs[0]
            raise ObjectiveError(
                f"the signal of teacher {teacher} is dead: shuffling its answers does not change the loss",
                expected="answers that differ between inputs, are finite, and enter the objective",
                got=f"a loss of {plain:.6g} and, shuffled, of {other:.6g}",
                remedy="check the teacher's weights, the normalisation of its inputs, and the objective",
            )


def _losses(
    objective: Objective, exchange: Exchange, teacher: int, learned: nn.Module | None
) -> tuple[float, float]:
    """The loss, and the loss when the answers of one teacher are shuffled."""
    logits, features = list(exchange.teacher_logits), list(exchange.teacher_features)
    if teacher < len(logits):
        logits[teacher] = logits[teacher].roll(1, 0)
    if teacher < len(features):
        features[teacher] = {name: rows.roll(1, 0) for name, rows in features[teacher].items()}
    shuffled = replace(exchange, teacher_logits=tuple(logits), teacher_features=tuple(features))
    plain, other = (float(objective(each, learned)[0]) for each in (exchange, shuffled))
    return plain, other


def _with_noise(exchange: Exchange) -> Exchange:
    """The exchange with a made-up student, which answers every input differently."""
    generator = torch.Generator().manual_seed(0)

    def noise(values: Tensor) -> Tensor:
        return torch.randn(values.shape, generator=generator).to(values)

    tokens = exchange.student_tokens
    return replace(
        exchange,
        student_logits=noise(exchange.student_logits),
        student_tokens=None if tokens is None else noise(tokens),
        student_features={name: noise(rows) for name, rows in exchange.student_features.items()},
    )
