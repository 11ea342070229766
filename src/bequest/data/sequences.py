"""Words as token arrays, in the two forms of the agreement task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bequest.data.datasets import UNLABELLED, Split
from bequest.data.lexicon import END, PADDING, START, UNKNOWN
from bequest.errors import DataError

NUMBERS = ("VBZ", "VBP")
"""The classes: third person singular and plural, by the tags of the Penn Treebank."""

ABSENT = -1
"""The value in ``about`` for a form that is not in the vocabulary."""


@dataclass(frozen=True)
class Item:
    """A sentence with one verb, whose number is to be predicted.

    Attributes:
        words: The sentence, or as much as is known; at least the words before the verb.
        verb: Place of the verb.
        number: 0 for a singular verb, 1 for a plural one.
        forms: The singular and the plural form of the verb.
        about: Integer properties, such as ``attractors`` and ``distance``.
    """

    words: Sequence[str]
    verb: int
    number: int
    forms: tuple[str, str]
    about: Mapping[str, int]


@dataclass(frozen=True)
class Coder:
    """Maps words to ids; ``<pad>``, ``<start>``, ``<end>`` and ``<unk>`` come first."""

    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        # Not a field: coders are equal if their words are. The class is frozen, hence the detour.
        object.__setattr__(self, "_ids", {word: k for k, word in enumerate(self.vocabulary)})

    def ids(self, words: Iterable[str]) -> list[int]:
        """One id per word; ``UNKNOWN`` for words outside the vocabulary."""
        table: dict[str, int] = self._ids  # type: ignore[attr-defined]
        return [table.get(word, UNKNOWN) for word in words]

    def knows(self, words: Iterable[str]) -> bool:
        """Whether every word is in the vocabulary."""
        return UNKNOWN not in self.ids(words)


def classification(items: Sequence[Item], coder: Coder, *, length: int, first: int = 0) -> Split:
    """The words before each verb and an end token, (N, ``length``); the label is the verb's number.

    Args:
        items: The sentences.
        coder: Words to ids.
        length: Columns; the rest of a row is padding.
        first: The first id; the others follow.

    Raises:
        DataError: If a sentence is longer.
    """
    rows = [[*coder.ids(item.words[: item.verb]), END] for item in items]
    labels = torch.tensor([item.number for item in items], dtype=torch.int64)
    return Split(_filled(rows, length, PADDING), labels, _numbered(items, first), about(items, coder))


def language(
    items: Sequence[Item], coder: Coder, *, length: int, first: int = 0, whole: bool = True
) -> Split:
    """A start token and the sentence, (N, ``length``); the labels are the tokens that follow.

    With ``whole = False`` a row ends before its verb, as it must for unlabelled sentences.

    Raises:
        DataError: If a sentence is longer.
    """
    sentences = [coder.ids(item.words if whole else item.words[: item.verb]) for item in items]
    x = _filled([[START, *ids] for ids in sentences], length, PADDING)
    y = _filled([[*ids, END] for ids in sentences], length, UNLABELLED) if whole else None
    return Split(x, y, _numbered(items, first), about(items, coder))


def before_the_verb(x: Tensor) -> Tensor:
    """Tokens of :func:`classification` as a language model reads them: a start token, no end token."""
    start = torch.full_like(x[:, :1], START)
    return torch.cat([start, x.masked_fill(x == END, PADDING)], 1)[:, :-1]


def about(items: Sequence[Item], coder: Coder) -> dict[str, Tensor]:
    """The properties of the sentences, with the ids of both verb forms, ``ABSENT`` if they have none."""
    names = list(items[0].about) if items else []
    columns = {name: torch.tensor([item.about[name] for item in items]) for name in names}
    for number, name in enumerate(("singular", "plural")):
        ids = torch.tensor(coder.ids(item.forms[number] for item in items))
        columns[name] = ids.masked_fill(ids == UNKNOWN, ABSENT)
    return columns


def longest(*parts: Sequence[Item]) -> int:
    """Columns that hold every sentence with a start or an end token."""
    return 1 + max((len(item.words) for items in parts for item in items), default=0)


def _filled(rows: Sequence[Sequence[int]], length: int, filler: int) -> Tensor:
    most = max(map(len, rows), default=0)
    if most > length:
        raise DataError("a sentence is longer than the rows", expected=f"at most {length} tokens", got=most)
    filled = np.full((len(rows), length), filler, np.int64)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return torch.from_numpy(filled)


def _numbered(items: Sequence[Item], first: int) -> Tensor:
    return torch.arange(first, first + len(items))
