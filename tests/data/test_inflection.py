"""English inflection against a list of real forms."""

from __future__ import annotations

import pytest

from bequest.data.inflection import base_of, plural, present
from bequest.data.lexicon import NOUNS, RELATIVE, VERBS, VOCABULARY

PLURALS = {
    "key": "keys",
    "lady": "ladies",
    "boy": "boys",
    "bus": "buses",
    "box": "boxes",
    "church": "churches",
    "dish": "dishes",
    "child": "children",
    "person": "people",
    "wife": "wives",
    "mouse": "mice",
    "witness": "witnesses",
}
THIRD = {
    "carry": "carries",
    "stay": "stays",
    "watch": "watches",
    "touch": "touches",
    "please": "pleases",
    "go": "goes",
    "be": "is",
    "have": "has",
}


@pytest.mark.parametrize(("noun", "form"), PLURALS.items())
def test_plurals(noun, form):
    assert plural(noun) == form


@pytest.mark.parametrize(("verb", "form"), THIRD.items())
def test_third_persons(verb, form):
    assert present(verb)[0] == form


def test_base_of_undoes_the_third_person_of_every_verb():
    for verb in VERBS:
        assert base_of(verb.singular) == verb.plural
    for verb in RELATIVE:
        assert base_of(present(verb)[0]) == verb


def test_every_noun_and_verb_tells_its_number():
    nouns = {noun: plural(noun) for noun in NOUNS}
    assert not set(nouns) & set(nouns.values())
    assert all(verb.singular != verb.plural for verb in VERBS)
    assert len(VOCABULARY) == len(set(VOCABULARY))
