"""Objectives of a student and itself: no teacher is asked."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives import logit_losses as losses
from bequest.distill.objectives.logit_objectives import of_whole_batch
from bequest.distill.objectives.objective import Objective, Parts
from bequest.distill.schedules import POSITIVE, Temperature, at
from bequest.errors import ObjectiveError
from bequest.variants import strict


@strict
class Consistency(Objective, name="consistency"):
    """T² · KL(the student on the sample as it is ‖ the student on the view of it).

    The answer on the unchanged sample is given in eval mode, without gradient. By itself the loss is minimal
    for a constant answer, so it is added to a term that learns labels. It is the control of studies of views:
    the invariance that a student learns without a teacher.

    Source: Xie et al. 2020, "Unsupervised data augmentation for consistency training", with the same
    temperature on both sides.

    Attributes:
        temperature: T, of both answers; a number or a schedule.
    """

    temperature: Temperature = 1.0

    @property
    def reads_clean(self) -> bool:
        """Whether the loss reads the student's answers to samples without views: always."""
        return True

    @override
    def check(self, exchange: Exchange) -> None:
        super().check(exchange)
        POSITIVE.check("the temperature", self.temperature, exchange.steps)
        if exchange.clean_logits is None:
            raise ObjectiveError(
                "consistency needs the student's answers to the samples as they are",
                expected="sources of samples, shown in views",
                got="inputs that are made for each step",
                remedy="train on Source(name, split, view), or leave consistency out",
            )

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over rows, and ``consistency``."""
        assert exchange.clean_logits is not None
        temperature = at(self.temperature, exchange.step, exchange.steps)
        loss = losses.kd(
            exchange.student_logits, exchange.clean_logits, temperature=temperature, mask=exchange.mask
        )
        loss = of_whole_batch(loss, exchange)
        return loss, {"consistency": loss.detach()}
