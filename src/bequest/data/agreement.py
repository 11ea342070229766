"""Subject-verb agreement on sentences of a grammar: few attractors in training, many in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from pydantic import Field

from bequest.config import Config
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.grammar import Grammar, Sentence, sentences
from bequest.data.lexicon import PADDING, VERBS, VOCABULARY
from bequest.data.natural import FILES, SETS, natural_items
from bequest.data.outline import SPLITS
from bequest.data.sequences import NUMBERS, Coder, Item, classification, language, longest
from bequest.data.sources import PLACES

ID_STEP = 1_000_000_000
"""Each split's ids begin at a multiple of this."""

Form = Literal["classification", "language"]
FORMS: tuple[str, ...] = get_args(Form)


class AgreementOptions(Config):
    """Numbers and kinds of sentences.

    Attributes:
        form: ``classification``: the words before the verb and an end token, two classes. ``language``: whole
            sentences, each token's label is the next token.
        train: Number of sentences, as for the other splits.
        validation: See ``train``.
        test: See ``train``.
        far: See ``train``.
        queries: See ``train``.
        seed: Seeds the sentences, and which pairings are held out.
        trained: Fewest and most attractors of train, validation and test.
        tested: Fewest and most attractors of far.
        asked: Fewest and most attractors of the queries.
        relatives: Share of intervening nouns that are in a relative clause.
        same: Share of sentences with one more intervening noun, of the subject's number.
        adverbs: The most adverbs before the verb.
        every: Use only every ``every``-th noun, verb, adjective and adverb.
        labelled: Keep the labels of the queries, for students that learn from them as a control of teachers.
        natural: Add ``linzen``, ``blimp`` and ``marvin_linzen``: the natural test sentences under
            ``BEQUEST_DATA`` whose words before the verb are all in the vocabulary.
    """

    form: Form = "classification"
    train: int = Field(5000, ge=0)
    validation: int = Field(500, ge=0)
    test: int = Field(500, ge=0)
    far: int = Field(1500, ge=0)
    queries: int = Field(10000, ge=0)
    seed: int = 0
    trained: tuple[int, int] = (0, 1)
    tested: tuple[int, int] = (2, 4)
    asked: tuple[int, int] = (0, 5)
    relatives: float = 0.5
    same: float = 0.25
    adverbs: int = 2
    every: int = 1
    labelled: bool = False
    natural: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Sentences by split, in the order of their ids."""
        names = ("train", "validation", "test", "far", "queries")
        return {name: getattr(self, name) for name in names}

    @property
    def grammars(self) -> dict[str, Grammar]:
        """The grammar of each split."""
        few = Grammar(
            self.trained, relatives=self.relatives, same=self.same, adverbs=self.adverbs, every=self.every
        )
        return {
            "train": few,
            "validation": few,
            "test": replace(few, held_out=True),
            "far": replace(few, attractors=self.tested, held_out=True),
            "queries": replace(few, attractors=self.asked),
        }


@SPLITS.register("agreement")
def _split_names(**options: Any) -> tuple[str, ...]:
    chosen = AgreementOptions.parse(options, "the dataset 'agreement'")
    names = [name for name, size in chosen.sizes.items() if size]
    return (*names, "graded", *(SETS if chosen.natural else ()))


@PLACES.register("agreement")
def _places(*, natural: bool = False, **_: Any) -> tuple[str, ...]:
    return FILES if natural else ()


@DATASETS.register("agreement")
def agreement(**options: Any) -> Dataset:
    """Present-tense English sentences of a grammar: is the main verb singular or plural?

    Prepositional phrases and relative clauses put nouns between subject and verb; those of the other number
    are attractors. Splits: ``train`` and ``validation`` have few attractors; ``test`` has as few, ``far`` has
    more, and both pair subjects with verbs as training never does; ``graded`` is ``test`` and ``far``
    together; ``queries`` are unlabelled sentences with more attractors, in training's pairings. Numbers are
    balanced in every split and count of attractors.

    Args:
        **options: See :class:`AgreementOptions`.

    Raises:
        ConfigError: If an option is unknown or not possible.
        DataError: If a number of attractors is not possible, or natural sentences are asked for and absent.
    """
    chosen = AgreementOptions.parse(options, "the dataset 'agreement'")
    form, kinds = chosen.form, chosen.grammars
    parts = {
        name: [_item(s) for s in sentences(kinds[name], size, seed=chosen.seed, name=name)]
        for name, size in chosen.sizes.items()
        if size
    }
    parts["graded"] = [*parts.get("test", []), *parts.get("far", [])]
    coder, notes = Coder(VOCABULARY), tuple[str, ...]()
    if chosen.natural:
        natural, notes = natural_items(coder)
        parts |= natural
    splits = encoded(parts, coder, form, labelled=chosen.labelled)
    if "test" in splits and "far" in splits:
        # A sentence keeps its id, so that results on ``graded`` can be matched with ``test`` and ``far``.
        ids = torch.cat([splits["test"].ids, splits["far"].ids])
        splits["graded"] = replace(splits["graded"], ids=ids)
    classes = NUMBERS if form == "classification" else VOCABULARY
    return Dataset("agreement", splits, classes, notes, VOCABULARY, PADDING)


def encoded(
    parts: dict[str, list[Item]], coder: Coder, form: str, *, labelled: bool = False
) -> dict[str, Split]:
    """The parts as token arrays of one length; ``queries`` lose their labels unless ``labelled``."""
    length = longest(*parts.values())
    splits = {}
    for place, (name, items) in enumerate(parts.items()):
        first = place * ID_STEP
        if form == "language":
            whole = labelled or name != "queries"
            splits[name] = language(items, coder, length=length, first=first, whole=whole)
        else:
            split = classification(items, coder, length=length, first=first)
            splits[name] = split.unlabelled() if name == "queries" and not labelled else split
    return splits


def _item(sentence: Sentence) -> Item:
    verb = VERBS[sentence.lemma]
    about = {
        "attractors": sentence.attractors,
        "intervening": sentence.intervening,
        "distance": sentence.distance,
    }
    return Item(sentence.words, sentence.verb, sentence.number, (verb.singular, verb.plural), about)
