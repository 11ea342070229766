"""Checks before the first step, so that a run that cannot work does not start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from bequest.data.batches import AnySource, Source
from bequest.data.datasets import Dataset
from bequest.data.views import Identity
from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.label_space import check_class_order, probabilities_for_logits
from bequest.distill.objectives import Objective
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import AnyTeacher, named
from bequest.errors import DataError, ModelError, ObjectiveError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.network_checks import check_network
from bequest.models.tokens import logits_of

ROWS = 2
"""Fewest rows that can be shuffled."""

PROBED = 8
"""Rows on which every network is tried before the first step."""


def check_teachers(
    teachers: Sequence[AnyTeacher], student: nn.Module, data: Dataset, *, rows: int = ROWS
) -> list[str]:
    """Refuse teachers that cannot teach this student; returns warnings for the record.

    Args:
        teachers: The teachers.
        student: The student.
        data: The data that is learned.
        rows: The fewest rows that the teachers are asked about at once.

    Raises:
        TeacherChanged: If one is in training mode.
        ModelError: If one does not take the inputs, has other classes than the data or these in another
            order, or shares a tensor with the student.
    """
    sentences: list[str] = []
    for teacher in teachers:
        whose = f"the teacher {teacher.name!r}"
        teacher.verify_mode()
        if teacher.shares(student):
            raise ModelError(
                f"{whose} and the student share parameters or buffers",
                expected="two separate networks",
                got="tensors that belong to both, which training the student would change",
                remedy="copy one of them (copy.deepcopy)",
            )
        x = data["train"].x
        logits = teacher.first_answers(x[:PROBED])
        if rows == 1 and teacher.uses_batch_statistics:
            raise ModelError(
                f"{whose}: BatchNorm cannot normalise a single row in training mode",
                expected="two rows or more at once",
                got="one row per step",
                remedy="raise the batch size, or ask it in eval mode",
            )
        if logits.shape[-1] != len(data.classes):
            # For its own error: two vocabularies are a more useful message than two numbers.
            check_class_order(whose, teacher.classes, data.classes, ModelError, tokens=data.next_token)
            more = logits.shape[-1] - len(data.classes)
            raise ModelError(
                f"{whose} has a different label space from the data",
                expected=f"{len(data.classes):,} logits",
                got=f"{logits.shape[-1]:,} logits, {abs(more):,} {'more' if more > 0 else 'fewer'}",
                remedy="replace the teacher's head, or map its classes to the data's",
            )
        sentences += check_class_order(
            whose, teacher.classes, data.classes, ModelError, tokens=data.next_token
        )
        sentences += probabilities_for_logits(whose, logits)
    return sentences


def check_student(student: nn.Module, data: Dataset, recipe: Recipe) -> list[str]:
    """Refuse a student that cannot be trained on ``data``; returns warnings for the record.

    Raises:
        ModelError: If it has nothing to train, is of a kind that cannot be trained, does not take the inputs,
            has another number of outputs than the data has classes, or would normalise single rows.
    """
    device = device_of(student)
    x = to_device(data["train"].x[:PROBED], device)
    rows = recipe.batch // recipe.accumulate
    learns_statistics = not recipe.freeze_batchnorm
    check_network(
        student, x, classes=len(data.classes), learns=True, rows=rows if learns_statistics else PROBED
    )
    check_network(student, to_device(data["validation"].x[:ROWS], device), classes=len(data.classes))
    with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(student):
        return probabilities_for_logits("the student", logits_of(student(x)))


def check_queries(student: nn.Module, sources: Sequence[AnySource], data: Dataset) -> None:
    """Refuse a pool of another shape than the training inputs, if the student does not take it.

    Raises:
        ModelError: Names the source.
    """
    for source in sources:
        if not isinstance(source, Source) or source.split.x.shape[1:] == data["train"].x.shape[1:]:
            continue
        if isinstance(source.view, Identity):  # a view may bring inputs into shape
            with named(f"{source.name}: inputs {tuple(source.split.x.shape)}"):
                check_network(student, to_device(source.split.x[:ROWS], device_of(student)))


def check_labels(sources: Sequence[AnySource], classes: int) -> None:
    """Refuse labels that are neither a class nor ``UNLABELLED``, in any row that will be trained on.

    Raises:
        DataError: Names the source and the first such label.
    """
    for source in sources:
        labels = source.split.y if isinstance(source, Source) else None
        if labels is None:
            continue
        wrong = (labels != UNLABELLED) & ((labels < 0) | (labels >= classes))
        if bool(wrong.any()):
            raise DataError(
                f"{source.name}: a label is not a class",
                expected=f"0..{classes - 1}, or {UNLABELLED} for a row without a label",
                got=int(labels[wrong][0]),
                remedy=f"mark rows to be left out with {UNLABELLED}",
            )


def check_alive(objective: Objective, exchange: Exchange, learned: nn.Module | None) -> None:
    """Refuse a teacher without effect: shuffling its answers between the rows must change the loss.

    The student's answers are replaced by noise, since a fresh student may give the same answer to all inputs.
    The start, the middle and the end of the run are tried, since a schedule may set a weight to 0.

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
    """The loss, and the loss with the answers of one teacher shuffled."""
    logits, features = list(exchange.teacher_logits), list(exchange.teacher_features)
    if teacher < len(logits):
        # Rolled by one row, a permutation that leaves no row in its place.
        logits[teacher] = logits[teacher].roll(1, 0)
    if teacher < len(features):
        features[teacher] = {name: rows.roll(1, 0) for name, rows in features[teacher].items()}
    shuffled = replace(exchange, teacher_logits=tuple(logits), teacher_features=tuple(features))
    plain, other = (float(objective(each, learned)[0]) for each in (exchange, shuffled))
    return plain, other


def _with_noise(exchange: Exchange) -> Exchange:
    """The exchange with random student answers, different for every input."""
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
