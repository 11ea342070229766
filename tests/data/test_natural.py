"""Natural test sentences, where they are; and what happens where they are not."""

from __future__ import annotations

import pytest
import torch

from bequest.data.agreement import agreement
from bequest.data.lexicon import SPECIAL, UNKNOWN, VOCABULARY
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
from bequest.data.wikipedia import WikipediaOptions, dealt_out, wikipedia_agreement
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


@needed(LINZEN)
@needed(BLIMP)
@needed(MARVIN_LINZEN)
def test_natural_sentences_are_dealt_out_by_their_attractors_and_none_twice():
    data = wikipedia_agreement(test=100, validation=50)
    counts = {name: set(part.about["attractors"].tolist()) for name, part in data.splits.items()}
    assert counts["train"] == counts["validation"] == counts["test"] == {0, 1}
    assert (counts["far"], counts["queries"], counts["graded"]) == ({2, 3, 4}, {3}, {0, 1, 2, 3, 4})
    assert data["queries"].y is None
    assert data["graded"].ids.tolist() == [*data["test"].ids.tolist(), *data["far"].ids.tolist()]
    assert len(data["train"]) + len(data["validation"]) == 1972 + 1957 - 100
    items = linzen_subset()
    dealt = [item for part in dealt_out(items, WikipediaOptions()).values() for item in part]
    assert sorted(map(id, dealt)) == sorted(map(id, items))


@needed(LINZEN)
@needed(BLIMP)
@needed(MARVIN_LINZEN)
def test_natural_vocabulary_is_that_of_training_and_tests_have_verbs_in_it():
    data = wikipedia_agreement(form="language", least=3)
    words, counts = torch.unique(data["train"].x, return_counts=True)
    often = dict(zip(words.tolist(), counts.tolist(), strict=True))
    regular = range(len(SPECIAL), len(data.vocabulary))
    assert all(often[word] >= 3 for word in regular)
    for name in ("test", "far"):
        assert min(data[name].about["singular"].min(), data[name].about["plural"].min()) >= 0
    before = wikipedia_agreement(least=3)
    assert (before["far"].x == UNKNOWN).any()
    assert all((before[name].x != UNKNOWN).all() for name in ("blimp", "marvin_linzen"))


@needed(LINZEN)
def test_too_few_natural_sentences_are_an_error():
    with pytest.raises(DataError, match="too few sentences"):
        wikipedia_agreement(test=3000, validation=2000)
