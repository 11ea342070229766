"""Objectives of models with one logit vector per token, each token bound to a teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives.logit_objectives import KD
from bequest.distill.objectives.objective import Objective, Parts, Reads
from bequest.errors import ObjectiveError
from bequest.variants import Listed, strict

Index = Annotated[int, Field(ge=0)]


@strict
class Bound(Objective, name="bound"):
    """An objective of one token's logits instead of the model's answer, and of one teacher among several.

    ``{name = "bound", objective = "cross_entropy", token = 0}`` teaches the class token the labels.
    """

    objective: Objective
    token: Index | None = None
    teacher: Index | None = None

    @property
    def needs_labels(self) -> bool:
        """Whether the bound objective reads labels."""
        return self.objective.needs_labels

    @property
    def needs_teacher(self) -> bool:
        """Whether the bound objective reads a teacher's answer."""
        return self.objective.needs_teacher

    @property
    def reads_clean(self) -> bool:
        """Whether the bound objective reads answers to samples without views."""
        return self.objective.reads_clean

    @property
    def reads(self) -> tuple[Reads, ...]:
        """What the bound objective reads of a teacher's answer."""
        return self.objective.reads

    @property
    def student_features(self) -> tuple[str, ...]:
        """Names of the student's layers that the bound objective reads."""
        return self.objective.student_features

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """Names of the teacher's layers that the bound objective reads."""
        return self.objective.teacher_features

    @override
    def check(self, exchange: Exchange) -> None:
        if self.token is not None:
            check_token(exchange, self.token)
        if self.teacher is not None and self.teacher >= len(exchange.teacher_logits):
            raise ObjectiveError(
                f"there is no teacher {self.teacher}",
                expected=f"0..{len(exchange.teacher_logits) - 1}, as teachers are counted from 0",
                got=self.teacher,
                remedy='keep the teachers apart (combine = "separate") if each teaches a token',
            )
        self.objective.check(self._bound(exchange))

    @override
    def module(self, exchange: Exchange, *, seed: int = 0) -> nn.Module | None:
        return self.objective.module(self._bound(exchange), seed=seed)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The objective's loss, and its parts with the token's number in their names."""
        loss, parts = self.objective(self._bound(exchange), module)
        if self.token is None:
            return loss, parts
        return loss, {f"token {self.token} {name}": value for name, value in parts.items()}

    def _bound(self, exchange: Exchange) -> Exchange:
        if self.token is not None and exchange.student_tokens is not None:
            exchange = replace(exchange, student_logits=exchange.student_tokens[:, self.token])
        if self.teacher is not None:
            # A slice, as objectives expect a tuple of teachers, if only of one.
            k = slice(self.teacher, self.teacher + 1)
            exchange = replace(
                exchange,
                teacher_logits=exchange.teacher_logits[k],
                teacher_features=exchange.teacher_features[k],
            )
        return exchange


@strict
class Tokens(Objective, name="tokens"):
    """One token per teacher: Σ weight · objective(the token's logits, its teacher's logits).

    Teacher k teaches token ``tokens[k]``; by default the last tokens in the order of the teachers, so that
    with [class, first, second] two teachers teach the second and the third. The default objective, KL at
    temperature 1, and weights of 1 are those of Co-advise (Ren et al. 2022); with ``hard`` and one teacher
    it is DeiT's distillation token. The class token learns the labels by a term of its own::

        [{name = "bound", objective = "cross_entropy", token = 0}, {name = "tokens"}]
    """

    objective: Objective = KD(temperature=1.0)
    tokens: Listed[Index] | None = None
    weights: Listed[Annotated[float, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Tokens:
        if self.objective.student_features or self.objective.teacher_features:
            raise ValueError(f"{self.objective.name} reads activations, not a token's logits")
        if self.tokens is not None and len(set(self.tokens)) != len(self.tokens):
            raise ValueError(f"tokens: each teacher needs a token of its own, not {list(self.tokens)}")
        if self.tokens and self.weights and len(self.tokens) != len(self.weights):
            raise ValueError(f"{len(self.tokens)} tokens need as many weights, not {len(self.weights)}")
        return self

    @property
    def needs_labels(self) -> bool:
        """Whether the objective of each token reads labels."""
        return self.objective.needs_labels

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss reads a teacher's answer: always."""
        return True

    @property
    def reads(self) -> tuple[Reads, ...]:
        """What the objective of each token reads of its teacher's answer."""
        return self.objective.reads

    @override
    def check(self, exchange: Exchange) -> None:
        teachers = len(exchange.teacher_logits)
        counts = [len(each) for each in (self.tokens, self.weights) if each is not None]
        if not teachers or any(count != teachers for count in counts):
            raise ObjectiveError(
                "tokens and teachers differ in number",
                expected=f"{counts[0]} teachers, kept apart" if counts else "at least one teacher",
                got=teachers,
                remedy="name as many tokens and weights as there are teachers, and do not combine these",
            )
        for bound in self._each(exchange):
            bound.check(exchange)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The weighted sum over tokens, and the parts of each token."""
        weights = self.weights or (1.0,) * len(exchange.teacher_logits)
        total: Tensor | None = None
        parts: Parts = {}
        for bound, weight in zip(self._each(exchange), weights, strict=True):
            loss, values = bound(exchange)
            total = weight * loss if total is None else total + weight * loss
            parts |= values
        assert total is not None
        return total, parts

    def _each(self, exchange: Exchange) -> list[Bound]:
        """One bound objective a teacher."""
        teachers = len(exchange.teacher_logits)
        if exchange.student_tokens is None:
            raise _no_tokens()
        # By default the last tokens: those before them, such as the class token, learn from labels.
        first = max(0, exchange.student_tokens.shape[1] - teachers)
        tokens = self.tokens or tuple(range(first, first + teachers))
        return [Bound(self.objective, token, k) for k, token in enumerate(tokens)]


def check_token(exchange: Exchange, token: int) -> None:
    """Refuse a student without tokens, or without this one."""
    if exchange.student_tokens is None:
        raise _no_tokens()
    count = exchange.student_tokens.shape[1]
    if token >= count:
        raise ObjectiveError(
            f"the student has no token {token}",
            expected=f"0..{count - 1}, as its {count} tokens are counted from 0",
            got=token,
            remedy="give the student one token per teacher besides its class token",
        )


def _no_tokens() -> ObjectiveError:
    return ObjectiveError(
        "the objective reads tokens and the student answers with one logit vector",
        expected="a student that returns Tokens(logits, tokens), tokens (N, T, C)",
        got="logits only",
        remedy="use a token model from the catalogue, or an objective of the logits",
    )
