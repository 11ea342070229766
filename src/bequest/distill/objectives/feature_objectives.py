"""Objectives that read activations; :mod:`bequest.distill.objectives.feature_losses` has their formulas."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives.checks import check_names
from bequest.distill.objectives.feature_losses import OrthogonalProjector, cka_guidance, pooled, vkd
from bequest.distill.objectives.logit_objectives import of_whole_batch
from bequest.distill.objectives.objective import Objective, Parts, Reads
from bequest.errors import ObjectiveError
from bequest.variants import Listed, strict

Index = Annotated[int, Field(ge=0)]


class FeatureObjective(Objective):
    """An objective that compares activations of the student with those of one ``teacher``."""

    teacher: int

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss needs a teacher: always, though it reads no logits."""
        return True

    @property
    def reads(self) -> tuple[Reads, ...]:
        """Nothing of the teacher's logits, only its activations."""
        return ()

    @override
    def check(self, exchange: Exchange) -> None:
        if self.teacher >= len(exchange.teacher_features):
            raise ObjectiveError(
                f"there are no activations of a teacher {self.teacher}",
                expected=f"a live teacher {self.teacher}, counted from 0",
                got=f"activations of {len(exchange.teacher_features)} teachers",
                remedy="give the guide as a teacher; a store must hold the features to serve this objective",
            )
        rows = len(exchange.student_logits)
        check_names("student", self.student_features, exchange.student_features, rows)
        check_names("teacher", self.teacher_features, exchange.teacher_features[self.teacher], rows)


@strict
class CKA(FeatureObjective, name="cka"):
    """Guidance: 1 - CKA between layers of the student and of a guide, trained or not, averaged over pairs.

    The k-th of ``student_layers`` is guided by the k-th of ``teacher_layers``. See
    :func:`~bequest.distill.objectives.feature_losses.cka_guidance`.

    Attributes:
        student_layers: Names of activations of the student.
        teacher_layers: As many names of activations of the guide.
        unbiased: Leave out the diagonals of the Gram matrices, as needed for minibatches.
        teacher: Which teacher is the guide, counted from 0.
    """

    student_layers: Listed[str]
    teacher_layers: Listed[str]
    unbiased: bool = True
    teacher: Index = 0

    @model_validator(mode="after")
    def _pairs(self) -> CKA:
        mine, other = len(self.student_layers), len(self.teacher_layers)
        if not mine or mine != other:
            raise ValueError(
                f"each layer needs its partner, got {mine} of the student and {other} of the teacher"
            )
        return self

    @property
    def student_features(self) -> tuple[str, ...]:
        """Names of the student's layers whose activations are compared."""
        return self.student_layers

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """Names of the teacher's layers whose activations are compared."""
        return self.teacher_layers

    @override
    def check(self, exchange: Exchange) -> None:
        super().check(exchange)
        # Computed once, so that too few rows for CKA are refused before the first step.
        self._each(exchange)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over pairs, and one part per pair, named after the student's layer."""
        each = self._each(exchange)
        loss = of_whole_batch(torch.stack(each).mean(), exchange)
        names = (f"cka {name}" for name in self.student_layers)
        return loss, {name: part.detach() for name, part in zip(names, each, strict=True)}

    def _each(self, exchange: Exchange) -> list[Tensor]:
        """1 - CKA of each pair."""
        guide = exchange.teacher_features[self.teacher]
        return [
            cka_guidance(exchange.student_features[mine], guide[other], unbiased=self.unbiased)
            for mine, other in zip(self.student_layers, self.teacher_layers, strict=True)
        ]


@strict
class VkD(FeatureObjective, name="vkd"):
    """Feature distillation through an orthogonal projector, trained with the student.

    Feature maps and token sequences are averaged over positions first. See
    :func:`~bequest.distill.objectives.feature_losses.vkd`.

    Attributes:
        student_layer: The name of an activation of the student.
        teacher_layer: The name of an activation of the teacher.
        teacher: Which teacher, counted from 0.
    """

    student_layer: str = "penultimate"
    teacher_layer: str = "penultimate"
    teacher: Index = 0

    @property
    def student_features(self) -> tuple[str, ...]:
        """Name of the student's layer whose activation is compared."""
        return (self.student_layer,)

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """Name of the teacher's layer whose activation is compared."""
        return (self.teacher_layer,)

    @override
    def module(self, exchange: Exchange, *, seed: int = 0) -> nn.Module:
        student, teacher = self._features(exchange)
        projector = OrthogonalProjector(student.shape[1], teacher.shape[1], seed=seed)
        return projector.to(student.device, student.dtype)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over rows and features, and ``vkd``."""
        assert module is not None
        student, teacher = self._features(exchange)
        loss = of_whole_batch(vkd(module(student), teacher), exchange)
        return loss, {"vkd": loss.detach()}

    def _features(self, exchange: Exchange) -> tuple[Tensor, Tensor]:
        teacher = exchange.teacher_features[self.teacher][self.teacher_layer]
        return pooled(exchange.student_features[self.student_layer]), pooled(teacher)
