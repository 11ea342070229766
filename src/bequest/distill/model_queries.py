"""Queries that a language model writes: the teacher's samples, or the student's own while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from bequest.data.datasets import Split
from bequest.data.generators import Generator
from bequest.data.queries import Generated
from bequest.data.rows import blocks_of
from bequest.distill.padded import asking
from bequest.distill.teachers import AnyTeacher
from bequest.errors import ConfigError, DataError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.tokens import full_precision, logits_of
from bequest.variants import strict

Writer = Literal["student", "teacher"]

SEQUENCE_AXES = 3


class ModelQueries:
    """Writes token sequences with a language model: ``generate(rows, generator)`` of a ``Generated`` source.

    Each sequence begins with a random prompt; every further token is drawn from softmax(logits / temperature)
    of the model in eval mode. The draws depend only on the generator, which is seeded at each step, and on
    the weights, so that a resumed run writes the same queries.

    Args:
        prompts: int64 (M, P), tokens to begin with, such as the first ones of the training sequences.
        length: Tokens of a whole sequence, more than P.
        model: The network that writes, with next-token logits (N, L, C); None: the one that ``by`` names.
        by: ``student``: the student as it is at each step, which is on-policy distillation; ``teacher``: its
            first teacher, which is sequence-level distillation.
        temperature: > 0.
        end: A token after which a sequence is filled with ``padding``.
        padding: The padding token.

    Raises:
        ConfigError: Lists every fault.
    """

    def __init__(
        self,
        prompts: Tensor,
        length: int,
        *,
        model: nn.Module | None = None,
        by: Writer = "student",
        temperature: float = 1.0,
        end: int | None = None,
        padding: int | None = None,
    ) -> None:
        faults = []
        if prompts.ndim != 2 or prompts.is_floating_point() or not prompts.numel():
            faults.append(f"prompts: expected tokens (M, P), got {prompts.dtype} {tuple(prompts.shape)}")
        elif length <= prompts.shape[1]:
            faults.append(
                f"length: {length} tokens leave nothing to generate after prompts of {prompts.shape[1]}"
            )
        if not temperature > 0:
            faults.append(f"temperature: expected a number > 0, got {temperature}")
        if end is not None and padding is None:
            faults.append("end: needs padding, to fill up sequences that end early")
        if faults:
            raise ConfigError.of("queries of a model", faults)
        self._prompts, self._length, self._temperature = prompts, length, temperature
        self._end, self._padding = end, padding
        self._model, self._by = model, by
        self._writer = model

    @property
    def on_policy(self) -> bool:
        """Whether the queries are written by the student, and so change as it learns."""
        return self._model is None and self._by == "student"

    def follow(self, student: nn.Module, teachers: Sequence[AnyTeacher] = ()) -> None:
        """Let the student of a lesson, or its first teacher, write from now on, unless a model was given.

        Raises:
            ConfigError: If the teacher is to write and there is none.
        """
        if self._model is not None:
            return
        if self._by == "teacher" and not teachers:
            raise ConfigError.of(
                "queries of a model",
                ["the teacher generates, but there is no network as teacher; pass a model"],
            )
        self._writer = student if self._by == "student" else teachers[0].network

    @torch.no_grad()
    def __call__(self, rows: int, generator: torch.Generator) -> Tensor:
        """``rows`` sequences (rows, length) on the CPU.

        Raises:
            ConfigError: If the student or teacher is to write and there is none, or the model has no
                next-token logits.
        """
        model = self._writer
        if model is None:
            raise ConfigError.of(
                "queries of a model", [f"the {self._by} generates, but only a Lesson knows it; pass a model"]
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
                # On the CPU: a GPU's generator would draw other tokens from the same seed.
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


@strict
class Written(Generator, name="written"):
    """Token sequences that a language model writes: the student's own (on-policy), or the teacher's samples.

    Each begins with the first tokens of a random sequence of the data; every further token is drawn from the
    model's softmax(logits / temperature) in eval mode.

    Attributes:
        by: ``student``, as it is at each step, or ``teacher``: the first one.
        prompt: Tokens of the data that each sequence begins with.
        length: Tokens of a whole sequence; default: as in the data.
        temperature: Above 1 draws are more varied, below 1 less.
        end: A token after which a sequence is filled with ``padding``.
        padding: See ``end``.
    """

    by: Writer = "student"
    prompt: Annotated[int, Field(ge=1)] = 1
    length: Annotated[int, Field(ge=2)] | None = None
    temperature: Annotated[float, Field(gt=0)] = 1.0
    end: Annotated[int, Field(ge=0)] | None = None
    padding: Annotated[int, Field(ge=0)] = 0

    @override
    def bind(self, split: Split) -> ModelQueries:
        """Queries that begin like the sequences of ``split``.

        Raises:
            DataError: If the split holds no sequences of tokens.
            ConfigError: If the prompt leaves nothing to write.
        """
        if split.x.ndim != 2 or split.x.is_floating_point():
            raise DataError(
                "only sequences of tokens can be generated",
                expected="tokens (N, L)",
                got=tuple(split.x.shape),
            )
        return ModelQueries(
            torch.cat([block[:, : self.prompt] for block in blocks_of(split.x)]),
            self.length or split.x.shape[1],
            by=self.by,
            temperature=self.temperature,
            end=self.end,
            padding=self.padding,
        )


def written_by(model: nn.Module | None, prompts: Tensor, length: int, *, share: float = 1.0) -> Generated:
    """A source of sequences that ``model`` writes, or the student (None), with its share of every batch.

    A mixture is a list: ``queries=[Source("text", split, Identity(), 0.5), written_by(None, prompts, 32,
    share=0.5)]``. See :class:`ModelQueries` for temperature and end.
    """
    name = "student's samples" if model is None else "model's samples"
    return Generated(name, ModelQueries(prompts, length, model=model), share)
