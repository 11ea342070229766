"""Sentences of an agreement grammar, each a pure function of the seed and its index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bequest.data.inflection import present
from bequest.data.lexicon import (
    ADJECTIVES,
    ADVERBS,
    DETERMINERS,
    NOUNS,
    OPENINGS,
    PEOPLE,
    PREPOSITIONS,
    RELATIVE,
    VERBS,
    Verb,
    noun_form,
)
from bequest.errors import DataError
from bequest.seeding import numpy_generator

Choice = TypeVar("Choice")

MOST_ATTRACTORS = 8
MOST_SPARSE = 6
DRAWS = 128
"""Random numbers reserved for each sentence, more than any sentence uses."""

HELD_OUT = 7
"""One in so many pairs of subject noun and main verb is held out for tests. It must exceed ``MOST_SPARSE``,
so that every noun has such verbs."""


@dataclass(frozen=True)
class Sentence:
    """One sentence with its annotations.

    Attributes:
        words: All of it, with the full stop.
        subject: Place of the subject noun.
        verb: Place of the main verb.
        number: 0 for a singular subject, 1 for a plural one.
        attractors: Nouns between the two whose number is not the subject's.
        intervening: Nouns between the two.
        lemma: The main verb, as an index of ``VERBS``.
        noun: The subject noun, as an index of ``NOUNS``.
    """

    words: tuple[str, ...]
    subject: int
    verb: int
    number: int
    attractors: int
    intervening: int
    lemma: int
    noun: int

    @property
    def distance(self) -> int:
        """Places from the subject noun to the main verb."""
        return self.verb - self.subject


@dataclass(frozen=True)
class Grammar:
    """The distribution of sentences.

    Attributes:
        attractors: The fewest and the most; sentences cycle through all counts.
        held_out: Use the pairs of subject and verb that are held out for tests; else only the others.
        relatives: Share of intervening nouns in a relative clause; the others follow a preposition.
        same: Share of sentences with one more intervening noun, of the subject's number.
        adverbs: The most adverbs between the last noun and the verb; each is there half the time.
        every: Use only every ``every``-th noun, verb, adjective and adverb; language models learn a small
            language sooner.
    """

    attractors: tuple[int, int] = (0, 1)
    held_out: bool = False
    relatives: float = 0.5
    same: float = 0.25
    adverbs: int = 2
    every: int = 1

    def __post_init__(self) -> None:
        low, high = self.attractors
        if not 1 <= self.every <= MOST_SPARSE:
            raise DataError(
                "every is out of range",
                expected=f"1..{MOST_SPARSE}",
                got=self.every,
            )
        if not 0 <= low <= high <= MOST_ATTRACTORS:
            raise DataError(
                "a sentence cannot have so many attractors",
                expected=f"(fewest, most) with 0 <= fewest <= most <= {MOST_ATTRACTORS}",
                got=self.attractors,
            )


def sentences(grammar: Grammar, count: int, *, seed: int, name: str) -> Iterator[Sentence]:
    """The first ``count`` sentences of the stream (seed, name); fewer are a prefix of more.

    Numbers alternate, and each number goes through all counts of attractors, so that both are balanced.
    """
    drawn = numpy_generator(seed, "agreement", name).random((count, DRAWS))
    low, high = grammar.attractors
    for place, row in enumerate(drawn):
        # Counts and numbers in turn, not drawn: each is equally frequent in every prefix of the stream.
        attractors = low + place // 2 % (high - low + 1)
        yield _Writer(grammar, row.tolist(), seed).sentence(place % 2, attractors)


def is_held_out(noun: int, verb: int, seed: int) -> bool:
    """Whether this subject and main verb are paired in tests only."""
    # A linear pattern: each noun misses one verb in seven, and no noun and no verb is always held out.
    return (2 * noun + verb + seed) % HELD_OUT == 0


class _Writer:
    """Writes one sentence out of random numbers in [0, 1)."""

    def __init__(self, grammar: Grammar, numbers: list[float], seed: int) -> None:
        self._grammar, self._seed = grammar, seed
        self._nouns, self._people = (range(0, len(nouns), grammar.every) for nouns in (NOUNS, PEOPLE))
        self._numbers = iter(numbers)
        self._words: list[str] = []

    def sentence(self, number: int, attractors: int) -> Sentence:
        if self._chance(0.2):
            self._words += [*self._pick(OPENINGS), ","]
        noun = self._noun_phrase(self._nouns, number)
        subject = len(self._words) - 1
        between = [1 - number] * attractors
        if self._chance(self._grammar.same):
            between.insert(int(self._next() * (attractors + 1)), number)
        self._modify(number, between)
        for _ in range(self._grammar.adverbs):
            if self._chance(0.5):
                self._words.append(self._pick(ADVERBS[:: self._grammar.every]))
        lemma = self._verb_for(noun)
        place = len(self._words)
        self._words.append(VERBS[lemma].form(number))
        self._complement(VERBS[lemma])
        words = (*self._words, ".")
        return Sentence(words, subject, place, number, attractors, len(between), lemma, noun)

    def _modify(self, number: int, between: Sequence[int]) -> None:
        """Write one modifier per noun; ``number`` is that of the noun that a clause here would modify."""
        beside: int | None = number
        for noun_number in between:
            if not self._chance(self._grammar.relatives):
                self._words += self._pick(PREPOSITIONS)
                self._noun_phrase(self._nouns, noun_number)
                beside = noun_number
            elif beside is not None and self._chance(0.5):
                self._words += ["that", present(self._pick(RELATIVE[:: self._grammar.every]))[beside]]
                self._noun_phrase(self._nouns, noun_number)
                beside = noun_number
            else:
                self._words.append("that")
                self._noun_phrase(self._people, noun_number)
                self._words.append(present(self._pick(RELATIVE[:: self._grammar.every]))[noun_number])
                # After "that the guard admires" there is no adjacent noun for a subject relative.
                beside = None

    def _noun_phrase(self, nouns: range, number: int) -> int:
        self._words.append(self._pick(DETERMINERS))
        if self._chance(0.25):
            self._words.append(self._pick(ADJECTIVES[:: self._grammar.every]))
        noun = self._pick(nouns)
        self._words.append(noun_form(NOUNS[noun], number))
        return noun

    def _verb_for(self, noun: int) -> int:
        held_out, verbs = self._grammar.held_out, range(0, len(VERBS), self._grammar.every)
        return self._pick([v for v in verbs if is_held_out(noun, v, self._seed) == held_out])

    def _complement(self, verb: Verb) -> None:
        if verb.kind == "object":
            self._noun_phrase(self._nouns, int(self._chance(0.5)))
        elif verb.kind == "quality":
            self._words.append(self._pick(ADJECTIVES[:: self._grammar.every]))

    def _chance(self, share: float) -> bool:
        return self._next() < share

    def _pick(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._next() * len(choices))]

    def _next(self) -> float:
        return next(self._numbers)
