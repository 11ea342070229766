"""Natural sentences for evaluation: Linzen's test subset, BLiMP, and Marvin and Linzen's."""

from __future__ import annotations

import json
import lzma
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bequest.data.sequences import Coder, Item
from bequest.data.sources import data_root
from bequest.errors import DataError

LINZEN = "language/colorlessgreen_english.tar.xz"
LINZEN_STEM = "data/linzen_testset/subj_agr_filtered"
BLIMP = "language/blimp_data.tar.xz"
BLIMP_PARADIGMS = (
    "distractor_agreement_relational_noun",
    "distractor_agreement_relative_clause",
    "irregular_plural_subject_verb_agreement_1",
    "regular_plural_subject_verb_agreement_1",
)
"""Paradigms whose pairs differ in the verb alone; the others change the subject instead."""
MARVIN_LINZEN = "language/lm_syneval_emnlp2018.json.xz"
FILES = (LINZEN, BLIMP, MARVIN_LINZEN)
SINGULAR_FORMS = {"is", "has", "was", "does", "isn't", "hasn't", "wasn't", "doesn't"}
UNSTATED = -1


def linzen_subset(root: Path | None = None) -> list[Item]:
    """7,489 sentences of Wikipedia with 0 to 4 attractors (Linzen et al. 2016; filtered by Gulordava et al.).

    Raises:
        DataError: If the archive is absent or malformed.
    """
    path = (root or data_root()) / LINZEN
    texts = _members(path, [f"{LINZEN_STEM}.text", f"{LINZEN_STEM}.gold"])
    text, gold = (texts[f"{LINZEN_STEM}.{kind}"].splitlines() for kind in ("text", "gold"))
    if len(text) != len(gold):
        raise DataError(
            f"{path} does not have one answer per sentence", expected=f"{len(text)} answers", got=len(gold)
        )
    return [_linzen_item(*pair, path) for pair in zip(text, gold, strict=True)]


def blimp_agreement(root: Path | None = None) -> list[Item]:
    """The 1,000 minimal pairs of each of BLiMP's paradigms whose sentences differ in the verb's number alone.

    Raises:
        DataError: If the archive is absent or malformed.
    """
    path = (root or data_root()) / BLIMP
    names = [f"data/{paradigm}.jsonl" for paradigm in BLIMP_PARADIGMS]
    texts = _members(path, names)
    items = []
    for kind, name in enumerate(names):
        for line in texts[name].splitlines():
            items.append(_minimal_pair(*_blimp_pair(line, path), kind))  # noqa: PERF401 two loops read better
    return [item for item in items if item is not None]


def marvin_linzen(root: Path | None = None) -> list[Item]:
    """The pairs of Marvin and Linzen (2018) whose sentences differ in one verb's number.

    ``kind`` counts their agreement tests in the order of the file; the tests of reflexives and of negative
    polarity are left out.

    Raises:
        DataError: If the file is absent or malformed.
    """
    path = (root or data_root()) / MARVIN_LINZEN
    try:
        with lzma.open(path) as file:
            tests = json.load(file)
    except (OSError, lzma.LZMAError, ValueError) as error:
        raise _absent(path, error) from error
    items = []
    for kind, (name, cases) in enumerate(tests.items()):
        # Their pairs differ in a quantifier or a pronoun, not in a verb's number.
        if "npi" in name or "reflexive" in name:
            continue
        for pairs in cases.values():
            items += [_minimal_pair(good, bad, kind) for good, bad in pairs]
    return [item for item in items if item is not None]


SETS: dict[str, Callable[[Path | None], list[Item]]] = {
    "linzen": linzen_subset,
    "blimp": blimp_agreement,
    "marvin_linzen": marvin_linzen,
}


def natural_items(
    coder: Coder, root: Path | None = None, *, sets: Iterable[str] = tuple(SETS), most: int = 2000
) -> tuple[dict[str, list[Item]], tuple[str, ...]]:
    """The sentences of each of ``sets`` with known words before the verb, at most ``most``, evenly spaced.

    Returns:
        The sentences by set, without sets that have none, and a note on each set's coverage.
    """
    by_set, notes = {}, []
    for name in sets:
        items = SETS[name](root)
        readable = [item for item in items if coder.knows(item.words[: item.verb])]
        notes.append(
            f"{name}: every word before the verb is known in {len(readable)} of {len(items)} sentences"
        )
        if readable:
            stride = -(-len(readable) // most)
            # Not the first ones: the sets are ordered by kind.
            by_set[name] = readable[::stride]
    return by_set, tuple(notes)


def _blimp_pair(line: str, path: Path) -> tuple[str, str]:
    try:
        pair = json.loads(line)
        return str(pair["sentence_good"]), str(pair["sentence_bad"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} has a line that is not a pair of sentences", got=line[:80]) from error


def _linzen_item(text: str, gold: str, path: Path) -> Item:
    try:
        place, right, wrong, attractors = gold.lower().split("\t")
        words = [word for word in text.split() if word != "<eos>"]
        return _item(words, int(place), right, wrong, attractors=int(attractors))
    except ValueError as error:
        raise DataError(
            f"{path} has a line that is not an answer",
            expected="place, right form, wrong form and attractors, with tabs between",
            got=gold,
        ) from error


def _minimal_pair(good: str, bad: str, kind: int) -> Item | None:
    """The pair as an item; None if it differs in more than one word."""
    right, wrong = _words(good), _words(bad)
    differing = [k for k, (a, b) in enumerate(zip(right, wrong, strict=False)) if a != b]
    if len(right) != len(wrong) or len(differing) != 1:
        return None
    place = differing[0]
    return _item(right, place, right[place], wrong[place], attractors=UNSTATED, kind=kind)


def _item(words: list[str], place: int, right: str, wrong: str, *, attractors: int, kind: int = 0) -> Item:
    number = int(not _is_singular(right, wrong))
    forms = (wrong, right) if number else (right, wrong)
    about = {"attractors": attractors, "intervening": attractors, "distance": UNSTATED, "kind": kind}
    return Item(words, place, number, forms, about)


def _is_singular(form: str, other: str) -> bool:
    """Whether the first of two forms of one verb in the present tense is the singular."""
    if form in SINGULAR_FORMS or other in SINGULAR_FORMS:
        return form in SINGULAR_FORMS
    # Longer, too: the plural of "passes" ends in s as well.
    return form.endswith("s") and len(form) > len(other)


def _words(sentence: str) -> list[str]:
    return sentence.lower().replace(",", " ,").replace(".", " .").split()


def _members(path: Path, names: list[str]) -> dict[str, str]:
    """The text of the named files of an archive."""
    try:
        with tarfile.open(path) as archive:
            return dict(_read(archive, names))
    except (OSError, tarfile.TarError, lzma.LZMAError, KeyError, EOFError, UnicodeDecodeError) as error:
        raise _absent(path, error) from error


def _read(archive: tarfile.TarFile, names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        file = archive.extractfile(name)
        if file is None:
            raise KeyError(name)
        yield name, file.read().decode()


def _absent(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read",
        got=error,
        remedy="set BEQUEST_DATA to a folder that holds it, or leave natural sentences out",
    )
