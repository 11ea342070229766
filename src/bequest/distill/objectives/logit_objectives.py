"""Objectives of a teacher's logits; :mod:`bequest.distill.objectives.logit_losses` has their formulas."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.objectives import logit_losses as losses
from bequest.distill.objectives.label_objectives import label_loss, likelier_labels
from bequest.distill.objectives.objective import Objective, Parts, Reads
from bequest.distill.objectives.rows import rows_of
from bequest.distill.schedules import NOT_NEGATIVE, POSITIVE, SHARE, Fraction, Temperature, Weight, at
from bequest.errors import ObjectiveError
from bequest.variants import strict


class AnswerObjective(Objective):
    """An objective of one teacher's logits, with at most a temperature on a schedule."""

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss reads a teacher's answer: always."""
        return True

    @abstractmethod
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        """The mean over the exchange's own rows."""

    @override
    def check(self, exchange: Exchange) -> None:
        super().check(exchange)
        temperature = getattr(self, "temperature", None)
        if temperature is not None:
            POSITIVE.check("the temperature", temperature, exchange.steps)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over rows, and one part with the name of the objective."""
        loss = self.loss(exchange, exchange.teacher_logits[0])
        loss = of_labelled(loss, exchange) if self.needs_labels else of_whole_batch(loss, exchange)
        return loss, {self.name: loss.detach()}


@strict
class KD(AnswerObjective, name="kd"):
    """Hinton's distillation, mixed with labels: (1 - w) · T² · KL(teacher ‖ student) + w · cross-entropy.

    w is ``label_weight``, T the ``temperature``; both are numbers or schedules.
    """

    temperature: Temperature = 4.0
    label_weight: Fraction = 0.0

    @property
    def needs_labels(self) -> bool:
        """Whether labels have a weight; a schedule counts as one, whatever its values."""
        return self.label_weight != 0.0

    @property
    def reads(self) -> tuple[Reads, ...]:
        """A mean over the teacher's distribution."""
        return (Reads("mean", self.temperature),)

    @override
    def check(self, exchange: Exchange) -> None:
        super().check(exchange)
        SHARE.check("label_weight", self.label_weight, exchange.steps)

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        temperature = at(self.temperature, exchange.step, exchange.steps)
        student_logits = exchange.student_logits
        return losses.kd(student_logits, teacher_logits, temperature=temperature, mask=exchange.mask)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over rows, and its parts ``kd`` and, where labels have a weight, ``cross_entropy``."""
        loss = of_whole_batch(self.loss(exchange, exchange.teacher_logits[0]), exchange)
        parts = {"kd": loss.detach()}
        if self.label_weight == 0.0:
            return loss, parts
        weight = at(self.label_weight, exchange.step, exchange.steps)
        labelled = label_loss(exchange)
        parts["cross_entropy"] = labelled.detach()
        return (1 - weight) * loss + weight * labelled, parts


@strict
class Hard(AnswerObjective, name="hard"):
    """Cross-entropy to the teacher's most likely class."""

    @property
    def reads(self) -> tuple[Reads, ...]:
        """The teacher's class, that of the largest logit."""
        return (Reads("class"),)

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.hard(exchange.student_logits, teacher_logits, mask=exchange.mask)


@strict
class LogitMSE(AnswerObjective, name="logit_mse"):
    """Mean squared difference of the logits."""

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.logit_mse(exchange.student_logits, teacher_logits, mask=exchange.mask)


@strict
class DKD(AnswerObjective, name="dkd"):
    """Decoupled distillation: the target's probability and those of the other classes, weighted separately.

    Attributes:
        alpha: Weight of the term of the target.
        beta: Weight of the term of the other classes.
        temperature: T, of student and teacher; a number or a schedule.
    """

    alpha: Annotated[float, Field(ge=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 8.0
    temperature: Temperature = 4.0

    @property
    def needs_labels(self) -> bool:
        """Whether the exchange must have labels: always. Rows without a label are left out."""
        return True

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.dkd(
            exchange.student_logits,
            teacher_logits,
            likelier_labels(exchange),
            alpha=self.alpha,
            beta=self.beta,
            temperature=at(self.temperature, exchange.step, exchange.steps),
            mask=exchange.mask,
        )


@strict
class DIST(AnswerObjective, name="dist"):
    """Pearson's correlation of probabilities over classes and over samples.

    Attributes:
        beta: Weight of 1 - correlation over classes.
        gamma: Weight of 1 - correlation over samples.
        temperature: T, of student and teacher; a number or a schedule.
    """

    beta: Annotated[float, Field(ge=0)] = 1.0
    gamma: Annotated[float, Field(ge=0)] = 1.0
    temperature: Temperature = 1.0

    @override
    def check(self, exchange: Exchange) -> None:
        super().check(exchange)
        rows = len(rows_of(exchange.student_logits, exchange.mask))
        if self.gamma > 0 and rows < 2:
            raise ObjectiveError(
                "dist correlates samples and needs at least two of them",
                expected="a batch of two rows or more, or gamma = 0",
                got=f"{rows} row",
            )

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.dist(
            exchange.student_logits,
            teacher_logits,
            beta=self.beta,
            gamma=self.gamma,
            temperature=at(self.temperature, exchange.step, exchange.steps),
            mask=exchange.mask,
        )


@strict
class OFA(AnswerObjective, name="ofa"):
    """Cross-entropy to the teacher, whose target probability is raised with the power ``epsilon``."""

    epsilon: Annotated[float, Field(gt=0)] = 1.0

    @property
    def needs_labels(self) -> bool:
        """Whether the exchange must have labels: always. Rows without a label are left out."""
        return True

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.ofa(
            exchange.student_logits,
            teacher_logits,
            likelier_labels(exchange),
            epsilon=self.epsilon,
            mask=exchange.mask,
        )


@strict
class Standardised(Objective, name="standardised"):
    """Any objective of logits, with the logits of student and teacher standardised over classes first.

    The defaults are those of its paper:
    :func:`~bequest.distill.objectives.logit_losses.standardised_kd`.

    Attributes:
        objective: The objective.
        weight: Factor on it; a number or a schedule.
        sigma: The standard deviation of the classes (``population``) or of a sample of them (``sample``).
    """

    objective: Objective = KD(temperature=2.0)
    weight: Weight = 9.0
    sigma: losses.Sigma = "population"

    @model_validator(mode="after")
    def _reads_logits(self) -> Standardised:
        if not isinstance(self.objective, AnswerObjective):
            raise ValueError(
                f"only an objective of a teacher's logits can be standardised, not {self.objective.name}"
            )
        # The cross-entropy inside KD would read the standardised logits, whose scale no longer says anything.
        if isinstance(self.objective, KD) and self.objective.needs_labels:
            raise ValueError(
                "labels are not standardised; add cross_entropy as a further term instead of label_weight"
            )
        return self

    @property
    def needs_labels(self) -> bool:
        """Whether the wrapped objective reads labels."""
        return self.objective.needs_labels

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss reads a teacher's answer: always."""
        return True

    @override
    def check(self, exchange: Exchange) -> None:
        self.objective.check(exchange)
        NOT_NEGATIVE.check("the weight", self.weight, exchange.steps)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The weighted loss of standardised logits, and ``standardised``."""
        inner = replace(
            exchange,
            student_logits=losses.standardised(exchange.student_logits, sigma=self.sigma),
            teacher_logits=tuple(
                losses.standardised(each, sigma=self.sigma) for each in exchange.teacher_logits
            ),
        )
        loss, _ = self.objective(inner)
        loss = loss * at(self.weight, exchange.step, exchange.steps)
        return loss, {"standardised": loss.detach()}


def of_whole_batch(loss: Tensor, exchange: Exchange) -> Tensor:
    """This exchange's share of the mean over the whole batch, given the mean over its own rows."""
    if exchange.rows is None:
        return loss
    if exchange.mask is not None:
        # A tensor, not a Python number: int() would wait for the GPU in every step.
        return loss * exchange.mask.sum() / max(1, exchange.rows)
    rows_here = exchange.student_logits.shape[:-1].numel()
    return loss if rows_here == exchange.rows else loss * (rows_here / exchange.rows)


def of_labelled(loss: Tensor, exchange: Exchange) -> Tensor:
    """As :func:`of_whole_batch`, for a mean over the rows that have a label."""
    rows_here = exchange.student_logits.shape[:-1].numel()
    if exchange.labelled is None or (exchange.rows is None and exchange.labelled == rows_here):
        return loss
    with_label = likelier_labels(exchange) != UNLABELLED
    if exchange.mask is not None:
        with_label = with_label & exchange.mask
    return loss * with_label.sum() / max(1, exchange.labelled)
