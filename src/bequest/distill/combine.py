"""Several teachers combined into one: the space in which answers are averaged, and the weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from bequest.errors import ObjectiveError
from bequest.models.tokens import full_precision
from bequest.variants import Listed, Variant, strict

Weights = Listed[Annotated[float, Field(ge=0)]]
Positive = Annotated[float, Field(gt=0)]


class Combination(Variant, kind="combination"):
    """Maps the logits of all teachers to those that the objective sees: ``combine(logits)``."""

    @abstractmethod
    def __call__(self, teacher_logits: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One tensor for all teachers, or one each; shaped as each of ``teacher_logits``.

        Raises:
            ObjectiveError: If the teachers' shapes differ, or their number is not that of the weights.
        """


class Mean(Combination):
    """A weighted mean; weights sum to 1, and are equal by default."""

    weights: tuple[float, ...] | None

    @override
    def __call__(self, teacher_logits: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One tensor for all teachers."""
        _check_alike(teacher_logits)
        count = len(teacher_logits)
        if self.weights is not None and len(self.weights) != count:
            raise ObjectiveError(
                "weights and teachers differ in number",
                expected=f"{count} weights, one per teacher",
                got=f"{len(self.weights)} weights",
            )
        if count == 1:
            return teacher_logits
        return (self.mean(teacher_logits, self.weights or (1 / count,) * count),)

    @abstractmethod
    def mean(self, teacher_logits: tuple[Tensor, ...], weights: tuple[float, ...]) -> Tensor:
        """The mean with these weights."""


@strict
class MeanLogits(Mean, name="mean_logits"):
    """Σ weight · logits: at every temperature the normalised geometric mean of the probabilities.

    Attributes:
        weights: One for each teacher, with the sum 1; default: equal ones.
    """

    weights: Weights | None = None

    @model_validator(mode="after")
    def _sum_to_one(self) -> MeanLogits:
        check_weights(self.weights)
        return self

    @override
    def mean(self, teacher_logits: tuple[Tensor, ...], weights: tuple[float, ...]) -> Tensor:
        total = weights[0] * teacher_logits[0]
        for weight, logits in zip(weights[1:], teacher_logits[1:], strict=True):
            total = total + weight * logits
        return total


@strict
class MeanProbs(Mean, name="mean_probs"):
    """T · log Σ weight · softmax(logits / T): logits whose softmax at temperature T is the mean probability.

    ``temperature`` should be that of the objective, since the mean of softened probabilities is not the
    softened mean.

    Attributes:
        weights: One for each teacher, with the sum 1; default: equal ones.
    """

    weights: Weights | None = None
    temperature: Positive = 1.0

    @model_validator(mode="after")
    def _sum_to_one(self) -> MeanProbs:
        check_weights(self.weights)
        return self

    @override
    def mean(self, teacher_logits: tuple[Tensor, ...], weights: tuple[float, ...]) -> Tensor:
        stacked = torch.stack(teacher_logits)
        stacked = full_precision(stacked)
        log_probs = torch.log_softmax(stacked / self.temperature, -1)
        # A weight of 0 becomes -inf, which logsumexp leaves out.
        shares = torch.tensor(weights, device=log_probs.device).log()
        shares = shares.view(-1, *[1] * (log_probs.ndim - 1))
        return self.temperature * torch.logsumexp(log_probs + shares, 0)


@strict
class Separate(Combination, name="separate"):
    """No mean: teachers stay separate, for objectives that bind each of them to a token."""

    @override
    def __call__(self, teacher_logits: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The teachers' logits, unchanged."""
        return teacher_logits


def parse_combination(spec: object, where: str = "combine") -> Combination:
    """The combination that ``spec`` describes: a table with ``name``, a bare name, or a combination.

    >>> parse_combination({"name": "mean_probs", "temperature": 4})
    MeanProbs(weights=None, temperature=4.0)

    Raises:
        ConfigError: Lists every fault.
    """
    return Combination.parse(spec, where)


def check_weights(weights: tuple[float, ...] | None) -> None:
    """Refuse weights that do not sum to 1.

    Raises:
        ValueError: If they do not.
    """
    # A tolerance for weights such as 1/3 that were typed with a few decimals.
    if weights is not None and abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"weights must sum to 1, not {sum(weights):g}")


def _check_alike(teacher_logits: tuple[Tensor, ...]) -> None:
    shapes = {tuple(logits.shape) for logits in teacher_logits}
    if len(shapes) != 1:
        raise ObjectiveError(
            "the teachers' answers have different shapes",
            expected="one label space for all teachers that are averaged",
            got=", ".join(str(shape) for shape in sorted(shapes)) or "no teacher",
            remedy="keep the teachers apart, or give them the same classes",
        )
