"""Shared parts of networks for token sequences: padding, the last word, tied embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bequest.errors import ModelError

SAMPLE_AXES = 1


def check_sequence(input_shape: Sequence[int], vocabulary: int, what: str) -> int:
    """The length of one input.

    Raises:
        ModelError: If one input is not a token sequence, or the vocabulary is unknown.
    """
    if len(input_shape) != SAMPLE_AXES or vocabulary < 1:
        raise ModelError(
            f"the model {what!r} needs token sequences",
            expected="inputs (L,) and the size of their vocabulary",
            got=f"inputs {tuple(input_shape)}, vocabulary {vocabulary}",
            remedy="use a dataset with a vocabulary, such as agreement",
        )
    return int(input_shape[0])


def words_of(x: Tensor, padding: int) -> Tensor:
    """``x`` (N, L) without the columns that are padding in every row; at least one column remains.

    On the CPU only, where it saves work: on an accelerator the host would have to wait for the result. Not
    while compiling or exporting either, as the length in a graph must not depend on the words.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x
    used = int((x != padding).any(0).nonzero().max()) + 1 if bool((x != padding).any()) else 1
    return x[:, :used]


def last_word(states: Tensor, x: Tensor, padding: int) -> Tensor:
    """The state (N, F) at each row's last word, from ``states`` (N, L, F)."""
    # Counting words finds the last one because padding is on the right; a row without words uses column 0.
    last = ((x != padding).sum(1) - 1).clamp(min=0)
    return states[torch.arange(x.shape[0], device=x.device), last]


class TiedHead(nn.Module):
    """Next-token logits from states: a projection, then the embedding's own matrix, and a bias per token.

    Args:
        embedding: The embedding whose weights the head shares.
        width: Features of a state.
        project: Insert the projection even if ``width`` is that of the embedding.
    """

    def __init__(self, embedding: nn.Embedding, width: int, *, project: bool) -> None:
        super().__init__()
        size = embedding.embedding_dim
        self.project = nn.Linear(width, size) if project or width != size else nn.Identity()
        self.tokens = nn.Linear(size, embedding.num_embeddings)
        self.tokens.weight = embedding.weight
        nn.init.zeros_(self.tokens.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Logits (..., V) of states (..., F)."""
        logits: Tensor = self.tokens(self.project(states))
        return logits


def padded_to(logits: Tensor, length: int) -> Tensor:
    """Logits (N, L, C) padded with rows of zeros to (N, ``length``, C), undoing :func:`words_of`."""
    missing = length - logits.shape[1]
    return nn.functional.pad(logits, (0, 0, 0, missing)) if missing else logits
