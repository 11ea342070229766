"""The agreement grammar: agreement holds, numbers balance, pairings are disjoint, only the seed counts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bequest.data.agreement import agreement
from bequest.data.datasets import UNLABELLED, checked, load_dataset
from bequest.data.grammar import MOST_ATTRACTORS, Grammar, is_held_out, sentences
from bequest.data.inflection import plural, present
from bequest.data.lexicon import END, NOUNS, PADDING, RELATIVE, START, VERBS, VOCABULARY
from bequest.data.sequences import before_the_verb
from bequest.errors import ConfigError, DataError

SMALL = {"train": 240, "validation": 40, "test": 80, "far": 120, "queries": 120}
SINGULAR = set(NOUNS)
PLURAL = {plural(noun) for noun in NOUNS}


@pytest.fixture(scope="module")
def data():
    return agreement(**SMALL)


@pytest.fixture(scope="module")
def spoken():
    return agreement(form="language", **SMALL)


def nouns_between(sentence):
    """Numbers of the nouns between subject and verb, read off the words."""
    return [
        int(word in PLURAL)
        for word in sentence.words[sentence.subject + 1 : sentence.verb]
        if word in SINGULAR | PLURAL
    ]


@given(seed=st.integers(0, 2**31), low=st.integers(0, 4), more=st.integers(0, 3), held_out=st.booleans())
def test_what_is_known_of_a_sentence_can_be_read_off_its_words(seed, low, more, held_out):
    grammar = Grammar((low, low + more), held_out=held_out)
    for sentence in sentences(grammar, 12, seed=seed, name="x"):
        verb = VERBS[sentence.lemma]
        assert sentence.words[sentence.verb] == verb.form(sentence.number)
        assert sentence.words[sentence.subject] in (PLURAL if sentence.number else SINGULAR)
        between = nouns_between(sentence)
        assert len(between) == sentence.intervening
        assert sum(number != sentence.number for number in between) == sentence.attractors
        assert low <= sentence.attractors <= low + more
        assert is_held_out(sentence.noun, sentence.lemma, seed) == held_out
        assert sentence.words[-1] == "."


def test_verbs_in_relative_clauses_agree_with_their_own_subjects():
    forms = {form: number for verb in RELATIVE for number, form in enumerate(present(verb))}
    seen = 0
    for sentence in sentences(Grammar((2, 5), relatives=1.0), 300, seed=3, name="clauses"):
        words = sentence.words[: sentence.verb]
        for place, (word, after) in enumerate(pairwise(words)):
            number = forms.get(after if word == "that" else word)
            nouns = [w for w in words[: place + 1] if w in SINGULAR | PLURAL]
            if number is not None and nouns and (word == "that" or word in forms):
                assert int(nouns[-1] in PLURAL) == number
                seen += 1
    assert seen > 300


def test_numbers_are_balanced_at_every_count_of_attractors(data):
    for name in ("train", "test", "far", "graded"):
        split = data[name]
        for count in split.about["attractors"].unique():
            assert split.y[split.about["attractors"] == count].float().mean() == 0.5


def test_training_shows_few_attractors_and_the_tests_show_more(data):
    assert set(data["train"].about["attractors"].tolist()) == {0, 1}
    assert set(data["test"].about["attractors"].tolist()) == {0, 1}
    assert set(data["far"].about["attractors"].tolist()) == {2, 3, 4}
    assert set(data["graded"].about["attractors"].tolist()) == {0, 1, 2, 3, 4}
    assert int(data["queries"].about["attractors"].max()) == 5


def test_no_pairing_of_subject_and_verb_is_in_training_and_in_a_test():
    few, held = Grammar(), Grammar((2, 4), held_out=True)
    trained = {(s.noun, s.lemma) for s in sentences(few, 2000, seed=0, name="train")}
    tested = {(s.noun, s.lemma) for s in sentences(held, 2000, seed=0, name="far")}
    assert not trained & tested
    for side in (0, 1):
        assert {pair[side] for pair in tested} <= {pair[side] for pair in trained}


def test_the_seed_decides_and_fewer_sentences_are_a_beginning_of_more(data):
    again = agreement(**SMALL)
    assert again.digest == data.digest
    assert agreement(**SMALL, seed=1).digest != data.digest
    longer = agreement(**{**SMALL, "train": 400})
    width = min(longer["train"].x.shape[1], data["train"].x.shape[1])
    assert torch.equal(longer["train"].x[:240, :width], data["train"].x[:, :width])
    assert torch.equal(longer["train"].ids[:240], data["train"].ids)


def test_ids_are_unique_over_the_splits_and_the_graded_test_shares_them(data):
    apart = [data[name].ids for name in SMALL]
    assert len(torch.cat(apart).unique()) == sum(SMALL.values())
    assert torch.equal(data["graded"].ids, torch.cat([data["test"].ids, data["far"].ids]))


def test_a_row_is_what_precedes_the_verb_and_an_end(data):
    split = data["far"]
    lengths = (split.x != PADDING).sum(1)
    assert (split.x[torch.arange(len(split)), lengths - 1] == END).all()
    assert (split.x == END).sum(1).eq(1).all()
    assert data["queries"].y is None
    assert data.classes == ("VBZ", "VBP")


def test_a_language_model_learns_the_token_that_follows(spoken, data):
    split = spoken["train"]
    assert (split.x[:, 0] == START).all()
    known = split.y != UNLABELLED
    assert torch.equal(known, split.x != PADDING)
    assert torch.equal(split.y[:, :-1][known[:, 1:]], split.x[:, 1:][known[:, 1:]])
    assert spoken.next_token
    assert not data.next_token
    assert spoken.classes == VOCABULARY
    checked(spoken)


def test_before_the_verb_both_forms_see_the_same_words(data, spoken):
    x = before_the_verb(data["far"].x)
    words = x != PADDING
    assert torch.equal(x[words], spoken["far"].x[:, : x.shape[1]][words])
    last = words.sum(1) - 1
    rows = torch.arange(len(x))
    verbs = spoken["far"].y[rows, last]
    number, about = data["far"].y, data["far"].about
    assert torch.equal(verbs, torch.where(number == 1, about["plural"], about["singular"]))


def test_the_queries_of_a_language_model_end_before_the_verb(spoken):
    asked = spoken["queries"]
    assert asked.y is None
    last = asked.x[torch.arange(len(asked)), (asked.x != PADDING).sum(1) - 1]
    assert not set(last.tolist()) & {VOCABULARY.index("."), END}


def test_what_cannot_be_asked_for():
    with pytest.raises(ConfigError, match="form: input should be"):
        agreement(form="speech", **SMALL)
    with pytest.raises(DataError, match="cannot have so many attractors"):
        agreement(tested=(2, MOST_ATTRACTORS + 1), **SMALL)
    with pytest.raises(ConfigError, match="tested"):
        agreement(tested=(2,), **SMALL)


def test_the_catalogue_has_it_and_it_is_checked():
    assert len(load_dataset("agreement", **SMALL)["train"]) == 240
