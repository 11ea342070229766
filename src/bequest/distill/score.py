"""Predictions of a network, and the two scores of the training loop (measures are in bequest.measure)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bequest.data.batches import UNLABELLED
from bequest.data.datasets import Split
from bequest.distill.padded import asking
from bequest.errors import DataError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.tokens import Tokens, full_precision, logits_of

BATCH = 500
SEQUENCES = 100

Scores = dict[str, float | int]


@torch.no_grad()
def predict(
    model: Callable[[Tensor], object], x: Tensor, *, batch: int = BATCH, padding: int | None = None
) -> Tensor:
    """Logits, (N, C) or (N, L, C), of ``model`` in eval mode, computed ``batch`` rows at a time.

    Args:
        model: A network, on any device, or a function that answers like one.
        x: Inputs (N, ...); the logits are returned on their device.
        batch: Rows per forward pass.
        padding: The padding token; a network that takes an attention mask gets one.
    """
    if not isinstance(model, nn.Module):
        answers = (model(to_device(chunk, x.device)) for chunk in torch.split(x, batch))
        return torch.cat([full_precision(logits_of(answer)).to(x.device) for answer in answers])
    device, network = device_of(model), asking(model, padding)
    with evaluating(model):
        chunks = (
            full_precision(logits_of(network(to_device(chunk, device)))) for chunk in torch.split(x, batch)
        )
        return torch.cat([logits.to(x.device) for logits in chunks])


@torch.no_grad()
def tokens_of(model: nn.Module, x: Tensor, *, batch: int = BATCH) -> Tensor | None:
    """One logit vector per token, (N, T, C), of ``model`` in eval mode; None if it has a single one."""
    with evaluating(model):
        device = device_of(model)
        if not isinstance(model(to_device(x[:1], device)), Tokens):
            return None
        chunks = (full_precision(model(to_device(chunk, device)).tokens) for chunk in torch.split(x, batch))
        return torch.cat([tokens.to(x.device) for tokens in chunks])


def score(model: Callable[[Tensor], object], split: Split, *, padding: int | None = None) -> Scores:
    """Accuracy in [0, 1] and negative log-likelihood in nats on ``split``, over its labels.

    Positions whose label is ``UNLABELLED`` are left out.

    Raises:
        DataError: If the split has no labels.
    """
    labelled = None if split.y is None else split.y != UNLABELLED
    if split.y is None or labelled is None or not bool(labelled.any()):
        raise DataError(
            "a split without labels cannot be scored",
            expected="labels on the validation split",
            got="none",
        )
    if split.y.ndim > 1:
        return _sequence_scores(model, split.x, split.y, padding)
    logits, labels = predict(model, split.x, padding=padding)[labelled], split.y[labelled]
    return {
        "accuracy": float((logits.argmax(-1) == labels).double().mean()),
        "nll": float(cross_entropy(logits.double(), labels)),
    }


def _sequence_scores(model: Callable[[Tensor], object], x: Tensor, y: Tensor, padding: int | None) -> Scores:
    """As :func:`score`, a batch at a time: the logits of all positions may take many gigabytes."""
    right, nll, count = 0, 0.0, 0
    for inputs, targets in zip(torch.split(x, SEQUENCES), torch.split(y, SEQUENCES), strict=True):
        labelled = targets != UNLABELLED
        logits, labels = predict(model, inputs, padding=padding)[labelled], targets[labelled]
        right += int((logits.argmax(-1) == labels).sum())
        nll += float(cross_entropy(logits.double(), labels, reduction="sum"))
        count += len(labels)
    return {"accuracy": right / count, "nll": nll / count}
