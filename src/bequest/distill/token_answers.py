"""Answers of a network at each labelled token, as rows for the measures of single answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bequest.data.checks import UNLABELLED
from bequest.data.datasets import Split
from bequest.data.rows import rows_at
from bequest.distill.score import SEQUENCES, predict
from bequest.errors import DataError
from bequest.models.taps import PENULTIMATE, activations
from bequest.seeding import numpy_generator

MOST_NUMBERS = 2**23
"""Logits read of one network on one split, at most: those of 8,388 tokens with a vocabulary of 1,000."""


class TokenAnswers(NamedTuple):
    """Answers at P labelled tokens, of whole sequences one after the other.

    Attributes:
        ids: int64 (P,), the sequences' ids.
        labels: int64 (P,).
        logits: float32 (P, V).
    """

    ids: Tensor
    labels: Tensor
    logits: Tensor


def token_answers(
    model: nn.Module, split: Split, *, padding: int | None = None, most: int = MOST_NUMBERS
) -> TokenAnswers:
    """Logits of ``model`` in eval mode at the labelled tokens of a split.

    If there would be more than ``most`` numbers, whole sequences are left out. The choice depends on the
    split alone, so that all networks answer at the same tokens.

    Args:
        model: Next-token or masked-token logits (N, L, V) of tokens (N, L).
        split: Sequences with a label per token, ``UNLABELLED`` where there is none.
        padding: The padding token; a network that takes an attention mask gets one.
        most: See above.

    Raises:
        DataError: If no token has a label.
    """
    # One sequence, to learn the size of the vocabulary, which decides how many are read.
    first = rows_at(split.x, sequences_read(split, 1, most)[:1])
    vocabulary = predict(model, first, padding=padding).shape[-1]
    rows = sequences_read(split, vocabulary, most)
    logits = [
        predict(model, x, padding=padding)[labelled] for x, labelled in _blocks(split, rows, vocabulary)
    ]
    labels, counts = _labels(split, rows)
    return TokenAnswers(split.ids[rows].repeat_interleave(counts), labels, torch.cat(logits))


def token_features(model: nn.Module, split: Split, vocabulary: int, *, padding: int | None = None) -> Tensor:
    """Penultimate activations (P, F) of ``model`` at the tokens where :func:`token_answers` reads logits."""
    features = []
    for x, labelled in _blocks(split, sequences_read(split, vocabulary), vocabulary):
        states = activations(model, x, padding=padding)[PENULTIMATE]
        # networks leave out columns that are padding in a whole batch
        missing = labelled.shape[1] - states.shape[1]
        features.append(nn.functional.pad(states, (0, 0, 0, missing))[labelled])
    return torch.cat(features)


def sequences_read(split: Split, vocabulary: int, most: int = MOST_NUMBERS) -> Tensor:
    """Row numbers of the sequences at whose labelled tokens networks are read, in rising order.

    Raises:
        DataError: If no token has a label.
    """
    if split.y is None or split.y.ndim == 1 or not bool((split.y != UNLABELLED).any()):
        raise DataError("these sequences have no labels", expected="one label per token, (N, L)")
    counts = (split.y != UNLABELLED).sum(1)
    order = torch.from_numpy(numpy_generator(0, "token readings").permutation(len(split))).to(counts.device)
    order = order[counts[order] > 0]
    fitting = counts[order].cumsum(0) <= max(1, most // max(1, vocabulary))
    return order[: max(1, int(fitting.sum()))].sort().values


def tokens_read(split: Split, vocabulary: int) -> Tensor:
    """How many labelled tokens each of the sequences that are read has, int64 (M,)."""
    return _labels(split, sequences_read(split, vocabulary))[1]


def _labels(split: Split, rows: Tensor) -> tuple[Tensor, Tensor]:
    assert split.y is not None
    labels = split.y[rows]
    labelled = labels != UNLABELLED
    return labels[labelled], labelled.sum(1)


def _blocks(split: Split, rows: Tensor, vocabulary: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and where they have labels, in blocks of as many sequences as fit into :data:`MOST_NUMBERS`."""
    assert split.y is not None
    together = max(1, MOST_NUMBERS // (split.y.shape[1] * vocabulary))
    for part in torch.split(rows, min(SEQUENCES, together)):
        yield rows_at(split.x, part), split.y[part] != UNLABELLED
