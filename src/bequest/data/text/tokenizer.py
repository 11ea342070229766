"""The interface of all tokenizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.errors import DataError

TOGETHER = 1000
"""Texts that are tokenized in one call."""

FILE = "tokenizer.json"
"""The file name of a tokenizer in the folder of a network that was trained with it."""


class Tokenizer(ABC):
    """Texts to tokens.

    Attributes:
        name: Of the tokenizer, for messages and records.
        vocabulary: The tokens in the order of their ids.
        padding: The padding token; None if it has none.
        start: The token before a text; None if it has none.
        end: The token after a text; None if it has none.
        mask: The mask token; None if it has none.
        separator: The token that ends each text of a pair, for networks that distinguish the two by token
            types; None if they do not.
        longest: Tokens of the longest sequence that its networks take; None if unlimited.
    """

    name: str
    vocabulary: tuple[str, ...]
    padding: int | None
    start: int | None
    end: int | None
    mask: int | None
    separator: int | None
    longest: int | None

    @abstractmethod
    def framed(self, texts: Sequence[Sequence[str]], length: int | None) -> list[list[int]]:
        """Tokens of texts, or of pairs, with the special tokens that a classifier expects around them.

        Args:
            texts: (N, 1) or (N, 2) strings.
            length: Most tokens; longer texts are cut at their end, in a pair the longer one first.
        """

    @abstractmethod
    def bare(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts without special tokens, uncut."""

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special tokens."""

    @abstractmethod
    def save(self, path: str | Path) -> Path:
        """Write it whole, in the format of the library ``tokenizers`` (``tokenizer.json``)."""

    def inputs(
        self, texts: Sequence[str | Sequence[str]], *, length: int | None = None, begun: bool = False
    ) -> Tensor:
        """Texts or pairs of texts as inputs of a network, int64 (N, L): framed, padded to the longest.

        Args:
            texts: See above.
            length: Most tokens.
            begun: As prompts for a language model to continue: after the start token if there is one, without
                an end token.

        Raises:
            DataError: If there are no texts, or one of them is not a string.
        """
        rows = [tuple(text) if isinstance(text, list | tuple) else (text,) for text in texts]
        faults = [row for row, parts in enumerate(rows) if not all(isinstance(part, str) for part in parts)]
        if not rows or faults:
            raise DataError(
                "the inputs are not texts", expected="strings, or pairs of strings", got=f"rows {faults[:8]}"
            )
        if begun:
            start = [] if self.start is None else [self.start]
            tokens = [[*start, *row][:length] for row in self.bare([" ".join(parts) for parts in rows])]
        else:
            tokens = self.framed(rows, length)
        return torch.from_numpy(padded(tokens, self.filler).astype(np.int64))

    @property
    def filler(self) -> int:
        """The token used for padding: the padding token, or else the end token.

        Raises:
            DataError: If it has neither.
        """
        if self.padding is not None:
            return self.padding
        if self.end is None:
            raise DataError(
                f"the tokenizer {self.name} cannot pad rows",
                expected="a padding token, or an end-of-text token",
                remedy="add one: tokenizer.add_special_tokens({'pad_token': '[PAD]'}), and save it",
            )
        return self.end

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {len(self.vocabulary):,} tokens)"


def padded(rows: Sequence[Sequence[int]], filler: int, length: int | None = None) -> np.ndarray:
    """Rows padded to ``length``, by default to the longest: int32 (N, L).

    >>> padded([[5, 6], [7]], 0).tolist()
    [[5, 6], [7, 0]]
    """
    width = max([1, *map(len, rows)]) if length is None else length
    filled = np.full((len(rows), width), filler, np.int32)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled


def together(values: Iterator[str]) -> Iterator[list[str]]:
    """Texts in groups for one call of the tokenizer."""
    while group := list(islice(values, TOGETHER)):
        yield group
