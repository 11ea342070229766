"""Masked tokens, which a masked language model predicts."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bequest.data.checks import UNLABELLED
from bequest.data.text.tokenizer import Tokenizer
from bequest.seeding import integers, uniform

HIDDEN, REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that become the mask token, or a random token; the others stay."""


def masked_tokens(
    tokens: np.ndarray, ids: Tensor, tokenizer: Tokenizer, *, rate: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a share of the tokens masked, and the masked tokens as labels.

    Each token except the special ones is chosen with probability ``rate``, at least one per row. Of the
    chosen ones 80 % become the mask token, 10 % a random token, and 10 % stay. The choice depends on
    (seed, id) alone.

    Args:
        tokens: int32 (N, L).
        ids: int64 (N,).
        tokenizer: The tokenizer, which has a mask token; its special tokens are left alone.
        rate: In (0, 1).
        seed: Another seed, other tokens.

    Returns:
        Inputs int32 (N, L), labels int64 (N, L) with ``UNLABELLED`` for tokens that were not chosen.

    Source: Devlin et al. (2019), section 3.1 and appendix A.1.
    """
    length = tokens.shape[1]
    special = [tokenizer.padding, tokenizer.start, tokenizer.end, tokenizer.mask, tokenizer.separator]
    marks = np.array([token for token in special if token is not None], np.int32)
    ordinary = ~np.isin(tokens, marks)
    drawn = uniform(seed, "masked tokens", ids, 0, length).numpy()
    drawn[~ordinary] = np.inf
    # The smallest draw is always chosen: a row without a label would have no loss.
    least = drawn.min(axis=1, initial=np.inf, keepdims=True)
    chosen = ordinary & ((drawn < rate) | (drawn == least))
    kind = uniform(seed, "kinds of masks", ids, 0, length).numpy()
    others = np.setdiff1d(np.arange(len(tokenizer.vocabulary), dtype=np.int32), marks)
    places = integers(seed, "random tokens", ids, 0, length, low=0, high=len(others) - 1).numpy()
    x = np.where(chosen & (kind < HIDDEN), np.int32(tokenizer.mask or 0), tokens)
    x = np.where(chosen & (kind >= HIDDEN) & (kind < HIDDEN + REPLACED), others[places], x)
    return x.astype(np.int32), np.where(chosen, tokens, UNLABELLED).astype(np.int64)
