"""Outputs of models: logits, and one logit vector per token for models with several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bequest.errors import ModelError


class Tokens(NamedTuple):
    """The output of a model with several tokens, each of which can learn from a teacher.

    Attributes:
        logits: (N, C), the answer at inference.
        tokens: (N, T, C), one logit vector per token: the class token first, then one per teacher.
    """

    logits: Tensor
    tokens: Tensor


class TokenHeads(nn.Module):
    """One linear head per token on shared features; the model's logits are the mean of the heads'.

    Args:
        width: Features that enter.
        classes: Width of each head's logits.
        count: How many heads.
    """

    def __init__(self, width: int, classes: int, count: int) -> None:
        super().__init__()
        self.classes, self.count = classes, count
        self.heads = nn.Linear(width, classes * count)

    def forward(self, features: Tensor) -> Tokens:
        """Tokens of ``features`` (N, F)."""
        tokens = self.heads(features).unflatten(1, (self.count, self.classes))
        return Tokens(tokens.mean(1), tokens)


def logits_of(output: object) -> Tensor:
    """The logits in a model's output.

    Args:
        output: A tensor, :class:`Tokens`, or anything else with ``logits`` as an attribute or a key.

    Raises:
        ModelError: If there are none.
    """
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise ModelError(
            "the model does not answer with logits",
            expected="a tensor (N, C), or an output with a tensor in its field 'logits'",
            got=type(output).__name__,
            remedy="wrap the model in a module that returns its logits",
        )
    return logits


def full_precision(values: Tensor) -> Tensor:
    """``values`` in float32 if they have half precision, else unchanged."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
