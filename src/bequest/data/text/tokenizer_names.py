"""Tokenizers by name, or trained on the data."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from bequest.data.sources import data_root
from bequest.data.text.library_tokenizer import library_tokenizer
from bequest.data.text.tokenizer import FILE, Tokenizer
from bequest.data.text.words import MOST, WordTokenizer, word_tokenizer_in

WORDS = "words"
"""The name of the word-level tokenizer that is trained on the data."""


def read_tokenizer(name: str, *, beside: Path | None = None) -> Tokenizer:
    """The tokenizer of that name: a folder, a file ``tokenizer.json``, a run folder, or a name on the hub.

    Args:
        name: See above.
        beside: A folder to search in addition to the current one and ``BEQUEST_DATA``.

    Raises:
        MissingExtra: If it needs a library that is not installed.
        DataError: If it does not exist.
    """
    place = tokenizer_place(name, beside=beside)
    file = place / FILE if place is not None and place.is_dir() else place
    if file is not None and file.is_file():
        with contextlib.suppress(OSError, ValueError):
            tokenizer = word_tokenizer_in(json.loads(file.read_text(encoding="utf-8")))
            if tokenizer is not None:
                return tokenizer
        if place is not None and place.is_dir() and not _of_transformers(place):
            place = file
    return library_tokenizer(name, place)


def tokenizer_place(name: str, *, beside: Path | None = None) -> Path | None:
    """The folder or file of a tokenizer; None for a name on the hub."""
    folders = (Path(), *([] if beside is None else [beside]), data_root())
    for folder in folders:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if (place := folder / Path(name).expanduser()).exists():
                return place
    return None


def train_tokenizer(texts: Iterable[str], *, most: int = MOST) -> WordTokenizer:
    """See :meth:`bequest.data.text.words.WordTokenizer.trained`."""
    return WordTokenizer.trained(texts, most=most)


def _of_transformers(folder: Path) -> bool:
    return (folder / "tokenizer_config.json").is_file()
