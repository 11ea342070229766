"""A word-level tokenizer that is trained on the data."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from bequest.data.lexicon import END, PADDING, START, UNKNOWN
from bequest.data.lexicon import SPECIAL as FRAME
from bequest.data.text.tokenizer import Tokenizer
from bequest.errors import DataError
from bequest.files import write_text

SPECIAL = (*FRAME, "<mask>")
MASK = len(FRAME)
WORD = re.compile(r"\w+|[^\w\s]+")
"""A run of letters, digits and underscores, or of punctuation."""

MOST = 20_000
"""Default size of the vocabulary."""


class WordTokenizer(Tokenizer):
    """Lower-case words and punctuation; anything outside the vocabulary is ``<unk>``.

    A text for a classifier is its words and ``<end>``; a pair is two of these, concatenated.

    Args:
        vocabulary: The tokens in the order of their ids; those of :data:`SPECIAL` come first.

    >>> tokenizer = WordTokenizer((*SPECIAL, "a", "cat", "sat", "."))
    >>> tokenizer.framed([["A cat sat."], ["A dog"]], None)
    [[5, 6, 7, 8, 2], [5, 3, 2]]
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        if tuple(vocabulary[: len(SPECIAL)]) != SPECIAL:
            raise DataError("a word-level vocabulary must begin with its special tokens", expected=SPECIAL)
        self.name = "words"
        self.vocabulary = tuple(vocabulary)
        self.padding, self.start, self.end, self.mask = PADDING, START, END, MASK
        self.separator: int | None = END
        self.longest = None
        self._ids = {word: token for token, word in enumerate(self.vocabulary)}

    @classmethod
    def trained(cls, texts: Iterable[str], *, most: int = MOST) -> WordTokenizer:
        """The tokenizer with the ``most`` frequent words of ``texts`` as its vocabulary.

        Equally frequent words are sorted alphabetically, so that the same texts give the same ids.
        """
        counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        for special in SPECIAL:
            counts.pop(special, None)
        # Ties in alphabetical order, so that the vocabulary does not depend on the order of the texts.
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls((*SPECIAL, *ranked[: max(0, most - len(SPECIAL))]))

    @override
    def framed(self, texts: Sequence[Sequence[str]], length: int | None) -> list[list[int]]:
        rows = []
        for parts in texts:
            words = _cut([self._words(part) for part in parts], length)
            rows.append([token for part in words for token in (*part, END)])
        return rows

    @override
    def bare(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._words(text) for text in texts]

    @override
    def text(self, tokens: Sequence[int]) -> str:
        special = set(range(len(SPECIAL))) - {UNKNOWN}
        return " ".join(self.vocabulary[token] for token in tokens if token not in special)

    @override
    def save(self, path: str | Path) -> Path:
        return write_text(path, json.dumps(self._plain(), ensure_ascii=False, indent=1) + "\n")

    def _words(self, text: str) -> list[int]:
        return [self._ids.get(word, UNKNOWN) for word in WORD.findall(text.lower())]

    def _plain(self) -> dict[str, Any]:
        """The same tokenizer in the format of the library ``tokenizers``."""
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        added = [{"id": k, "content": word, **flags, "special": True} for k, word in enumerate(SPECIAL)]
        single: list[dict[str, Any]] = [_piece("Sequence", "A", 0), _piece("SpecialToken", "<end>", 0)]
        second = [_piece("Sequence", "B", 1), _piece("SpecialToken", "<end>", 1)]
        ends = {"<end>": {"id": "<end>", "ids": [END], "tokens": ["<end>"]}}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": single + second,
                "special_tokens": ends,
            },
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": self._ids, "unk_token": "<unk>"},
        }


def word_tokenizer_in(plain: Any) -> WordTokenizer | None:
    """The tokenizer that :meth:`WordTokenizer.save` wrote; None if ``plain`` is another one."""
    try:
        vocabulary = sorted(plain["model"]["vocab"], key=plain["model"]["vocab"].__getitem__)
        tokenizer = WordTokenizer(vocabulary)
    except (KeyError, TypeError, AttributeError, DataError):
        return None
    # Compared whole: another word-level tokenizer with these tokens may split or normalise differently.
    return tokenizer if tokenizer._plain() == plain else None


def _piece(kind: str, name: str, number: int) -> dict[str, Any]:
    return {kind: {"id": name, "type_id": number}}


def _cut(parts: list[list[int]], length: int | None) -> list[list[int]]:
    """The parts cut to ``length`` tokens in all, with an end token each; the longest is cut first."""
    if length is None:
        return parts
    over = sum(map(len, parts)) + len(parts) - length
    for _ in range(max(0, over)):
        longest = max(parts, key=len)
        if not longest:
            break
        longest.pop()
    return parts
