"""Subject-verb agreement on sentences of a grammar: training shows few attractors, tests show many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.grammar import Grammar, Sentence, sentences
from bequest.data.lexicon import PADDING, VERBS, VOCABULARY
from bequest.data.natural import natural_items
from bequest.data.sequences import NUMBERS, Coder, Item, classification, language, longest
from bequest.errors import DataError

ID_STEP = 1_000_000_000
"""Each split's ids begin at a multiple of this."""

Form = Literal["classification", "language"]
FORMS = ("classification", "language")


@DATASETS.register("agreement")
def agreement(
    *,
    form: str = "classification",
    train: int = 5000,
    validation: int = 500,
    test: int = 500,
    far: int = 1500,
    queries: int = 10000,
    seed: int = 0,
    trained: Sequence[int] = (0, 1),
    tested: Sequence[int] = (2, 4),
    asked: Sequence[int] = (0, 5),
    relatives: float = 0.5,
    same: float = 0.25,
    adverbs: int = 2,
    every: int = 1,
    natural: bool = False,
) -> Dataset:
    """Present-tense English sentences of a grammar; which number has the main verb?

    Prepositional phrases and relative clauses put nouns between subject and verb; those of the other number
    are attractors. Splits: ``train`` and ``validation`` have few attractors; ``test`` has as few, ``far`` has
    more, and both pair subjects with verbs as training never does; ``graded`` is ``test`` and ``far``
    together; ``queries`` are unlabelled sentences with more attractors, in training's pairings. Numbers are
    balanced in every split and count of attractors.

    Args:
        form: ``classification``: the words before the verb and an end token, two classes. ``language``: whole
            sentences, each token's label is the next token.
        train: Sentences; likewise the other splits.
        validation: See ``train``.
        test: See ``train``.
        far: See ``train``.
        queries: See ``train``.
        seed: Seeds the sentences, and which pairings are held out.
        trained: Fewest and most attractors of train, validation and test.
        tested: Fewest and most attractors of far.
        asked: Fewest and most attractors of the queries.
        relatives: Share of intervening nouns that come in a relative clause.
        same: Share of sentences with one more intervening noun, of the subject's number.
        adverbs: The most adverbs before the verb.
        every: Only every so many nouns, verbs, adjectives and adverbs are used.
        natural: Add ``linzen``, ``blimp`` and ``marvin_linzen``: the natural test sentences under
            ``BEQUEST_DATA`` whose words before the verb are all in the vocabulary.

    Raises:
        DataError: If a form or a number is not possible, or natural sentences are asked for and not there.
    """
    if form not in FORMS:
        raise DataError("there is no such form of the task", expected=" or ".join(FORMS), got=form)
    sizes = {"train": train, "validation": validation, "test": test, "far": far, "queries": queries}
    few = Grammar(_pair(trained), relatives=relatives, same=same, adverbs=adverbs, every=every)
    kinds = {
        "train": few,
        "validation": few,
        "test": replace(few, held_out=True),
        "far": replace(few, attractors=_pair(tested), held_out=True),
        "queries": replace(few, attractors=_pair(asked)),
    }
    parts = {
        name: [_item(s) for s in sentences(kinds[name], size, seed=seed, name=name)]
        for name, size in sizes.items()
        if size
    }
    parts["graded"] = [*parts.get("test", []), *parts.get("far", [])]
    coder, notes = Coder(VOCABULARY), tuple[str, ...]()
    if natural:
        found, notes = natural_items(coder)
        parts |= found
    splits = encoded(parts, coder, form)
    if "test" in splits and "far" in splits:
        ids = torch.cat([splits["test"].ids, splits["far"].ids])
        splits["graded"] = replace(splits["graded"], ids=ids)
    classes = NUMBERS if form == "classification" else VOCABULARY
    return Dataset("agreement", splits, classes, notes, VOCABULARY, PADDING)


def encoded(parts: dict[str, list[Item]], coder: Coder, form: str) -> dict[str, Split]:
    """The parts as token arrays of one length; ``queries`` lose their labels."""
    length = longest(*parts.values())
    splits = {}
    for place, (name, items) in enumerate(parts.items()):
        first = place * ID_STEP
        if form == "language":
            whole = name != "queries"
            splits[name] = language(items, coder, length=length, first=first, whole=whole)
        else:
            made = classification(items, coder, length=length, first=first)
            splits[name] = made.unlabelled() if name == "queries" else made
    return splits


def _item(sentence: Sentence) -> Item:
    verb = VERBS[sentence.lemma]
    known = {
        "attractors": sentence.attractors,
        "intervening": sentence.intervening,
        "distance": sentence.distance,
    }
    return Item(sentence.words, sentence.verb, sentence.number, (verb.singular, verb.plural), known)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    if len(values) != 2:
        raise DataError(
            "attractors are given as the fewest and the most", expected="[2, 4]", got=list(values)
        )
    return int(values[0]), int(values[1])
