"""What a trained network answers on the study's splits, whatever it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bequest.data.datasets import Dataset, Split
from bequest.distill.score import BATCH, predict
from bequest.models.taps import PENULTIMATE, activations, tapped
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

    def both(self, network: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
        """What :meth:`logits` and :meth:`penultimate` give, in one pass where the network allows it."""
        if self.next_token:
            return self.logits(network, split), self.penultimate(network, split.x)
        logits, features = [], []
        with tapped(network, [PENULTIMATE]) as caught:
            for chunk in torch.split(split.x, BATCH):
                logits.append(predict(network, chunk))
                features.append(caught[PENULTIMATE].clone())
        return torch.cat(logits), torch.cat(features)

    def penultimate(self, network: nn.Module, x: Tensor) -> Tensor:
        """Penultimate activations, (N, F) or (N, ...)."""
        return verb_states(network, x) if self.next_token else activations(network, x)[PENULTIMATE]
