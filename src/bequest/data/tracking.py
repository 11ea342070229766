"""State tracking: strings over a finite group, and the state that each of them leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from bequest.config import Config
from bequest.data.agreement import ID_STEP
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.groups import Group, group_of
from bequest.data.outline import OUTLINES, SPLITS, Outline
from bequest.errors import DataError
from bequest.seeding import numpy_generator, uniform

PADDING = 0
LISTED_WORDS = 1 << 14
"""If there are at most this many strings of a length, all are listed; else some are drawn."""

ROUNDS = 40
"""Draws after which a state counts as unreachable by strings of a length."""

REPEATING = ("train", "queries")
"""Splits whose strings may be repeated."""

MULTIPLIER = 6364136223846793005
"""Knuth's multiplier of a linear congruential generator, here of a 64-bit polynomial hash of strings."""

WHERE = "the dataset 'tracking'"

Length = Annotated[int, Field(ge=1)]


class TrackingOptions(Config):
    """The group, and the lengths and numbers of strings.

    Attributes:
        group: The family: ``cyclic`` (2: parity, k: counting modulo k), ``dihedral``, ``symmetric`` (3: S3),
            or ``alternating``.
        order: Points that the group moves, or the modulus.
        letters: ``all``: every element is a letter. ``generators``: the identity and elements that generate
            the group; for a cyclic group 0 and 1, so that ones are counted.
        trained: Shortest and longest string of train, validation and test.
        asked: Lengths of the queries.
        tested: Lengths of far.
        train: Number of strings, as for the other splits.
        validation: See ``train``.
        test: See ``train``.
        far: See ``train``.
        queries: See ``train``.
        held_out: Share of all strings that is reserved for validation, test and far.
        labelled: Keep the labels of the queries, for students that learn from them as a control of teachers.
        seed: Seeds the strings and the choice of held-out ones.
    """

    group: Literal["cyclic", "dihedral", "symmetric", "alternating"] = "cyclic"
    order: int = 2
    letters: Literal["all", "generators"] = "generators"
    trained: tuple[Length, Length] = (1, 16)
    asked: tuple[Length, ...] = tuple(range(17, 33))
    tested: tuple[Length, ...] = (16, 24, 32, 48, 64)
    train: int = Field(4000, ge=1)
    validation: int = Field(400, ge=0)
    test: int = Field(400, ge=0)
    far: int = Field(1200, ge=0)
    queries: int = Field(4000, ge=0)
    held_out: float = Field(0.2, gt=0, lt=1)
    labelled: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _in_order(self) -> TrackingOptions:
        if self.trained[0] > self.trained[1]:
            raise ValueError("trained must go from the shortest to the longest string")
        for split, lengths in (("far", self.tested), ("queries", self.asked)):
            if getattr(self, split) and not lengths:
                raise ValueError(f"{split} has a number of strings, but no lengths")
        return self

    @property
    def sizes(self) -> dict[str, int]:
        """Number of strings by split, in the order of their ids; empty splits are left out."""
        sizes = {name: getattr(self, name) for name in ("train", "validation", "test", "far", "queries")}
        return {name: size for name, size in sizes.items() if size}

    def lengths(self, split: str) -> tuple[int, ...]:
        """The lengths of a split's strings, rising."""
        if split in ("far", "queries"):
            return tuple(sorted(set(self.tested if split == "far" else self.asked)))
        return tuple(range(self.trained[0], self.trained[1] + 1))

    @property
    def longest(self) -> int:
        """Letters of the longest string of any split."""
        return max(max(self.lengths(name)) for name in self.sizes)


@SPLITS.register("tracking")
def _split_names(**options: Any) -> tuple[str, ...]:
    return tuple(TrackingOptions.parse(options, WHERE).sizes)


@OUTLINES.register("tracking")
def _outline(**options: Any) -> Outline:
    chosen = TrackingOptions.parse(options, WHERE)
    group = group_of(chosen.group, chosen.order)
    vocabulary = 1 + len(_letters(group, chosen))
    return Outline((chosen.longest,), "int64", len(group), chosen.train, vocabulary, PADDING)


@DATASETS.register("tracking")
def tracking(**options: Any) -> Dataset:
    """Strings of group elements, labelled with their product: the state that they lead to.

    Splits: ``train``, ``validation`` and ``test`` have strings of the lengths ``trained``, ``far`` of the
    lengths ``tested``, ``queries``, unlabelled, of the lengths ``asked``. No string of ``train`` or
    ``queries`` is in another split, and none of ``validation`` in ``test`` or ``far``.

    Every length is equally frequent. In ``train`` and ``queries`` the few strings of a short length are
    repeated, since rules are learnt from short strings first. In the other splits no string is repeated, and
    longer lengths make up for short ones. At each length the states are as balanced as the strings allow.
    ``about`` holds the ``length`` of each string.

    Args:
        **options: See :class:`TrackingOptions`.

    Raises:
        ConfigError: If an option is unknown or not possible.
        DataError: If the group does not exist, or there are too few strings.
    """
    chosen = TrackingOptions.parse(options, WHERE)
    group = group_of(chosen.group, chosen.order)
    letters = _letters(group, chosen)
    splits = {}
    for place, (name, size) in enumerate(chosen.sizes.items()):
        blocks = list(_Words(group, letters, chosen, name).of_size(size))
        split = _encoded(blocks, letters, chosen.longest, place * ID_STEP)
        splits[name] = split.unlabelled() if name == "queries" and not chosen.labelled else split
    vocabulary = ("<pad>", *(group.labels[letter] for letter in letters))
    return Dataset("tracking", splits, group.labels, vocabulary=vocabulary, padding=PADDING)


def _letters(group: Group, options: TrackingOptions) -> tuple[int, ...]:
    """The elements that are letters."""
    return tuple(range(len(group))) if options.letters == "all" else (0, *group.generators)


@dataclass(frozen=True)
class _Block:
    """Strings of one length, as elements (N, L), and the state after each, (N,)."""

    words: np.ndarray
    states: np.ndarray


class _Words:
    """The strings of one split."""

    def __init__(self, group: Group, letters: Sequence[int], options: TrackingOptions, split: str) -> None:
        self._group, self._letters = group, np.array(letters)
        self._options, self._split = options, split
        self._generator = numpy_generator(options.seed, "tracking", group.name, split)

    def of_size(self, size: int) -> Iterator[_Block]:
        """``size`` strings; longer lengths make up for short ones."""
        lengths, missing = self._options.lengths(self._split), size
        for place, length in enumerate(lengths):
            block = self._of_length(length, missing // (len(lengths) - place))
            missing -= len(block.words)
            yield block
        if missing:
            raise DataError(
                f"there are too few strings of {self._group.name} for the split {self._split!r}",
                expected=f"at most {size - missing:,} of {lengths[0]} to {lengths[-1]} letters",
                got=f"{size:,}",
                remedy="ask for fewer strings, or for longer ones",
            )

    def _of_length(self, length: int, count: int) -> _Block:
        """``count`` strings with states as balanced as possible; fewer if there are no more strings."""
        words, states = self._different(length, count)
        rows = [np.flatnonzero(states == state) for state in np.unique(states)]
        # States with few strings come first, so that the others can make up for them.
        rows = sorted((rows[k] for k in self._generator.permutation(len(rows))), key=len)
        chosen = np.empty(0, np.int64)
        for place, ending in enumerate(rows):
            size = (count - len(chosen)) // (len(rows) - place)
            # np.resize repeats the array as often as needed; the method of that name would add zeros.
            dealt = np.resize(ending, size) if self._split in REPEATING else ending[:size]
            chosen = np.concatenate([chosen, dealt])
        chosen.sort()
        return _Block(words[chosen], states[chosen])

    def _different(self, length: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distinct strings and their states: all of a length, or enough for each state."""
        words = np.empty((0, length), np.int64)
        few = len(self._letters) ** length <= LISTED_WORDS
        for _ in range(1 if few else ROUNDS):
            drawn = self._listed(length) if few else self._drawn(length, count)
            words = np.concatenate([words, drawn[self._admitted(drawn)]])
            # np.unique sorts the strings; their sorted places bring back the random order.
            words = words[np.sort(np.unique(words, axis=0, return_index=True)[1])]
            states = self._folded(words)
            if np.bincount(states, minlength=len(self._group)).min() > count // len(self._group):
                break
        return words, states

    def _listed(self, length: int) -> np.ndarray:
        places = np.indices((len(self._letters),) * length).reshape(length, -1).T
        words: np.ndarray = self._letters[self._generator.permutation(places)]
        return words

    def _drawn(self, length: int, count: int) -> np.ndarray:
        # More than ``count``: repeated strings, and those of other splits, are dropped.
        places = self._generator.integers(len(self._letters), size=(2 * count + 64, length))
        words: np.ndarray = self._letters[places]
        return words

    def _admitted(self, words: np.ndarray) -> np.ndarray:
        """Which strings the split may have, decided by a pseudo-random number in [0, 1) for each string."""
        names = np.full(len(words), words.shape[1], np.int64)
        # The hash is meant to wrap around.
        with np.errstate(over="ignore"):
            for column in words.T:
                names = names * np.int64(MULTIPLIER) + column + 1
        # Without the split's name: all splits must divide the strings by the same numbers.
        what = f"held-out strings of {self._group.name}"
        shares = uniform(self._options.seed, what, torch.from_numpy(names), 0, 1)[:, 0].numpy()
        share = self._options.held_out
        if self._split == "validation":
            return np.asarray(shares < share / 2)
        if self._split in ("test", "far"):
            return np.asarray((shares >= share / 2) & (shares < share))
        return np.asarray(shares >= share)

    def _folded(self, words: np.ndarray) -> np.ndarray:
        """The state after each string."""
        states: np.ndarray = np.zeros(len(words), np.int64)
        for column in words.T:
            states = self._group.table[states, column]
        return states


def _encoded(blocks: Sequence[_Block], letters: Sequence[int], columns: int, first: int) -> Split:
    """The strings as padded tokens (N, ``columns``); ids count from ``first``."""
    token_of: np.ndarray = np.full(1 + max(letters), PADDING)
    token_of[list(letters)] = 1 + np.arange(len(letters))
    rows = [np.full((len(block.words), columns), PADDING, np.int64) for block in blocks]
    for filled, block in zip(rows, blocks, strict=True):
        filled[:, : block.words.shape[1]] = token_of[block.words]
    lengths = np.concatenate([np.full(len(block.words), block.words.shape[1]) for block in blocks])
    states = np.concatenate([block.states for block in blocks])
    ids = torch.arange(first, first + len(states))
    x, y = torch.from_numpy(np.concatenate(rows)), torch.from_numpy(states)
    return Split(x, y, ids, {"length": torch.from_numpy(lengths)})
