"""Cross-entropy to true labels: smoothed, mixed, with rows that have none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.objectives.objective import Objective, Parts
from bequest.variants import strict


@strict
class CrossEntropy(Objective, name="cross_entropy"):
    """Cross-entropy to the true labels, ``smoothing`` of it spread evenly over the classes.

    Rows without a label are left out. For a mixed sample, the losses of its own and of its partner's label
    are weighted by their shares in the mixture.
    """

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def needs_labels(self) -> bool:
        """Whether the loss reads labels: always."""
        return True

    @override
    def __call__(self, exchange: Exchange, module: nn.Module | None = None) -> tuple[Tensor, Parts]:
        """The mean over labelled rows, and ``cross_entropy``."""
        loss = label_loss(exchange, self.smoothing)
        return loss, {"cross_entropy": loss.detach()}


def label_loss(exchange: Exchange, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the labelled rows, mixed labels weighted by their shares."""
    logits, labels = exchange.student_logits, exchange.labels
    assert labels is not None
    if logits.ndim == 3:
        logits, labels = logits.flatten(0, 1), _seen(labels, exchange.mask)
    if exchange.partner_labels is not None and exchange.label_weight is not None:
        return _mixed_loss(exchange, logits, labels, smoothing)
    # The common case, every row labelled and no accumulation, in one fused call.
    if exchange.rows is None and exchange.labelled == len(labels):
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    loss = functional.cross_entropy(
        logits, labels, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="sum"
    )
    return loss / (exchange.labelled or (labels != UNLABELLED).sum().clamp(min=1))


def likelier_labels(exchange: Exchange) -> Tensor:
    """One label per row, for losses that take just one: for a mixed sample the one with the larger share."""
    assert exchange.labels is not None
    if exchange.partner_labels is None or exchange.label_weight is None:
        return exchange.labels
    first = exchange.label_weight >= 0.5
    if exchange.labels.ndim == 2:
        first = first[:, None]
    return exchange.labels.where(first, exchange.partner_labels)


def _mixed_loss(exchange: Exchange, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    assert exchange.partner_labels is not None
    assert exchange.label_weight is not None
    share, partner = exchange.label_weight, exchange.partner_labels
    if exchange.student_logits.ndim == 3:
        share = share[:, None].expand(partner.shape).flatten()
        partner = _seen(partner, exchange.mask)
    first, second = (
        functional.cross_entropy(
            logits, classes, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none"
        )
        for classes in (labels, partner)
    )
    total = (share * first + (1 - share) * second).sum()
    if exchange.labelled:
        return total / exchange.labelled
    mass = share * (labels != UNLABELLED) + (1 - share) * (partner != UNLABELLED)
    return total / mass.sum().clamp(min=1e-6)


def _seen(labels: Tensor, mask: Tensor | None) -> Tensor:
    """Labels of sequences as one row of positions; masked positions become unlabelled."""
    return (labels if mask is None else labels.masked_fill(~mask, UNLABELLED)).flatten()
