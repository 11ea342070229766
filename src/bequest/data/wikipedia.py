"""Agreement in natural sentences, for training too: Linzen's 7,489, split by their attractors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from bequest.config import Config
from bequest.data.agreement import Form, encoded
from bequest.data.datasets import DATASETS, Dataset
from bequest.data.lexicon import PADDING, SPECIAL
from bequest.data.natural import BLIMP, LINZEN, MARVIN_LINZEN, linzen_subset, natural_items
from bequest.data.outline import SPLITS
from bequest.data.sequences import NUMBERS, Coder, Item
from bequest.data.sources import PLACES
from bequest.errors import DataError
from bequest.seeding import numpy_generator

ELSEWHERE = ("blimp", "marvin_linzen")
"""Sentences from other sources, for tests only."""


class WikipediaOptions(Config):
    """How the sentences are split.

    Attributes:
        form: As in :class:`bequest.data.agreement.AgreementOptions`.
        test: Sentences with as many attractors as training shows.
        validation: See ``test``.
        trained: Fewest and most attractors of train, validation and test.
        asked: Fewest and most attractors of the queries, which are half of these sentences.
        least: Fewest occurrences in training of a word in the vocabulary; others are unknown words.
        seed: Seeds the splits.
        labelled: Keep the labels of the queries.
    """

    form: Form = "classification"
    test: int = Field(600, ge=1)
    validation: int = Field(300, ge=1)
    trained: tuple[int, int] = (0, 1)
    asked: tuple[int, int] = (3, 3)
    least: int = Field(2, ge=1)
    seed: int = 0
    labelled: bool = False


@SPLITS.register("wikipedia_agreement")
def _split_names(**_: Any) -> tuple[str, ...]:
    return ("train", "validation", "test", "far", "queries", "graded", *ELSEWHERE)


@PLACES.register("wikipedia_agreement")
def _places(**_: Any) -> tuple[str, ...]:
    return (LINZEN, BLIMP, MARVIN_LINZEN)


@DATASETS.register("wikipedia_agreement")
def wikipedia_agreement(**options: Any) -> Dataset:
    """7,489 sentences of Wikipedia under ``BEQUEST_DATA``; those with few attractors are for training.

    ``train``, ``validation`` and ``test`` have 0 or 1 attractors, ``far`` has 2 to 4, ``graded`` is ``test``
    and ``far`` together; ``queries`` are half of the sentences with 3, without labels, and no part of
    ``far``. ``blimp`` and ``marvin_linzen`` are sentences of other sources whose words before the verb are
    all in the vocabulary of ``train``. Tests whose verb has a form outside it are left out. The positions of
    subjects are unknown, so there are no distances. Numbers are not balanced: 64 % are plural.

    Args:
        **options: See :class:`WikipediaOptions`.

    Raises:
        ConfigError: If an option is unknown or not possible.
        DataError: If the archives are absent, or too few sentences are left for training.
    """
    chosen = WikipediaOptions.parse(options, "the dataset 'wikipedia_agreement'")
    parts = dealt_out(linzen_subset(), chosen)
    often = Counter(word for item in parts["train"] for word in item.words)
    words = sorted(word for word, count in often.items() if count >= chosen.least and word not in SPECIAL)
    coder = Coder((*SPECIAL, *words))
    # A language model cannot score forms outside its vocabulary; classifiers get the same tests.
    tests = {name: [item for item in parts[name] if coder.knows(item.forms)] for name in ("test", "far")}
    tests["graded"] = [*tests["test"], *tests["far"]]
    others, notes = natural_items(coder, sets=ELSEWHERE)
    splits = encoded(parts | tests | others, coder, chosen.form, labelled=chosen.labelled)
    ids = torch.cat([splits["test"].ids, splits["far"].ids])
    splits["graded"] = replace(splits["graded"], ids=ids)
    classes = NUMBERS if chosen.form == "classification" else coder.vocabulary
    counted = f"{len(words)} words occur {chosen.least} times or more in {len(parts['train'])} sentences"
    return Dataset("wikipedia_agreement", splits, classes, (counted, *notes), coder.vocabulary, PADDING)


def dealt_out(items: Sequence[Item], chosen: WikipediaOptions) -> dict[str, list[Item]]:
    """The sentences of each split, in random order."""
    order = numpy_generator(chosen.seed, "wikipedia agreement").permutation(len(items))
    shuffled = [items[k] for k in order]
    few = [item for item in shuffled if _between(item, chosen.trained)]
    many = [item for item in shuffled if item.about["attractors"] > chosen.trained[1]]
    queries = [item for item in many if _between(item, chosen.asked)][::2]
    aside = set(map(id, queries))
    far = [item for item in many if id(item) not in aside]
    edges = (chosen.test, chosen.test + chosen.validation)
    test, validation, train = few[: edges[0]], few[edges[0] : edges[1]], few[edges[1] :]
    if not (train and queries and far):
        raise DataError(
            "there are too few sentences with so many attractors",
            expected="some for training, queries and far",
            got=f"{len(train)}, {len(queries)} and {len(far)}",
        )
    return {"train": train, "validation": validation, "test": test, "far": far, "queries": queries}


def _between(item: Item, ends: tuple[int, int]) -> bool:
    return ends[0] <= item.about["attractors"] <= ends[1]
