"""Checks that are made once, on the first batch, before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.objectives.rows import paired, rows_of
from bequest.errors import ObjectiveError
from bequest.registry import unknown


def check_mask(exchange: Exchange) -> None:
    """Refuse a mask of the wrong shape, or one that hides everything."""
    mask = exchange.mask
    if mask is None:
        return
    rows_of(exchange.student_logits.detach(), mask)
    if not bool(mask.any()):
        raise ObjectiveError(
            "the mask hides every position",
            expected="at least one True",
            got="none",
            remedy="True marks positions that count; a padding mask of the opposite sense must be inverted",
        )


def check_teachers(exchange: Exchange, count: int = 1) -> None:
    """Refuse a wrong number of teachers, or logits of another shape than the student's."""
    if len(exchange.teacher_logits) != count:
        raise ObjectiveError(
            "the objective does not fit the number of teachers",
            expected=f"{count} teacher{'s' if count > 1 else ''}, after combination",
            got=len(exchange.teacher_logits),
            remedy="combine several teachers into one answer, or bind each to a token of its own"
            if exchange.teacher_logits
            else "give teachers (bq.distill), or an objective of labels alone, such as cross_entropy",
        )
    for teacher_logits in exchange.teacher_logits:
        paired(exchange.student_logits.detach(), teacher_logits, exchange.mask)


def check_labels(exchange: Exchange) -> None:
    """Refuse labels that are absent, of the wrong shape, or not a class."""
    if exchange.labels is None or not bool((exchange.labels != UNLABELLED).any()):
        raise ObjectiveError(
            "the objective needs labels and the data has none",
            expected="labels on at least some samples of the first batch",
            got="no labels" if exchange.labels is None else "a batch without a labelled sample",
            remedy="use an objective of the teacher's answers alone, such as kd with label_weight = 0",
        )
    shape, classes = exchange.student_logits.shape[:-1], exchange.student_logits.shape[-1]
    class_labels = exchange.labels[exchange.labels != UNLABELLED]
    low, high = int(class_labels.min()), int(class_labels.max())
    if exchange.labels.shape != shape or low < 0 or high >= classes:
        raise ObjectiveError(
            "the labels do not fit the student's logits",
            expected=f"classes 0..{classes - 1} of shape {tuple(shape)}",
            got=f"{low}..{high} of shape {tuple(exchange.labels.shape)}",
            remedy="give the student as many outputs as the data has classes",
        )


def check_names(whose: str, wanted: Sequence[str], activations: Mapping[str, Tensor], rows: int) -> None:
    """Refuse activations that do not exist (showing the nearest names) or that are not one per sample.

    Raises:
        UnknownName: If there is no such activation.
        ObjectiveError: If an activation has another number of rows than the batch.
    """
    for name in wanted:
        if name not in activations:
            raise unknown(f"activation of the {whose}", name, activations)
        if activations[name].ndim < 2 or len(activations[name]) != rows:
            raise ObjectiveError(
                f"the activation {name!r} of the {whose} is not one per sample",
                expected=f"({rows}, ...)",
                got=str(tuple(activations[name].shape)),
                remedy="name a layer whose output has the batch as its first axis",
            )
