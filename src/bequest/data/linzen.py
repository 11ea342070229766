"""Linzen, Dupoux and Goldberg's agreement sentences from Wikipedia, read from their published file."""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bequest.data.agreement import FORMS, encoded
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.inflection import base_of, present
from bequest.data.lexicon import PADDING, SPECIAL
from bequest.data.natural import FILES, SETS, natural_items
from bequest.data.outline import OUTLINES, SPLITS, Outline
from bequest.data.sequences import NUMBERS, Coder, Item
from bequest.data.sources import PLACES, data_root
from bequest.errors import DataError
from bequest.seeding import numpy_generator

FILE = "agr_50_mostcommon_10K.tsv"
FOLDERS = ("language", "")
COLUMNS = (
    "sentence",
    "orig_sentence",
    "pos_sentence",
    "subj",
    "verb",
    "subj_pos",
    "has_rel",
    "has_nsubj",
    "verb_pos",
    "subj_index",
    "verb_index",
    "n_intervening",
    "last_intervening",
    "n_diff_intervening",
    "distance",
    "max_depth",
    "all_nouns",
    "nouns_up_to_verb",
)
SHARES = {"train": 0.1, "validation": 0.01}
"""Shares of the sentences; the rest is for tests."""

SENTENCES, LONGEST, FORMS_IN_FILE = 1_577_211, 50, 10_030
"""Of the published file; the last is approximate: ten thousand forms, tags of rarer ones, special tokens."""

MOST_INTERVENING = 4
MOST_DISTANCE = 16
UNKNOWN_VERBS = ("drop", "wrong")


@DATASETS.register("linzen")
def linzen(
    *,
    root: str | None = None,
    form: str = "classification",
    rows: int | None = None,
    probe: int = 2000,
    queries: int = 100_000,
    most: int | None = None,
    seed: int = 0,
    unknown_verbs: str = "drop",
    natural: bool = False,
) -> Dataset:
    """1,577,211 sentences of Wikipedia, shuffled into 10 % for training, 1 % for validation, 89 % for tests.

    ``test`` has ``probe`` test sentences with 0 or 1 attractors, ``far`` all with 2 to 4, ``graded`` all with
    at most 4 intervening nouns and a distance of at most 16. ``queries``, unlabelled, are set aside first:
    every second test sentence with two or more attractors, then with one, until there are enough.

    Args:
        root: The folder with ``agr_50_mostcommon_10K.tsv`` or ``.tsv.gz``, or with a folder ``language`` that
            has it; default: ``BEQUEST_DATA``.
        form: ``classification`` or ``language``; see :func:`bequest.data.agreement.agreement`.
        rows: Most sentences to read; None for all.
        probe: See above.
        queries: Number of queries to set aside.
        most: The most sentences of ``graded``, and so of ``far``; None for all.
        seed: Seeds the shuffle.
        unknown_verbs: ``drop`` leaves out tests whose verb has a form outside the vocabulary, since a
            language model cannot score it; ``wrong`` keeps them, and counts a language model's answer as
            wrong, as in the original.
        natural: Add ``linzen``, ``blimp`` and ``marvin_linzen``; see
            :func:`bequest.data.agreement.agreement`.

    Raises:
        DataError: If the file is absent, or a line is malformed.
    """
    if form not in FORMS or unknown_verbs not in UNKNOWN_VERBS:
        raise DataError(
            "there is no such option", expected=f"{FORMS} and {UNKNOWN_VERBS}", got=(form, unknown_verbs)
        )
    items = list(read_items(find(root), rows))
    parts = _dealt(items, seed)
    words = sorted({word for item in parts["train"] for word in item.words})
    coder = Coder((*SPECIAL, *words))
    tests = [item for item in parts.pop("tests") if unknown_verbs == "wrong" or coder.knows(item.forms)]
    parts |= _tests(tests, probe=probe, queries=queries, most=most)
    classes = NUMBERS if form == "classification" else coder.vocabulary
    notes: tuple[str, ...] = (f"{len(items)} sentences; {len(tests)} of them are left for tests",)
    if natural:
        natural_parts, coverage = natural_items(coder)
        parts, notes = {**parts, **natural_parts}, (*notes, *coverage)
    return Dataset("linzen", _same_ids(parts, coder, form), classes, notes, coder.vocabulary, PADDING)


@SPLITS.register("linzen")
def _split_names(*, natural: bool = False, **_: Any) -> tuple[str, ...]:
    return (*SHARES, "queries", "test", "far", "graded", *(SETS if natural else ()))


@PLACES.register("linzen")
def _places(*, natural: bool = False, **_: Any) -> tuple[str, ...]:
    names = [f"{folder}/{FILE}{end}" for folder in FOLDERS for end in ("", ".gz")]
    return (*names, *(FILES if natural else ()))


@OUTLINES.register("linzen")
def linzen_outline(*, form: str = "classification", rows: int | None = None, **_: Any) -> Outline:
    """The published file's size: sentences of at most 50 words, ten thousand forms and the tags of others."""
    samples = round(SHARES["train"] * min(rows or SENTENCES, SENTENCES))
    classifies = form == "classification"
    classes, task = (len(NUMBERS), "classify") if classifies else (FORMS_IN_FILE, "next_token")
    return Outline((LONGEST + 1,), "int64", classes, samples, FORMS_IN_FILE, PADDING, task=task)


def find(root: str | Path | None = None) -> Path:
    """The published file, packed or not.

    Raises:
        DataError: If it is absent.
    """
    folder = Path(root) if root is not None else data_root()
    for place in FOLDERS:
        for name in (FILE, f"{FILE}.gz"):
            if (folder / place / name).is_file():
                return folder / place / name
    raise DataError(
        "Linzen's sentences were not found",
        expected=f"{FILE} or {FILE}.gz in {folder} or {folder / 'language'}",
        remedy="download it from the repository TalLinzen/rnn_agreement, or set BEQUEST_DATA to its folder",
    )


def read_items(path: Path, rows: int | None = None) -> Iterator[Item]:
    """The sentences of the file, in its order.

    Raises:
        DataError: Names the first malformed line.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            # Quotation marks are words of the sentences, and the file quotes nothing.
            lines = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
            if missing:
                raise DataError(f"{path} lacks columns", expected=", ".join(COLUMNS), got=lines.fieldnames)
            for number, line in enumerate(lines):
                if number == rows:
                    return
                yield _item(line, f"{path}, line {number + 2}")
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read", got=error) from error


def _item(line: Mapping[str, str], where: str) -> Item:
    try:
        # Interned: 1.5 million sentences share ten thousand words.
        words = tuple(sys.intern(word) for word in line["sentence"].split())
        place = int(line["verb_index"]) - 1
        number = NUMBERS.index(line["verb_pos"])
        about = {
            "attractors": int(line["n_diff_intervening"]),
            "intervening": int(line["n_intervening"]),
            "distance": int(line["distance"]),
        }
        # A verb at place 0 has no words before it that would tell its number.
        if not 0 < place < len(words):
            raise ValueError(f"verb_index {place + 1}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(
            f"{where} is not a sentence with a verb",
            expected=f"the {len(COLUMNS)} columns of {FILE}, verb_pos VBZ or VBP",
            got=error,
        ) from error
    return Item(words, place, number, _forms(words[place], number), about)


def _forms(verb: str, number: int) -> tuple[str, str]:
    """Singular and plural of the verb; the tag of a rare verb has the other tag as its counterpart."""
    if verb in NUMBERS:
        return NUMBERS[0], NUMBERS[1]
    if number:
        return ("is" if verb == "are" else present(verb)[0]), verb
    return verb, base_of(verb) or ""


def _dealt(items: Sequence[Item], seed: int) -> dict[str, list[Item]]:
    order = numpy_generator(seed, "linzen").permutation(len(items))
    edges = np.cumsum([round(share * len(items)) for share in SHARES.values()])
    dealt = np.split(order, edges)
    return {name: [items[k] for k in rows] for name, rows in zip((*SHARES, "tests"), dealt, strict=True)}


def _tests(items: Sequence[Item], *, probe: int, queries: int, most: int | None) -> dict[str, list[Item]]:
    """Set aside queries, those with more attractors first; the rest is for the tests."""
    wanted = [k for k, item in enumerate(items) if item.about["attractors"] >= 2]
    # Every second one, so that as many are left for the tests.
    halves = wanted[::2] + [k for k, item in enumerate(items) if item.about["attractors"] == 1][::2]
    asked = set(halves[:queries])
    rest = [item for k, item in enumerate(items) if k not in asked]
    graded = [
        item
        for item in rest
        if item.about["intervening"] <= MOST_INTERVENING and item.about["distance"] <= MOST_DISTANCE
    ][:most]
    return {
        "queries": [items[k] for k in sorted(asked)],
        "test": [item for item in graded if item.about["attractors"] <= 1][:probe],
        "far": [item for item in graded if item.about["attractors"] >= 2],
        "graded": graded,
    }


def _same_ids(parts: dict[str, list[Item]], coder: Coder, form: str) -> dict[str, Split]:
    """The splits; sentences of ``test`` and ``far`` have the same ids in ``graded``."""
    splits = encoded(parts, coder, form)
    # By identity: equal sentences may occur several times.
    place = {id(item): k for k, item in enumerate(parts["graded"])}
    for name in ("test", "far"):
        rows = torch.tensor([place[id(item)] for item in parts[name]], dtype=torch.int64)
        splits[name] = replace(splits[name], ids=splits["graded"].ids[rows])
    return splits
