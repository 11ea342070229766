"""Objectives of outputs other than the class logits."""

from __future__ import annotations

from dataclasses import replace

from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from bequest.distill.exchange import Exchange
from bequest.distill.objectives.checks import check_names, check_teachers
from bequest.distill.objectives.logit_objectives import KD, AnswerObjective
from bequest.distill.objectives.objective import Objective, Parts, Reads
from bequest.errors import ObjectiveError
from bequest.variants import strict


@strict
class Outputs(Objective, name="outputs"):
    """An objective of a teacher's logits, applied to a named module's output instead of the class logits.

    With the default, a student learns from the auxiliary outputs alone
    (:class:`bequest.models.auxiliary.WithAuxiliary`), and its class logits get no gradient; ``network``
    stands for all outputs of such a model. The formula is that of the inner objective, with the softmax over
    these outputs.

    Source: Cloud et al. 2025, "Subliminal learning", whose student imitates auxiliary logits alone.

    Attributes:
        of: The name of the module, of the student and of its teachers; its output has the shape (N, K) or
            (N, L, K).
        objective: The objective; it must need a teacher, no label and no activation.
    """

    of: str = "auxiliary"
    objective: Objective = KD(temperature=1.0)

    @model_validator(mode="after")
    def _of_a_teacher_alone(self) -> Outputs:
        inner = self.objective
        if not isinstance(inner, AnswerObjective) or inner.needs_labels:
            raise ValueError(
                "only an objective of a teacher's logits without labels can be of other outputs, "
                f"not {inner.name}"
            )
        return self

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss reads a teacher's answer: always."""
        return True

    @property
    def reads(self) -> tuple[Reads, ...]:
        """Nothing of the class logits."""
        return ()

    @property
    def student_features(self) -> tuple[str, ...]:
        """Name of the student's module whose output is compared."""
        return (self.of,)

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """Name of the teachers' module whose output is compared: the same."""
        return (self.of,)

    @override
    def check(self, exchange: Exchange) -> None:
        if not exchange.teacher_features:
            raise ObjectiveError(
                f"no teacher provides {self.of!r}",
                expected="a live teacher, or a store that holds it",
                got="logits only",
                remedy=f"build the store with features=({self.of!r},)",
            )
        rows = len(exchange.student_logits)
        check_names("student", (self.of,), exchange.student_features, rows)
        for features in exchange.teacher_features:
            check_names("teacher", (self.of,), features, rows)
        outputs = self._of_outputs(exchange)
        check_teachers(outputs)
        self.objective.check(outputs)

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The inner objective's loss, and its parts with the name of the outputs."""
        loss, parts = self.objective(self._of_outputs(exchange), module)
        return loss, {f"{self.of} {name}": value for name, value in parts.items()}

    def _of_outputs(self, exchange: Exchange) -> Exchange:
        return replace(
            exchange,
            student_logits=exchange.student_features[self.of],
            teacher_logits=tuple(features[self.of] for features in exchange.teacher_features),
        )
