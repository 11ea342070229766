"""Scores of the queries of a pool: which would be most informative for the student."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bequest.data.batches import Batch
from bequest.data.designs import PoolFeatures
from bequest.data.queries import SPREADING, TEACHERS_NEEDED, ActiveSpec, AnySource, Source
from bequest.data.streams import POOL_CHUNK, Drawn
from bequest.distill.devices import batch_to
from bequest.distill.divergence import entropy_rows, kl_rows
from bequest.distill.padded import asking
from bequest.distill.parallel import Ranks
from bequest.distill.signal import Answers
from bequest.errors import ConfigError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.taps import PENULTIMATE, tapped
from bequest.models.tokens import full_precision, logits_of

POSITION_SCORE_AXES = 2
ANSWER_AXES = 2
FEATURE_AXES = 2


class Ranking:
    """Evaluates student and teachers on a pool; the ``rank`` of ``Batches``.

    Args:
        student: The student, evaluated in eval mode as it is in the round.
        signal: The teachers, uncombined.
        ranks: The processes that train together; all use the scores of the first one.
        padding: The padding token; positions that hold it do not count.
        sources: The sources of the batches, in their order; ``badge_clean`` asks the student about the
            samples that a source shows in views.
    """

    def __init__(
        self,
        student: nn.Module,
        signal: Answers | None,
        ranks: Ranks | None = None,
        padding: int | None = None,
        sources: Sequence[AnySource] = (),
    ) -> None:
        self._student = student
        self._padding = padding
        self._network = asking(student, padding)
        self._signal = signal
        self._ranks = ranks or Ranks()
        self._sources = tuple(sources)

    @torch.no_grad()
    def __call__(self, spec: ActiveSpec, pool: Iterator[Drawn]) -> Float[Tensor, " n"] | PoolFeatures:
        """The numbers by which ``spec`` chooses among the queries of the pool.

        Returns:
            One number ≥ 0 per query, in nats, larger for more informative ones. For the designs in
            ``SPREADING`` the student's last hidden layer, and by gradients also its probabilities' errors.

        Raises:
            ConfigError: If ``spec`` asks for the answers of more teachers than there are, or for gradients
                of a student that answers once a position.
            ModelError: If features are needed and the student has no linear layer.
        """
        with evaluating(self._student):
            answer = self._features if spec.by in SPREADING else self._scores
            # Scores of other ranks may differ in the last bit, and with them the chosen queries.
            return self._ranks.shared(answer(spec, pool))

    def _scores(self, spec: ActiveSpec, pool: Iterator[Drawn]) -> Tensor:
        scores = [_per_sample(self._score(spec, batch), self._seen(batch)) for batch in self._batches(pool)]
        return torch.cat(scores).cpu()

    def _score(self, spec: ActiveSpec, batch: Batch) -> Tensor:
        if spec.by == "entropy":
            return entropy(self._answer(batch.x), temperature=spec.temperature)
        teachers = self._teachers(spec, batch)
        if spec.by == "disagreement":
            return disagreement(teachers, temperature=spec.temperature)
        answer = self._answer(batch.x)
        each = [divergence(answer, teacher, temperature=spec.temperature) for teacher in teachers]
        return torch.stack(each).mean(0)

    def _features(self, spec: ActiveSpec, pool: Iterator[Drawn]) -> PoolFeatures:
        features, residuals = [], []
        clean: dict[int, Tensor] = {}
        with tapped(self._student, (PENULTIMATE,)) as caught:
            for batch in self._batches(pool):
                answer = self._answer(batch.x)
                features.append(_per_sample_features(caught[PENULTIMATE], self._seen(batch)).cpu())
                if spec.by == "coverage":
                    continue
                if answer.ndim > ANSWER_AXES:
                    raise ConfigError.of(
                        "active", [f"by: {spec.by} needs one answer per sample, not one per position"]
                    )
                residuals.append((_probs(answer, spec) - self._target(spec, batch, clean)).cpu())
        return PoolFeatures(torch.cat(features), torch.cat(residuals) if residuals else None)

    def _target(self, spec: ActiveSpec, batch: Batch, clean: dict[int, Tensor]) -> Tensor:
        """Probabilities to compare the student's with: its teachers', or its own without augmentation.

        ``clean`` caches the student's answers to a source's samples between chunks of the pool.
        """
        if spec.by == "badge":
            return torch.stack([_probs(logits, spec) for logits in self._teachers(spec, batch)]).mean(0)
        (part,) = batch.parts
        # Once per ranking: the samples are the same for each of their views.
        if part.source not in clean:
            source = self._sources[part.source]
            assert isinstance(source, Source)
            samples = to_device(source.split.x, device_of(self._student))
            clean[part.source] = torch.cat([self._answer(x) for x in torch.split(samples, POOL_CHUNK)])
        return _probs(clean[part.source][part.rows.to(clean[part.source].device)], spec)

    def _teachers(self, spec: ActiveSpec, batch: Batch) -> tuple[Tensor, ...]:
        teachers = self._signal.answer(batch)[0] if self._signal is not None else ()
        needed = TEACHERS_NEEDED[spec.by]
        if len(teachers) < needed:
            raise ConfigError.of(
                "active", [f"by: {spec.by} needs {needed} teacher{'s' * (needed > 1)}, not {len(teachers)}"]
            )
        return teachers

    def _batches(self, pool: Iterator[Drawn]) -> Iterator[Batch]:
        device = device_of(self._student)
        return (batch_to(Batch(*shown[:5], parts=tuple(parts)), device) for parts, shown in pool)

    def _seen(self, batch: Batch) -> Tensor | None:
        return None if self._padding is None else torch.ne(batch.x, self._padding)

    def _answer(self, x: Tensor) -> Tensor:
        return full_precision(logits_of(self._network(x)))


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
    # In logarithms, as small probabilities would be 0 in float32.
    log_mean = torch.logsumexp(log_p, 0) - math.log(len(logits))
    return entropy_rows(log_mean) - entropy_rows(log_p).mean(0)


def _probs(logits: Tensor, spec: ActiveSpec) -> Tensor:
    return torch.softmax(logits / spec.temperature, -1)


def _per_sample_features(features: Tensor, seen: Tensor | None) -> Tensor:
    """One vector per sample, float32: the mean over the positions that count, if there are several."""
    values = features.float()
    if values.ndim <= FEATURE_AXES:
        return values
    if seen is None or seen.shape != values.shape[:2]:
        return values.flatten(1, -2).mean(1)
    # A row of padding alone gets 0, not NaN.
    return (values * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp(min=1)


def _per_sample(scores: Tensor, seen: Tensor | None) -> Tensor:
    """One number per sample: the mean over the positions that count, if there are several."""
    if scores.ndim < POSITION_SCORE_AXES:
        return scores
    if seen is None:
        return scores.mean(1)
    return (scores * seen).sum(1) / seen.sum(1).clamp(min=1)
