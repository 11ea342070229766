"""Columns of text as the inputs of classifiers."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from bequest.data.arrays import inputs_of
from bequest.data.datasets import Dataset, Split
from bequest.data.rows import room_for
from bequest.data.rows.stored import scratch_array
from bequest.data.text.tokenizer import TOGETHER, Tokenizer
from bequest.data.text.tokenizer_names import WORDS, read_tokenizer, train_tokenizer
from bequest.errors import DataError

LONGEST = 512
"""Default limit of tokens per input; longer texts are cut."""

SHOWN = 8
INT64 = 8
COLUMNS = (
    ("text",),
    ("sentence",),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question1", "question2"),
)
"""Usual names of columns of text, or of pairs of them."""


class TextForm(NamedTuple):
    """How texts become tokens.

    Attributes:
        tokenizer: ``words``, or a name for :func:`bequest.data.text.tokenizer_names.read_tokenizer`.
        length: Most tokens of an input; None for the limit of the tokenizer's networks, at most 512.
        vocabulary: Most tokens of a word-level tokenizer.
        beside: The folder of the data, which may hold a tokenizer.
    """

    tokenizer: str
    length: int | None
    vocabulary: int
    beside: Path | None


class Coded(NamedTuple):
    """Texts as tokens.

    Attributes:
        splits: int64 (N, L) by split.
        tokenizer: Their tokenizer.
        notes: Remarks for a reader of results.
    """

    splits: dict[str, Tensor]
    tokenizer: Tokenizer
    notes: tuple[str, ...]


def text_columns(table: Mapping[str, Sequence[object]], wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns of text: those ``wanted``, or those with usual names if they hold text.

    Raises:
        DataError: If more than two are wanted.
    """
    if len(wanted) > 2:
        raise DataError(
            "an input is one text or a pair", expected="one or two columns", got=", ".join(wanted)
        )
    if wanted:
        return tuple(name.strip().lower() for name in wanted)
    usual = [names for names in COLUMNS if all(name in table for name in names)]
    # A pair rather than its first half: ("question", "sentence") also matches ("sentence",).
    longest = max(usual, key=len, default=())
    return longest if all(_is_text(table[name]) for name in longest) else ()


def texts_of(columns: Mapping[str, Sequence[object]]) -> list[tuple[str, ...]]:
    """The texts, or pairs, of one table.

    Raises:
        DataError: If a text is missing; names the rows.
    """
    for name, column in columns.items():
        faults = [row for row, text in enumerate(column) if not (isinstance(text, str) and text.strip())]
        if faults:
            shown = ", ".join(f"row {row + 1}" for row in faults[:SHOWN])
            more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            raise DataError(
                f"the column {name!r} has rows without text",
                expected="a text in every row",
                got=shown + more,
                remedy="leave these rows out of the table",
            )
    return [tuple(map(str, row)) for row in zip(*columns.values(), strict=True)]


def coded(texts: Sequence[tuple[str, ...]], rows: Mapping[str, Tensor], form: TextForm) -> Coded:
    """The texts of each split as tokens, padded to the longest of all.

    A word-level tokenizer is trained on the training texts alone.

    Args:
        texts: The texts of all samples, or pairs.
        rows: The indices of the samples of each split.
        form: How texts become tokens.

    Raises:
        DataError: If there is no such tokenizer.
        MissingExtra: If it needs a library that is not installed.
    """
    if form.tokenizer == WORDS:
        # Training texts alone: a word that occurs only in tests must be as unknown as it would be in use.
        training = (text for row in rows["train"].tolist() for text in texts[row])
        tokenizer: Tokenizer = train_tokenizer(training, most=form.vocabulary)
    else:
        tokenizer = read_tokenizer(form.tokenizer, beside=form.beside)
    length = form.length or min(LONGEST, tokenizer.longest or LONGEST)
    flat, counts, cut = _tokenized(texts, tokenizer, length)
    starts, width = np.cumsum(counts) - counts, int(counts.max(initial=1))
    room = room_for(len(places) * width * INT64 for places in rows.values())
    splits = {}
    for split, places in rows.items():
        table = scratch_array((len(places), width), np.dtype(np.int32))
        table[:] = tokenizer.filler
        for place, row in enumerate(places.tolist()):
            table[place, : counts[row]] = flat[starts[row] : starts[row] + counts[row]]
        splits[split] = inputs_of(table, room=room)
    notes = (f"{cut} of {len(counts)} texts were cut to {length} tokens",) if cut else ()
    return Coded(splits, tokenizer, notes)


def text_dataset(
    name: str, splits: Mapping[str, Split], classes: Sequence[str], texts: Coded, *, pairs: bool
) -> Dataset:
    """A Dataset of texts."""
    tokenizer = texts.tokenizer
    return Dataset(
        name,
        splits,
        tuple(classes),
        texts.notes,
        tokenizer.vocabulary,
        tokenizer.filler,
        separator=tokenizer.separator if pairs else None,
        tokenizer=tokenizer,
    )


def _tokenized(
    texts: Sequence[tuple[str, ...]], tokenizer: Tokenizer, length: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """The tokens of all texts, concatenated, the number in each, and the number of texts that were cut."""
    flat, counts, cut = array("i"), [], 0
    for first in range(0, len(texts), TOGETHER):
        group = texts[first : first + TOGETHER]
        # Uncut first, to count those that are too long; only these are tokenized again.
        rows = tokenizer.framed(group, None)
        long = [row for row, tokens in enumerate(rows) if len(tokens) > length]
        if long:
            for row, tokens in zip(long, tokenizer.framed([group[row] for row in long], length), strict=True):
                rows[row] = tokens
        cut += len(long)
        for tokens in rows:
            flat.extend(tokens)
            counts.append(len(tokens))
    return np.asarray(flat, np.int32), np.asarray(counts, np.int64), cut


def _is_text(column: Sequence[object]) -> bool:
    """Whether a column holds text: at least one string that is not a number."""
    return any(isinstance(value, str) and not _is_number(value) for value in column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
