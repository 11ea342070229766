"""The protocol of everything that answers a student's batches: live teachers, stores, users' objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor, nn

from bequest.data.batches import AnySource, Batch, Batches
from bequest.data.datasets import Dataset
from bequest.distill.objectives import Objective
from bequest.distill.parallel import Ranks
from bequest.distill.recipe import Recipe
from bequest.records import TeacherRecord

if TYPE_CHECKING:
    from bequest.distill.trainer import Trainer

Answer = tuple[tuple[Tensor, ...], tuple[Mapping[str, Tensor], ...]]
"""Logits and named features, one of each per teacher."""

Combine = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""Maps the logits of all teachers to the logits that the objective sees."""


@runtime_checkable
class Answers(Protocol):
    """Anything that answers a batch: all that a user's own signal must implement."""

    def answer(self, batch: Batch) -> Answer:
        """Logits (N, C) and features of every teacher for the rows of ``batch``."""
        ...


@runtime_checkable
class Openable(Protocol):
    """An object, such as a store, that opens as a :class:`Signal` for one lesson's sources and objective."""

    def opened(self, sources: Sequence[AnySource], objective: Objective, *, combined: bool) -> Signal:
        """See :meth:`Signal.opened`."""
        ...


class Signal(ABC):
    """The source of a lesson's answers, and of the record's entries about the teachers.

    Everything but :meth:`answer` has a default: nothing is checked or recorded, and nothing learns.
    """

    @abstractmethod
    def answer(self, batch: Batch) -> Answer:
        """See :class:`Answers`."""

    def opened(self, sources: Sequence[AnySource], objective: Objective, *, combined: bool) -> Signal:
        """The signal ready for ``sources`` and ``objective``; by default itself.

        Args:
            sources: The sources that the student trains on.
            objective: The objective that will read the answers.
            combined: Whether the answers of several teachers will be combined.
        """
        del sources, objective, combined
        return self

    def check(self, student: nn.Module, data: Dataset, recipe: Recipe) -> None:
        """Refuse, before the first step, a signal that does not fit ``student``, ``data`` or ``recipe``."""
        del student, data, recipe

    def records(self, data: Dataset) -> tuple[TeacherRecord, ...]:
        """The teachers as they are before the first step."""
        del data
        return ()

    def verified(self, records: Sequence[TeacherRecord], data: Dataset) -> tuple[TeacherRecord, ...]:
        """The records completed after the last step.

        Raises:
            TeacherChanged: If a frozen teacher changed.
        """
        del data
        return tuple(records)

    def learners(
        self, batches: Batches, recipe: Recipe, *, steps: int, padding: int | None, ranks: Ranks
    ) -> tuple[Trainer, ...]:
        """Trainers of networks that take a step before the student's on each batch; none by default."""
        del batches, recipe, steps, padding, ranks
        return ()

    def reading_ahead(self, batches: Batches) -> AbstractContextManager[object]:
        """Prepare the answers to coming batches in the background inside the block; by default nothing."""
        del batches
        return nullcontext()

    def asked(self, batches: Batches, steps: int) -> dict[str, int]:
        """Answers asked of each teacher, by its name, in ``steps`` of ``batches``; nothing by default."""
        del batches, steps
        return {}

    def warnings(self, batches: Batches, steps: int) -> list[str]:
        """Sentences about a run of ``steps`` of ``batches`` that a reader of its record should know."""
        del batches, steps
        return []


class Foreign(Signal):
    """A user's object that has only ``answer``."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def answer(self, batch: Batch) -> Answer:
        """See :class:`Answers`."""
        return self._answers.answer(batch)


class Combined(Signal):
    """A signal whose teachers' logits are combined by ``combine``."""

    def __init__(self, signal: Answers, combine: Combine) -> None:
        self.signal = signal
        self._combine = combine

    def answer(self, batch: Batch) -> Answer:
        """See :class:`Answers`; features are not combined."""
        logits, features = self.signal.answer(batch)
        return self._combine(logits), features
