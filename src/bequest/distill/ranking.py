"""Which queries of a pool would tell the student most."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bequest.data.batches import Batch
from bequest.data.queries import ActiveSpec
from bequest.data.streams import Drawn
from bequest.distill.devices import batch_to, device_of
from bequest.distill.divergence import entropy_rows, kl_rows
from bequest.distill.padded import asking
from bequest.distill.parallel import Ranks
from bequest.distill.signal import Answers
from bequest.errors import ConfigError
from bequest.models.modes import evaluating
from bequest.models.tokens import full_precision, logits_of

POSITION_SCORE_AXES = 2


class Ranking:
    """Ranks a pool by what student and teachers answer to it; the ``rank`` of ``Batches``.

    Args:
        student: The network as it is when a round chooses; asked in eval mode.
        signal: The teachers, each by itself (uncombined).
        ranks: The processes that train together; all of them choose what the first one would.
        padding: The token that fills sequences up; positions that hold it do not count.
    """

    def __init__(
        self,
        student: nn.Module,
        signal: Answers | None,
        ranks: Ranks | None = None,
        padding: int | None = None,
    ) -> None:
        self._student = student
        self._padding = padding
        self._network = asking(student, padding)
        self._signal = signal
        self._ranks = ranks or Ranks()

    @torch.no_grad()
    def __call__(self, spec: ActiveSpec, pool: Iterator[Drawn]) -> Float[Tensor, " n"]:
        """One number ≥ 0 a query of the pool, in nats, the largest the most telling.

        Raises:
            ConfigError: If ``spec`` asks for the answers of more teachers than there are.
        """
        scores = []
        with evaluating(self._student):
            for parts, shown in pool:
                batch = batch_to(Batch(*shown[:5], parts=tuple(parts)), device_of(self._student))
                seen = None if self._padding is None else torch.ne(batch.x, self._padding)
                scores.append(_per_sample(self._scores(spec, batch), seen))
        return self._ranks.shared(torch.cat(scores).cpu())

    def _scores(self, spec: ActiveSpec, batch: Batch) -> Tensor:
        if spec.by == "entropy":
            return entropy(self._answer(batch), temperature=spec.temperature)
        teachers = self._signal.answer(batch)[0] if self._signal is not None else ()
        needed = 2 if spec.by == "disagreement" else 1
        if len(teachers) < needed:
            raise ConfigError.of(
                "active", [f"by: {spec.by} needs {needed} teacher{'s' * (needed > 1)}, not {len(teachers)}"]
            )
        if spec.by == "disagreement":
            return disagreement(teachers, temperature=spec.temperature)
        answer = self._answer(batch)
        each = [divergence(answer, teacher, temperature=spec.temperature) for teacher in teachers]
        return torch.stack(each).mean(0)

    def _answer(self, batch: Batch) -> Tensor:
        return full_precision(logits_of(self._network(batch.x)))


def divergence(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0
) -> Float[Tensor, "..."]:
    """KL(teacher ‖ student) of each row, ≥ 0, in nats; the softened probabilities are compared.

    Args:
        student_logits: (..., C).
        teacher_logits: As ``student_logits``.
        temperature: Divides both.

    >>> divergence(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor([0.4338])
    """
    return kl_rows(*(torch.log_softmax(x / temperature, -1) for x in (teacher_logits, student_logits)))


def entropy(logits: Tensor, *, temperature: float = 1.0) -> Float[Tensor, "..."]:
    """Entropy of each row's probabilities, in [0, log C] nats.

    >>> entropy(torch.tensor([[1.0, 1.0]]))
    tensor([0.6931])
    """
    return entropy_rows(torch.log_softmax(logits / temperature, -1))


def disagreement(logits: tuple[Tensor, ...], *, temperature: float = 1.0) -> Float[Tensor, "..."]:
    """Jensen-Shannon divergence of the teachers' probabilities, row by row, in [0, log K] nats for K of them.

    The entropy of the mean less the mean of the entropies.

    Source: Lin 1991, "Divergence measures based on the Shannon entropy", section 4, equal weights.

    >>> sure = 50 * torch.eye(2)
    >>> disagreement((sure[:1], sure[1:]))
    tensor([0.6931])
    """
    log_p = torch.log_softmax(torch.stack(logits) / temperature, -1)
    log_mean = torch.logsumexp(log_p, 0) - math.log(len(logits))
    return entropy_rows(log_mean) - entropy_rows(log_p).mean(0)


def _per_sample(scores: Tensor, seen: Tensor | None) -> Tensor:
    """One number a sample: the mean over the positions that count, where there are several."""
    if scores.ndim < POSITION_SCORE_AXES:
        return scores
    if seen is None:
        return scores.mean(1)
    return (scores * seen).sum(1) / seen.sum(1).clamp(min=1)
