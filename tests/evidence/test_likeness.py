"""How alike students and teachers are, with the marks between which a likeness can lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.distill.score import predict
from bequest.measure import cka, error_consistency
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
    }
    for name, value in expected.items():
        m = measured(name, "mlp<-cnn", teacher="cnn", layer="penultimate")
        assert m.split == "test"
        assert m.per_seed["0"] == pytest.approx(value, abs=1e-5)


def test_controls_and_plain_forms_stand_beside_the_teacher_too(measured):
    pairs = {(m.arm, m.teacher) for m in measured.all if m.measure == "cka"}
    assert pairs >= {("mlp<-cnn", "cnn"), ("mlp<-mlp", "cnn"), ("mlp", "cnn"), ("mlp<-mlp", "mlp")}
