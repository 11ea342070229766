"""How alike students and teachers are, with the marks between which a likeness can lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.distill.score import predict, tokens_of
from bequest.evidence.likeness import Tokens
from bequest.measure import cka, cosine_of_cosines, error_consistency
from bequest.models.taps import PENULTIMATE, activations
from bequest.studies.datasets import tested_on as samples_of
from bequest.studies.networks import initial_network


@pytest.fixture(scope="module")
def logits(readings):
    def of(arm, seed, split, *, untrained=False):
        part = samples_of(readings.study.data, readings.study.splits[split])
        network = initial_network(readings.plan.cell(arm, seed)) if untrained else readings.network(arm, seed)
        return predict(network, part.x), part.y

    return of


def test_agreement_with_its_marks(logits, measured):
    def agreement(one, other):
        return float((one.argmax(1) == other.argmax(1)).double().mean())

    student = [logits("mlp<-cnn", seed, "moved")[0] for seed in (0, 1)]
    untrained = [logits("mlp<-cnn", seed, "moved", untrained=True)[0] for seed in (0, 1)]
    teacher = [logits("cnn", seed, "moved")[0] for seed in (0, 1)]
    expected = {
        "agreement": [agreement(student[k], teacher[k]) for k in (0, 1)],
        "agreement/null": [agreement(untrained[k], teacher[k]) for k in (0, 1)],
        "agreement/other_teacher": [agreement(student[k], teacher[1 - k]) for k in (0, 1)],
        "agreement/ceiling": [agreement(teacher[1 - k], teacher[k]) for k in (0, 1)],
    }
    for name, values in expected.items():
        m = measured(name, "mlp<-cnn", teacher="cnn", split="moved")
        assert list(m.per_seed.values()) == pytest.approx(values)


def test_error_consistency_and_own_minus_other(logits, measured):
    right = {}
    for arm in ("mlp<-cnn", "cnn"):
        for seed in (0, 1):
            answers, labels = logits(arm, seed, "test")
            right[arm, seed] = (answers.argmax(1) == labels).numpy()
    own = [error_consistency(right["mlp<-cnn", k], right["cnn", k]) for k in (0, 1)]
    other = [error_consistency(right["mlp<-cnn", k], right["cnn", 1 - k]) for k in (0, 1)]
    where = {"teacher": "cnn", "split": "test", "layer": None}
    assert list(measured("error_consistency", "mlp<-cnn", **where).per_seed.values()) == pytest.approx(own)
    gap = measured("error_consistency/own_minus_other", "mlp<-cnn", **where)
    assert list(gap.per_seed.values()) == pytest.approx(np.subtract(own, other))


def test_kl_is_from_the_teacher_to_the_student(logits, measured):
    student, teacher = (
        torch.log_softmax(logits(arm, 1, "test")[0].double(), -1) for arm in ("mlp<-cnn", "cnn")
    )
    expected = float((teacher.exp() * (teacher - student)).sum(1).mean())
    m = measured("kl", "mlp<-cnn", teacher="cnn", split="test")
    assert m.per_seed["1"] == pytest.approx(expected, rel=1e-5)


def test_representations_are_compared_on_the_test_split(readings, measured):
    x = readings.data["test"].x

    def penultimate(network):
        return activations(network, x)[PENULTIMATE].flatten(1).numpy()

    student = penultimate(readings.network("mlp<-cnn", 0))
    untrained = penultimate(initial_network(readings.plan.cell("mlp<-cnn", 0)))
    teacher, other = (penultimate(readings.network("cnn", seed)) for seed in (0, 1))
    expected = {
        "cka": cka(student, teacher),
        "cka/null": cka(untrained, teacher),
        "cka/other_teacher": cka(student, other),
        "cka/ceiling": cka(other, teacher),
        "cosine_of_cosines": cosine_of_cosines(student[:500], teacher[:500]),
    }
    for name, value in expected.items():
        m = measured(name, "mlp<-cnn", teacher="cnn", layer="penultimate")
        assert m.split == "test"
        assert m.per_seed["0"] == pytest.approx(value, abs=1e-5)


def test_controls_and_plain_forms_stand_beside_the_teacher_too(measured):
    pairs = {(m.arm, m.teacher) for m in measured.all if m.measure == "cka"}
    assert pairs >= {("mlp<-cnn", "cnn"), ("mlp<-mlp", "cnn"), ("mlp", "cnn"), ("mlp<-mlp", "mlp")}


NAMES = ["class token", "convolution token", "involution token"]
ARM = "vit<-cnn&mlp"


@pytest.fixture(scope="module")
def answers(readings):
    """Classes of each token (N, T), of the teachers by name, and the labels."""
    test = readings.data["test"]
    by_seed = {}
    for seed in (0, 1):
        tokens = tokens_of(readings.network(ARM, seed), test.x).argmax(-1)
        teachers = {arm: predict(readings.network(arm, seed), test.x).argmax(1) for arm in ("cnn", "mlp")}
        by_seed[seed] = (tokens, teachers, test.y)
    return by_seed


@pytest.mark.parametrize("teacher", ["cnn", "mlp"])
def test_each_token_is_set_beside_each_teacher(answers, measured, teacher):
    for k, name in enumerate(NAMES):
        for seed, (tokens, teachers, labels) in answers.items():
            own, theirs = tokens[:, k], teachers[teacher]
            where = {"teacher": teacher, "split": "test", "layer": name}
            assert measured("agreement", ARM, **where).per_seed[str(seed)] == pytest.approx(
                float((own == theirs).double().mean())
            )
            kappa = error_consistency((own == labels).numpy(), (theirs == labels).numpy())
            assert measured("error_consistency", ARM, **where).per_seed[str(seed)] == pytest.approx(kappa)


def test_specialisation_is_the_agreement_of_the_bound_token_less_that_of_the_other(answers, measured):
    for seed, (tokens, teachers, _) in answers.items():
        table = [
            [float((tokens[:, k] == teachers[t]).double().mean()) for k in (1, 2)] for t in ("cnn", "mlp")
        ]
        expected = ((table[0][0] - table[0][1]) + (table[1][1] - table[1][0])) / 2
        assert measured("token_specialisation", ARM).per_seed[str(seed)] == pytest.approx(expected)


def test_networks_with_one_token_have_none(measured):
    assert {m.arm for m in measured.all if m.layer in NAMES} == {ARM}
    assert {m.arm for m in measured.all if m.measure == "token_specialisation"} == {ARM}


def test_a_study_that_does_not_test_on_the_test_split_has_none(readings, monkeypatch):
    moved = {"moved": readings.study.splits["moved"]}
    monkeypatch.setattr(readings, "study", readings.study.model_copy(update={"splits": moved}))
    assert list(Tokens().measurements(readings)) == []
