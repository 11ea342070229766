"""What a trained network answers on the study's splits, whatever it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bequest.data.datasets import Dataset, Split
from bequest.distill.score import predict
from bequest.models.taps import PENULTIMATE, activations
from bequest.models.verbs import verb_logits, verb_states


@dataclass(frozen=True)
class Reading:
    """How to read a network: a classifier as it is, a language model where the verb is due.

    Attributes:
        next_token: The network gives logits of the next token at every word.
    """

    next_token: bool

    @classmethod
    def of(cls, trained_on: Dataset) -> Reading:
        """How networks are read that were trained on such data."""
        return cls(trained_on.next_token)

    def logits(self, network: nn.Module, split: Split) -> Tensor:
        """Logits (N, C) in the label space of ``split``."""
        return verb_logits(network, split) if self.next_token else predict(network, split.x)

    def penultimate(self, network: nn.Module, x: Tensor) -> Tensor:
        """Penultimate activations, (N, F) or (N, ...)."""
        return verb_states(network, x) if self.next_token else activations(network, x)[PENULTIMATE]
