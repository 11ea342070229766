"""Online teachers: networks that learn the labels on each batch while a student learns from them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bequest.data.batches import AnySource, Batch, Batches
from bequest.distill.objectives import CrossEntropy, Objective
from bequest.distill.padded import asking
from bequest.distill.parallel import Ranks
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import AnyTeacher, logits_in_full
from bequest.distill.trainer import Trainer
from bequest.models.devices import to_device
from bequest.models.modes import evaluating
from bequest.models.weights import weights_digest


class OnlineTeacher(AnyTeacher):
    """A teacher that takes its own labelled step on each batch; the student learns from that step's logits.

    The network is copied; ``model`` is the copy that learns. Its mode in the record is ``online``.

    Args:
        model: The network at the start.
        name: Its name in the record.
        recipe: How it is trained; default: like the student. Batch size and accumulation are the student's.
        objective: What it minimises; default: cross-entropy. It must need no teacher.
        adapter: See :class:`bequest.distill.teachers.Teacher`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "teacher",
        recipe: Recipe | None = None,
        objective: Objective | None = None,
        adapter: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.name = name
        self.mode = "online"
        self.model = self._model = copy.deepcopy(model)
        self.digest = weights_digest(self.model)
        self._adapted = self.model if adapter is None else _Adapted(self.model, adapter)
        self._adapter = adapter
        self._ask = self._adapted
        self._recipe = recipe
        self._objective = objective or CrossEntropy()
        self._answers: deque[Tensor] = deque()

    @property
    def learns(self) -> bool:
        """Whether the teacher is trained beside the student: always."""
        return True

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits for ``x`` in eval mode, as the teacher is now."""
        with evaluating(self.model):
            return logits_in_full(self._ask(to_device(x, self.device)), self.name)

    def prepare(self, sources: Sequence[AnySource], seed: int, padding: int | None = None) -> None:
        """See :meth:`AnyTeacher.prepare`."""
        del sources, seed
        self._ask = asking(self._adapted, padding)

    def evaluated(self, x: Tensor) -> Tensor:
        """Logits for ``x``, the same as in a call: an online teacher always answers in eval mode."""
        return self(x)

    def answer(self, batch: Batch) -> Tensor:
        """Its logits from its own step on ``batch``; for a batch without a step, as a call."""
        # First in, first out: with accumulation there is one answer per micro-batch, in the student's order.
        return self._answers.popleft() if self._answers else self(batch.x)

    def activation_names(self) -> list[str]:
        """Empty: it hands over its logits only."""
        return []

    def verify_mode(self) -> None:
        """Nothing to verify: it learns."""

    def verify(self) -> str:
        """The digest of parameters and buffers as they are now."""
        return weights_digest(self.model)

    def release(self) -> None:
        """Nothing: the network is a copy."""

    def learner(
        self,
        batches: Batches,
        recipe: Recipe,
        *,
        steps: int,
        padding: int | None = None,
        ranks: Ranks | None = None,
    ) -> Trainer:
        """The trainer of its own steps, for a student that is trained with ``recipe``."""
        # The student's patterns in ``rates`` name the student's parameters.
        mine = self._recipe or recipe.model_copy(update={"rates": {}, "ema": None})
        return Trainer(
            self._adapted,
            batches,
            self._objective,
            mine.model_copy(update={"batch": recipe.batch, "accumulate": recipe.accumulate}),
            steps=steps,
            padding=padding,
            ranks=ranks,
            on_logits=self._answers.append,
            name=f"online teacher {self.name!r}",
        )


class _Adapted(nn.Module):
    """A network behind an adapter of its inputs."""

    def __init__(self, model: nn.Module, adapter: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._adapter = adapter

    def forward(self, x: Tensor) -> object:
        return self.model(self._adapter(x))
