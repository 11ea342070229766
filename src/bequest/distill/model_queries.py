"""Queries that a language model writes: the teacher's samples, or the student's own while it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.data.queries import Generated
from bequest.distill.padded import asking
from bequest.errors import ConfigError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.tokens import full_precision, logits_of

SEQUENCE_AXES = 3


class ModelQueries:
    """Writes token sequences with a language model: ``generate(rows, generator)`` of a ``Generated`` source.

    Each sequence begins with a random one of the prompts; every further token is drawn from
    softmax(logits / temperature) of the model in eval mode. The draws follow from the generator, which a step
    seeds, and from the weights, so that a run which resumes writes the same queries.

    Args:
        prompts: int64 (M, P), tokens to begin with, such as the first ones of the training sequences.
        length: Tokens of a whole sequence, more than P.
        model: Who writes: a network of next-token logits (N, L, C); None: the student as it is at each step,
            which is on-policy distillation.
        temperature: > 0.
        end: A token after which a sequence is filled up with ``padding``.
        padding: The token that fills sequences up.

    Raises:
        ConfigError: Lists every fault.
    """

    def __init__(
        self,
        prompts: Tensor,
        length: int,
        *,
        model: nn.Module | None = None,
        temperature: float = 1.0,
        end: int | None = None,
        padding: int | None = None,
    ) -> None:
        faults = []
        if prompts.ndim != 2 or prompts.is_floating_point() or not prompts.numel():
            faults.append(f"prompts: expected tokens (M, P), got {prompts.dtype} {tuple(prompts.shape)}")
        elif length <= prompts.shape[1]:
            faults.append(f"length: {length} tokens leave nothing to write after {prompts.shape[1]}")
        if not temperature > 0:
            faults.append(f"temperature: expected a number > 0, got {temperature}")
        if end is not None and padding is None:
            faults.append("end: needs padding, to fill sequences up with")
        if faults:
            raise ConfigError.of("queries of a model", faults)
        self._prompts, self._length, self._temperature = prompts, length, temperature
        self._end, self._padding = end, padding
        self._model = model
        self._student: nn.Module | None = None

    @property
    def on_policy(self) -> bool:
        """Whether the student writes."""
        return self._model is None

    def follow(self, student: nn.Module) -> None:
        """Let ``student`` write from now on, if nobody else does."""
        self._student = student

    @torch.no_grad()
    def __call__(self, rows: int, generator: torch.Generator) -> Tensor:
        """``rows`` sequences (rows, length) on the CPU.

        Raises:
            ConfigError: If the student shall write and there is none, or the model has no next-token logits.
        """
        model = self._model if self._model is not None else self._student
        if model is None:
            raise ConfigError.of(
                "queries of a model", ["the student writes, and only a lesson knows it; name a model"]
            )
        chosen = torch.randint(len(self._prompts), (rows,), generator=generator)
        tokens = self._prompts.cpu()[chosen]
        device, network = device_of(model), asking(model, self._padding)
        with evaluating(model):
            while tokens.shape[1] < self._length:
                logits = full_precision(logits_of(network(to_device(tokens, device))))
                if logits.ndim != SEQUENCE_AXES:
                    raise ConfigError.of(
                        "queries of a model",
                        [f"expected next-token logits (N, L, C), got {tuple(logits.shape)}"],
                    )
                probs = torch.softmax(logits[:, -1].cpu() / self._temperature, -1)
                drawn = torch.multinomial(probs, 1, generator=generator)
                tokens = torch.cat([tokens, self._filled(tokens, drawn)], 1)
        return tokens

    def _filled(self, tokens: Tensor, drawn: Tensor) -> Tensor:
        """``drawn``, or padding where a sequence has ended."""
        if self._end is None or self._padding is None:
            return drawn
        last = tokens[:, -1:]
        over = (last == self._end) | (last == self._padding)
        return drawn.masked_fill(over, self._padding)


def written_by(model: nn.Module | None, prompts: Tensor, length: int, *, share: float = 1.0) -> Generated:
    """A source of sequences that ``model`` writes, or the student (None), with its share of every batch.

    A mixture is a list: ``queries=[Source("text", split, Identity(), 0.5), written_by(None, prompts, 32,
    share=0.5)]``. See :class:`ModelQueries` for temperature and end.
    """
    name = "student's samples" if model is None else "model's samples"
    return Generated(name, ModelQueries(prompts, length, model=model), share)
