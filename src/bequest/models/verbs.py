"""The scores of a language model for the two forms of a verb, at the word before it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bequest.data.datasets import Split
from bequest.data.lexicon import PADDING
from bequest.data.sequences import ABSENT, before_the_verb
from bequest.errors import DataError
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.sequence import last_word
from bequest.models.taps import PENULTIMATE, tapped
from bequest.models.tokens import full_precision, logits_of

BATCH = 200


@torch.no_grad()
def verb_logits(model: nn.Module, split: Split, *, batch: int = BATCH) -> Float[Tensor, "n 2"]:
    """The logits of the singular and of the plural form of each sentence's verb, in eval mode.

    Args:
        model: Next-token logits (N, L, V) of tokens (N, L).
        split: Sentences in the form for classification, with the ids of both forms in ``about``.
        batch: Sentences at once.

    Returns:
        The logits of VBZ and VBP, as of a classifier. If a form is not in the vocabulary, the answer is one
            that counts as wrong; see the option ``unknown_verbs`` of :func:`bequest.data.linzen.linzen`.

    Raises:
        DataError: If the split does not say which forms the verbs have.
    """
    forms = [split.about.get(name) for name in ("singular", "plural")]
    if forms[0] is None or forms[1] is None:
        raise DataError("the sentences do not say which forms their verbs have", expected="singular, plural")
    pairs = torch.stack([forms[0], forms[1]], 1)
    # Gathered a batch at a time: the logits of all sentences would be many gigabytes.
    batches = zip(_at_the_verb(model, split.x, batch), torch.split(pairs, batch), strict=True)
    # Clamped, as an absent form has a negative id; its score is replaced below.
    scores = torch.cat([logits.gather(1, pair.clamp(min=0)) for (logits, _), pair in batches])
    return _wrong_where_absent(scores, pairs, split.y)


@torch.no_grad()
def verb_states(model: nn.Module, x: Int[Tensor, "n l"], *, batch: int = BATCH) -> Float[Tensor, "n f"]:
    """Penultimate activations of a language model at the word before the verb, in eval mode."""
    return torch.cat([states for _, states in _at_the_verb(model, x, batch)])


def _at_the_verb(model: nn.Module, x: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (N, V) and penultimate activations (N, F) at the last word before each verb, beside ``x``."""
    device = device_of(model)
    with evaluating(model), tapped(model, [PENULTIMATE]) as caught:
        for rows in torch.split(before_the_verb(x), batch):
            words = to_device(rows, device)
            logits = full_precision(logits_of(model(words)))
            answers = (last_word(values, words, PADDING) for values in (logits, caught[PENULTIMATE]))
            at_verb, states = (values.to(x.device) for values in answers)
            yield at_verb, states


def _wrong_where_absent(scores: Tensor, pairs: Tensor, labels: Tensor | None) -> Tensor:
    absent = (pairs == ABSENT).any(1)
    if labels is None or not bool(absent.any()):
        return scores
    wrong = torch.nn.functional.one_hot(1 - labels[absent], 2).to(scores)
    scores[absent] = wrong
    return scores
