"""Divergences other than forward KL as objectives; ``divergence_losses`` has their formulas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives import divergence_losses as losses
from bequest.distill.objectives.logit_objectives import AnswerObjective
from bequest.distill.schedules import Temperature, at
from bequest.variants import strict


@strict
class ReverseKL(AnswerObjective, name="reverse_kl"):
    """T² · KL(student ‖ teacher), which seeks modes where ``kd`` covers them.

    Attributes:
        temperature: T, of student and teacher; a number or a schedule.
    """

    temperature: Temperature = 1.0

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        temperature = at(self.temperature, exchange.step, exchange.steps)
        return losses.reverse_kl(
            exchange.student_logits, teacher_logits, temperature=temperature, mask=exchange.mask
        )


@strict
class JensenShannon(AnswerObjective, name="jensen_shannon"):
    """Generalised Jensen-Shannon divergence.

    Attributes:
        beta: Weight of the teacher in the mixture.
        temperature: T, of student and teacher; a number or a schedule.
    """

    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5
    temperature: Temperature = 1.0

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.jensen_shannon(
            exchange.student_logits,
            teacher_logits,
            beta=self.beta,
            temperature=at(self.temperature, exchange.step, exchange.steps),
            mask=exchange.mask,
        )


@strict
class TotalVariation(AnswerObjective, name="total_variation"):
    """Half the sum of absolute differences of the probabilities.

    Attributes:
        temperature: T, of student and teacher; a number or a schedule.
    """

    temperature: Temperature = 1.0

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        temperature = at(self.temperature, exchange.step, exchange.steps)
        return losses.total_variation(
            exchange.student_logits, teacher_logits, temperature=temperature, mask=exchange.mask
        )


@strict
class SkewKL(AnswerObjective, name="skew_kl"):
    """KL to a mixture of both: of the teacher, or in ``reverse`` of the student.

    Attributes:
        skew: Weight of the teacher (in reverse of the student) in the mixture; at 0 it is KL.
        reverse: Exchange teacher and student.
        temperature: T, of student and teacher; a number or a schedule.
    """

    skew: Annotated[float, Field(ge=0, lt=1)] = 0.1
    reverse: bool = False
    temperature: Temperature = 1.0

    @override
    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        return losses.skew_kl(
            exchange.student_logits,
            teacher_logits,
            skew=self.skew,
            reverse=self.reverse,
            temperature=at(self.temperature, exchange.step, exchange.steps),
            mask=exchange.mask,
        )
