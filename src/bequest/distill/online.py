"""Online teachers: networks that learn the labels on each batch while a student learns from them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bequest.data.batches import Batch, Batches
from bequest.distill.objectives import CrossEntropy, Objective
from bequest.distill.parallel import Ranks
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.distill.trainer import Trainer
from bequest.models.modes import evaluating
from bequest.models.weights import weights_digest


class OnlineTeacher(Teacher):
    """A teacher that takes its own labelled step on each batch; the student learns from those same logits.

    The network is copied; ``model`` is the copy that learns. The record calls it ``online``.

    Args:
        model: The network as it starts.
        name: What the record calls it.
        recipe: How it is trained; default: as the student. Batch size and accumulation are the student's.
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
        self.model = copy.deepcopy(model)
        super().__init__(self.model, name=name, adapter=adapter)
        self.mode = "online"
        self._recipe = recipe
        self._objective = objective or CrossEntropy()
        self._said: deque[Tensor] = deque()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits for ``x`` in eval mode, as the teacher is now."""
        with evaluating(self.model):
            return self._asked(x, noisy=False)

    def calm(self, x: Tensor) -> Tensor:
        """As a call."""
        return self(x)

    def answer(self, batch: Batch) -> Tensor:
        """What it said to ``batch`` when it learned from it; of any other batch, what it would say."""
        return self._said.popleft() if self._said else self(batch.x)

    def known_features(self) -> list[str]:
        """None: it hands over its logits only."""
        return []

    def verify_mode(self) -> None:
        """Nothing to verify: it learns."""

    def verify(self) -> str:
        """The digest of parameters and buffers as they are now."""
        return weights_digest(self.model)

    def peer(
        self,
        batches: Batches,
        recipe: Recipe,
        *,
        steps: int,
        padding: int | None = None,
        ranks: Ranks | None = None,
    ) -> Trainer:
        """What takes its step on each batch of a student that is trained by ``recipe``."""
        own = self._recipe or recipe.model_copy(update={"rates": {}, "ema": None})
        own = own.model_copy(update={"batch": recipe.batch, "accumulate": recipe.accumulate})
        return Trainer(
            _Adapted(self.model, self._adapter) if self._adapter else self.model,
            batches,
            self._objective,
            own,
            steps=steps,
            padding=padding,
            ranks=ranks,
            heard=self._said.append,
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
