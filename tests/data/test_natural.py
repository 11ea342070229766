"""Natural test sentences, where they are; and what happens where they are not."""

from __future__ import annotations

import pytest

from bequest.data.agreement import agreement
from bequest.data.lexicon import VOCABULARY
from bequest.data.natural import (
    BLIMP,
    LINZEN,
    MARVIN_LINZEN,
    blimp_agreement,
    linzen_subset,
    marvin_linzen,
    natural_items,
)
from bequest.data.sequences import Coder
from bequest.data.sources import data_root
from bequest.errors import DataError


def needed(name):
    return pytest.mark.skipif(not (data_root() / name).is_file(), reason=f"{name} is not under BEQUEST_DATA")


@needed(LINZEN)
def test_linzens_subset_has_its_published_counts():
    items = linzen_subset()
    counts = [sum(item.about["attractors"] == k for item in items) for k in range(5)]
    assert counts == [1972, 1957, 1943, 1287, 330]
    assert all(item.words[item.verb] == item.forms[item.number] for item in items)
    assert {item.forms for item in items if item.forms[0] == "is"} == {("is", "are")}


@needed(BLIMP)
def test_blimps_pairs_differ_in_the_verb_alone():
    items = blimp_agreement()
    assert len(items) == 4000
    assert all(item.words[item.verb] == item.forms[item.number] for item in items)
    assert 0.4 < sum(item.number for item in items) / len(items) < 0.65


@needed(MARVIN_LINZEN)
def test_marvin_and_linzens_pairs_are_read():
    items = marvin_linzen()
    assert len(items) == 126_260
    assert {len(item.forms) for item in items} == {2}
    likes = [item for item in items if item.forms == ("likes", "like")]
    assert likes
    assert all((item.words[item.verb] == "like") == bool(item.number) for item in likes)


@needed(LINZEN)
def test_only_sentences_whose_words_are_known_are_kept_and_the_note_says_how_many():
    found, notes = natural_items(Coder(VOCABULARY), most=100)
    coder = Coder(VOCABULARY)
    for items in found.values():
        assert 0 < len(items) <= 100
        assert all(coder.knows(item.words[: item.verb]) for item in items)
    assert len(notes) == 3
    assert all(" of " in note for note in notes)


@needed(LINZEN)
def test_the_grammars_data_takes_them_in():
    data = agreement(train=40, validation=10, test=10, far=10, queries=10, natural=True)
    assert {"linzen", "blimp", "marvin_linzen"} <= set(data.splits)
    assert data["marvin_linzen"].x.shape[1] == data["train"].x.shape[1]


def test_absent_archives_say_what_to_do(tmp_path):
    for read in (linzen_subset, blimp_agreement, marvin_linzen):
        with pytest.raises(DataError, match="set BEQUEST_DATA"):
            read(tmp_path)
