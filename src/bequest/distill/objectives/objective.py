"""Objectives, which a training step minimises: strict configurations that the engine calls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives.checks import check_labels, check_mask, check_teachers
from bequest.distill.schedules import NOT_NEGATIVE, Temperature, Weight, at
from bequest.errors import ConfigError
from bequest.seeding import derive
from bequest.variants import Listed, Variant, strict

Parts = dict[str, Tensor]
"""Named values of a loss, detached scalars on its device."""


@dataclass(frozen=True)
class Reads:
    """What a term of an objective reads of a teacher's logits, so that a lossy codec can accept or refuse it.

    Attributes:
        what: ``class``: the index of the largest logit; ``mean``: a mean over the teacher's distribution, for
            which samples from it suffice; ``logits``: every logit.
        temperature: The temperature of the distribution, for ``mean``.
    """

    what: Literal["class", "mean", "logits"]
    temperature: Temperature = 1.0


class Objective(Variant, kind="objective"):
    """The loss of a training step: ``loss, parts = objective(exchange)``.

    ``check`` is called once, on the first batch; calls make no checks that would wait for the device.
    A list of objectives is their sum.
    """

    @property
    def needs_labels(self) -> bool:
        """Whether the exchange must have labels."""
        return False

    @property
    def needs_teacher(self) -> bool:
        """Whether the exchange must have a teacher's answers."""
        return False

    @property
    def reads_clean(self) -> bool:
        """Whether it reads the student's answers to the samples without augmentation too."""
        return False

    @property
    def reads(self) -> tuple[Reads, ...]:
        """What it reads of a teacher's logits, one entry per term; by default all logits."""
        return (Reads("logits"),) if self.needs_teacher else ()

    @property
    def student_features(self) -> tuple[str, ...]:
        """The student's activations that it reads."""
        return ()

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """The teachers' activations that it reads."""
        return ()

    def check(self, exchange: Exchange) -> None:
        """Refuse an exchange from which the objective cannot be computed; may wait for the device.

        Raises:
            ObjectiveError: Says what is missing or does not fit.
        """
        check_mask(exchange)
        if self.needs_teacher:
            check_teachers(exchange)
        if self.needs_labels:
            check_labels(exchange)

    def module(self, exchange: Exchange, *, seed: int = 0) -> nn.Module | None:
        """New learned parameters of the objective, of the sizes of ``exchange``; None if it has none."""
        del exchange, seed
        return None

    @abstractmethod
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The loss, a scalar with gradient, and its named parts.

        Args:
            exchange: The batch as student and teachers answered it.
            module: The module that :meth:`module` returned, if any.
        """

    @classmethod
    def _join(cls, parts: tuple[Objective, ...], where: str) -> Objective:
        """A list of objectives is their sum."""
        if not parts:
            raise ConfigError.of(where, ["expected at least one objective"])
        return parts[0] if len(parts) == 1 else Sum(parts)


@strict
class Sum(Objective, name="sum"):
    """Σ weight · term over ``terms``; ``weights`` are numbers ≥ 0 or schedules, 1 by default.

    >>> from bequest.distill.objectives import KD, CrossEntropy
    >>> Sum((CrossEntropy(), KD(2.0)), (0.1, 0.9)).needs_labels
    True
    """

    terms: Listed[Objective]
    weights: Listed[Weight] | None = None

    @model_validator(mode="after")
    def _one_weight_a_term(self) -> Sum:
        if not self.terms:
            raise ValueError("a sum needs at least one term")
        if self.weights is not None and len(self.weights) != len(self.terms):
            raise ValueError(f"{len(self.terms)} terms need as many weights, not {len(self.weights)}")
        return self

    @property
    def needs_labels(self) -> bool:
        """Whether one of the terms reads labels."""
        return any(term.needs_labels for term in self.terms)

    @property
    def needs_teacher(self) -> bool:
        """Whether one of the terms reads a teacher's answer."""
        return any(term.needs_teacher for term in self.terms)

    @property
    def reads_clean(self) -> bool:
        """Whether one of the terms reads the student's answers to samples without views."""
        return any(term.reads_clean for term in self.terms)

    @property
    def reads(self) -> tuple[Reads, ...]:
        """What the terms read of the teachers' answers, together."""
        return tuple(part for term in self.terms for part in term.reads)

    @property
    def student_features(self) -> tuple[str, ...]:
        """Names of the student's layers that any term reads."""
        return _each_once(name for term in self.terms for name in term.student_features)

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """Names of the teacher's layers that any term reads."""
        return _each_once(name for term in self.terms for name in term.teacher_features)

    @override
    def check(self, exchange: Exchange) -> None:
        for term in self.terms:
            term.check(exchange)
        for weight in self.weights or ():
            NOT_NEGATIVE.check("a weight", weight, exchange.steps)

    @override
    def module(self, exchange: Exchange, *, seed: int = 0) -> nn.Module | None:
        # A seed for each term: two equal adapters would start with equal weights.
        modules = {str(k): term.module(exchange, seed=derive(seed, k)) for k, term in enumerate(self.terms)}
        learned = {key: module for key, module in modules.items() if module is not None}
        return nn.ModuleDict(learned) if learned else None

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The weighted sum, and the parts of all terms; repeated names are numbered."""
        modules = dict(module.items()) if isinstance(module, nn.ModuleDict) else {}
        weights = self.weights or (1.0,) * len(self.terms)
        total: Tensor | None = None
        parts: Parts = {}
        for k, (term, weight) in enumerate(zip(self.terms, weights, strict=True)):
            loss, values = term(exchange, modules.get(str(k)))
            loss = loss * at(weight, exchange.step, exchange.steps)
            total = loss if total is None else total + loss
            parts |= {_free(name, parts): value for name, value in values.items()}
        assert total is not None
        return total, parts


def parse_objective(spec: object, where: str = "objective") -> Objective:
    """The objective that ``spec`` describes: a table with ``name``, a bare name, a list, or an objective.

    >>> parse_objective({"name": "kd", "temperature": 2})
    KD(temperature=2.0, label_weight=0.0)

    Raises:
        ConfigError: Lists every fault.
    """
    return Objective.parse(spec, where)


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    # Not a set, whose order of strings differs from process to process.
    return tuple(dict.fromkeys(names))


def _free(name: str, taken: Parts) -> str:
    """``name``, numbered if it is taken."""
    count = 2
    free = name
    while free in taken:
        free, count = f"{name}_{count}", count + 1
    return free
