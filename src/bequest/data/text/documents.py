"""Documents for language models, ``token:FILE``: one per line, packed or padded, next or masked tokens."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bequest.config import Config
from bequest.data.arrays import inputs_of
from bequest.data.checks import UNLABELLED
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import by_shares
from bequest.data.folders import existing
from bequest.data.image_lists import NAMES
from bequest.data.outline import OF_TOKENS, SPLITS
from bequest.data.rows import room_for
from bequest.data.text.masking import masked_tokens
from bequest.data.text.tokenizer import Tokenizer, padded, together
from bequest.data.text.tokenizer_names import WORDS, read_tokenizer, train_tokenizer
from bequest.data.text.words import MOST
from bequest.errors import DataError

INT64 = 8


class DocumentOptions(Config):
    """How documents become sequences of tokens.

    Attributes:
        task: ``causal``: the label of a position is the token after it; ``masked``: some tokens are masked,
            and these are the labels.
        layout: ``packed``: documents concatenated and cut into rows of ``length`` tokens without padding;
            ``padded``: one document per row, cut at ``length`` and padded.
        length: Tokens of a row.
        tokenizer: A folder or file of ``tokenizers`` or ``transformers``, a name on the hub, or ``words`` for
            a word-level one that is trained from the training documents.
        vocabulary: Most tokens of a word-level tokenizer.
        mask_rate: Share of the tokens that are masked, for ``masked``.
        copies: Copies of each training row, with other tokens masked, for ``masked``.
        validation: Share of the documents held out, or another file.
        test: As ``validation``.
        seed: Seeds the splits and the masks.
    """

    task: Literal["causal", "masked"] = "causal"
    layout: Literal["packed", "padded"] = "packed"
    length: int = Field(128, ge=2)
    tokenizer: str = WORDS
    vocabulary: int = Field(MOST, ge=10)
    mask_rate: float = Field(0.15, gt=0, lt=1)
    copies: int = Field(1, ge=1)
    validation: float | str = 0.1
    test: float | str = 0.1
    seed: int = 0


class Rows(NamedTuple):
    """Sequences of one split.

    Attributes:
        x: int32 (N, L).
        y: int64 (N, L), ``UNLABELLED`` for positions without a label.
        cut: Number of documents that were cut, or of tokens that did not fill a row.
    """

    x: np.ndarray
    y: np.ndarray
    cut: int


SPLITS.add("token", lambda **_: tuple(NAMES))
OF_TOKENS.add("token")


@DATASETS.register("token")
def documents(*, path: str, **options: object) -> Dataset:
    """Users' documents for language models, one per line: ``token:FILE``.

    Each document is framed by the tokenizer's start and end tokens, if it has them. The classes are the
    tokens of its vocabulary.

    Args:
        path: A text file in UTF-8; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        **options: See :class:`DocumentOptions`.

    Raises:
        DataError: If the documents are too few or too short, or the tokenizer lacks a token that is needed.
        ConfigError: If an option is unknown or not possible.
        MissingExtra: If the tokenizer needs a library that is not installed.
    """
    name, file = f"token:{path}", existing(path)
    chosen = DocumentOptions.parse(options, name)
    texts = _texts_by_split(file, chosen)
    if chosen.tokenizer == WORDS:
        tokenizer: Tokenizer = train_tokenizer(texts["train"], most=chosen.vocabulary)
    else:
        tokenizer = read_tokenizer(chosen.tokenizer, beside=file.parent)
    _check_tokens(tokenizer, chosen)
    form = _FORMS[chosen.task, chosen.layout]
    rows = {split: form(texts[split], tokenizer, chosen.length) for split in NAMES}
    empty = [split for split in NAMES if not len(rows[split].x)]
    if empty:
        raise DataError(
            f"{name} has too few tokens for a row in {' and '.join(empty)}",
            expected=f"{chosen.length + 1} tokens or more",
            remedy='shorten the rows: length = ...; or layout = "padded"',
        )
    return Dataset(
        name,
        _splits(rows, tokenizer, chosen),
        tokenizer.vocabulary,
        _notes(rows, chosen),
        tokenizer.vocabulary,
        tokenizer.filler if chosen.layout == "padded" else None,
        tokenizer=tokenizer,
        masked=chosen.task == "masked",
    )


def lines_of(file: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        DataError: If it cannot be read as UTF-8, or holds no text.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            lines = [text for line in stream if (text := line.strip())]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read as text", expected="UTF-8, one document per line", got=error
        ) from error
    if not lines:
        raise DataError(f"{file} holds no documents", expected="one document per line")
    return lines


def _texts_by_split(file: Path, options: DocumentOptions) -> dict[str, list[str]]:
    texts = {"train": lines_of(file)}
    shares = {}
    for split, other in (("validation", options.validation), ("test", options.test)):
        if isinstance(other, str):
            beside = file.parent / other
            texts[split] = lines_of(beside if beside.exists() else existing(other))
        else:
            shares[split] = other
    if shares:
        whole = texts["train"]
        # Documents have no classes: with a single one the split is simply random.
        dealt = by_shares(torch.zeros(len(whole), dtype=torch.int64), shares, seed=options.seed)
        texts |= {split: [whole[row] for row in rows.tolist()] for split, rows in dealt.items()}
    return texts


def _check_tokens(tokenizer: Tokenizer, options: DocumentOptions) -> None:
    """Refuse a tokenizer that lacks a token which the form needs."""
    if options.task == "masked" and tokenizer.mask is None:
        raise DataError(
            f"the tokenizer {tokenizer.name} cannot mask tokens",
            expected="a mask token, such as [MASK]",
            remedy='task = "causal", or the tokenizer of a masked language model',
        )
    if options.layout == "packed" and tokenizer.end is None:
        raise DataError(
            f"the tokenizer {tokenizer.name} cannot tell packed documents apart",
            expected="an end-of-text token",
            remedy='layout = "padded"',
        )
    if options.layout == "padded" and tokenizer.filler == tokenizer.start:
        raise DataError(
            f"the tokenizer {tokenizer.name} begins texts with the token that would pad rows",
            expected="a padding token of its own",
            got=f"{tokenizer.vocabulary[tokenizer.filler]!r} for both",
            remedy='layout = "packed", or add a padding token to the tokenizer',
        )


def _stream(texts: Sequence[str], tokenizer: Tokenizer) -> np.ndarray:
    """The tokens of all documents, concatenated, each framed by the start and the end token."""
    # GPT-2's start and end token are the same: one of them between documents is enough.
    start = [] if tokenizer.start in (None, tokenizer.end) else [tokenizer.start]
    end = [] if tokenizer.end is None else [tokenizer.end]
    # 4 bytes a token; in a list the pointers alone would take twice as much.
    tokens = array("i")
    for group in together(iter(texts)):
        for row in tokenizer.bare(group):
            tokens.extend([*start, *row, *end])
    return np.asarray(tokens, np.int32)


def _packed_causal(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Rows:
    tokens = _stream(texts, tokenizer)
    # The last token has no successor, so it can only be a label.
    rows = max(0, len(tokens) - 1) // length
    x = tokens[: rows * length].reshape(rows, length)
    y = tokens[1 : rows * length + 1].reshape(rows, length)
    return Rows(x, y.astype(np.int64), max(0, len(tokens) - 1) - rows * length)


def _packed_masked(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Rows:
    tokens = _stream(texts, tokenizer)
    rows = len(tokens) // length
    x = tokens[: rows * length].reshape(rows, length)
    # No labels yet: they come with the masks, in ``_splits``.
    return Rows(x, np.empty((rows, 0), np.int64), len(tokens) - rows * length)


def _padded_causal(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Rows:
    start = [] if tokenizer.start is None else [tokenizer.start]
    end = [] if tokenizer.end is None else [tokenizer.end]
    sequences = [[*start, *row, *end] for group in together(iter(texts)) for row in tokenizer.bare(group)]
    # In a single token there is nothing to predict.
    sequences = [row for row in sequences if len(row) > 1]
    x = padded([row[:-1][:length] for row in sequences], tokenizer.filler, length)
    y = padded([row[1:][:length] for row in sequences], UNLABELLED, length)
    return Rows(x, y.astype(np.int64), sum(len(row) > length + 1 for row in sequences))


def _padded_masked(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Rows:
    # Uncut first, to count the texts that are too long; only these are tokenized again.
    framed = [row for group in together(iter(texts)) for row in tokenizer.framed([(t,) for t in group], None)]
    cut = [row for row, tokens in enumerate(framed) if len(tokens) > length]
    for row, tokens in zip(cut, tokenizer.framed([(texts[row],) for row in cut], length), strict=True):
        framed[row] = tokens
    return Rows(padded(framed, tokenizer.filler, length), np.empty((len(framed), 0), np.int64), len(cut))


_FORMS: Mapping[tuple[str, str], Callable[[Sequence[str], Tokenizer, int], Rows]] = {
    ("causal", "packed"): _packed_causal,
    ("causal", "padded"): _padded_causal,
    ("masked", "packed"): _packed_masked,
    ("masked", "padded"): _padded_masked,
}


def _splits(rows: Mapping[str, Rows], tokenizer: Tokenizer, options: DocumentOptions) -> dict[str, Split]:
    masked = options.task == "masked"
    copies = {split: options.copies if masked and split == "train" else 1 for split in NAMES}
    room = room_for(part.x.size * copies[split] * INT64 for split, part in rows.items())
    splits, first = {}, 0
    for split, part in rows.items():
        ids = torch.arange(first, first + len(part.x) * copies[split])
        if masked:
            whole = np.tile(part.x, (copies[split], 1))
            x, y = masked_tokens(whole, ids, tokenizer, rate=options.mask_rate, seed=options.seed)
        else:
            x, y = part.x, part.y
        splits[split] = Split(inputs_of(x, room=room), _labels(y), ids)
        first += len(ids)
    return splits


def _labels(y: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(y))


def _notes(rows: Mapping[str, Rows], options: DocumentOptions) -> tuple[str, ...]:
    lost = sum(part.cut for part in rows.values())
    if not lost:
        return ()
    if options.layout == "packed":
        return (f"{lost:,} tokens at the ends of splits filled no row of {options.length} and were left out",)
    return (f"{lost:,} documents were cut to {options.length} tokens",)
