"""State tracking: labels against permutations of points, balance, lengths, disjoint splits, seeds."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bequest as bq
from bequest.data.datasets import checked, load_dataset
from bequest.data.groups import group_of
from bequest.data.outline import outline_of, splits_of
from bequest.data.tracking import PADDING, tracking
from bequest.distill.recipe import Recipe
from bequest.errors import ConfigError, DataError
from bequest.models import build_model

SIZES = {"train": 300, "validation": 40, "test": 40, "far": 120, "queries": 200}
FEW = {**SIZES, "validation": 20, "test": 20, "far": 60}
LENGTHS = {"trained": (1, 7), "asked": (8, 10), "tested": (7, 9, 12, 20)}
S3 = {"group": "symmetric", "order": 3, **SIZES, **LENGTHS, "labelled": True}


@pytest.fixture(scope="module")
def data():
    return tracking(**S3)


def words(dataset, split):
    """The letters of each string by name, without padding."""
    return [
        tuple(dataset.vocabulary[token] for token in row if token != PADDING)
        for row in dataset[split].x.tolist()
    ]


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(
        [("cyclic", 2), ("cyclic", 5), ("symmetric", 3), ("dihedral", 4), ("alternating", 4)]
    ),
    letters=st.sampled_from(["all", "generators"]),
    seed=st.integers(0, 2**31),
)
def test_each_label_is_the_state_that_the_letters_leave_one_after_the_other(kind, letters, seed):
    name, order = kind
    options = {**FEW, "trained": (4, 8), "asked": (9,), "tested": (12,), "labelled": True}
    dataset = tracking(group=name, order=order, letters=letters, seed=seed, **options)
    group = group_of(name, order)
    places = {label: element for element, label in enumerate(group.labels)}
    for split in dataset.splits:
        for word, label in zip(words(dataset, split), dataset[split].y.tolist(), strict=True):
            points = tuple(range(len(group.elements[0])))
            for letter in word:
                points = tuple(group.elements[places[letter]][point] for point in points)
            assert group.elements[label] == points


def test_the_order_of_letters_matters_in_s3_and_not_in_counting(data):
    def states_by_letters(dataset):
        by_letters = {}
        for word, label in zip(words(dataset, "queries"), dataset["queries"].y.tolist(), strict=True):
            by_letters.setdefault(tuple(sorted(word)), set()).add(label)
        return by_letters.values()

    assert max(len(states) for states in states_by_letters(data)) > 1
    counted = tracking(order=3, **FEW, **LENGTHS, labelled=True)
    assert all(len(states) == 1 for states in states_by_letters(counted))


def test_splits_share_no_string_that_they_must_not_and_tests_have_none_twice(data):
    sets = {split: words(data, split) for split in data.splits}
    for split in ("validation", "test", "far"):
        assert len(set(sets[split])) == len(sets[split])
        for other in ("train", "queries"):
            assert not set(sets[split]) & set(sets[other])
    assert not set(sets["validation"]) & {*sets["test"], *sets["far"]}


def test_lengths_are_even_and_states_are_balanced_where_strings_allow_it(data):
    length = data["train"].about["length"]
    counts = torch.bincount(length)[1:]
    assert counts.max() - counts.min() <= 2
    assert (length == (data["train"].x != PADDING).sum(1)).all()
    for split, tested in (("far", (12, 20)), ("queries", (8, 10))):
        for size in tested:
            states = data[split].y[data[split].about["length"] == size]
            assert torch.bincount(states, minlength=6).max() - torch.bincount(states, minlength=6).min() <= 1
    assert set(data["far"].about["length"].tolist()) == set(LENGTHS["tested"])
    assert set(data["queries"].about["length"].tolist()) == {8, 10}


def test_half_of_the_strings_of_a_length_are_held_out_of_training():
    sizes = {"train": 600, "validation": 30, "test": 30, "far": 30, "queries": 9}
    dataset = tracking(trained=(8, 8), asked=(9,), tested=(8,), held_out=0.5, **sizes)
    every = {"".join(letters) for letters in product("01", repeat=8)}
    shown = {split: {"".join(word) for word in words(dataset, split)} for split in dataset.splits}
    assert shown["train"] <= every
    assert 96 <= len(shown["train"]) <= 160  # within four standard deviations of 128
    assert not shown["train"] & (shown["validation"] | shown["test"] | shown["far"])


def test_only_options_and_seed_decide_the_strings(data):
    assert tracking(**S3).digest == data.digest
    assert tracking(**{**S3, "seed": 1}).digest != data.digest
    assert tracking(**{**S3, "labelled": False})["queries"].y is None
    checked(data)


def test_what_can_be_said_beforehand_is_what_is_loaded(data):
    outline = outline_of("tracking", S3)
    assert outline.input_shape == data.input_shape
    assert (outline.classes, outline.samples) == (len(data.classes), len(data["train"]))
    assert (outline.vocabulary, outline.padding) == (len(data.vocabulary), data.padding)
    assert splits_of("tracking", {**S3, "far": 0}) == ("train", "validation", "test", "queries")


def test_options_that_are_not_possible_are_one_message():
    with pytest.raises(ConfigError, match="from the shortest to the longest"):
        load_dataset("tracking", trained=(5, 2))
    with pytest.raises(ConfigError, match="far has a number of strings, but no lengths"):
        load_dataset("tracking", tested=())
    with pytest.raises(DataError, match="too few strings"):
        load_dataset("tracking", **{**SIZES, **LENGTHS, "test": 4000})


def test_an_lstm_learns_parity_and_goes_on_where_training_never_was():
    dataset = load_dataset("tracking", **{**FEW, **LENGTHS, "train": 1000})
    about = {"vocabulary": len(dataset.vocabulary), "padding": dataset.padding}
    network = build_model("lstm", dataset.input_shape, 2, seed=0, width=32, layers=1, **about)
    fitted = bq.fit(network, dataset, seed=0, recipe=Recipe(steps=250, lr=1e-2, batch=64, clip=1.0))
    assert fitted.score("far")["accuracy"] > 0.9
