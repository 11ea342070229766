"""What each token of a student answers, beside each teacher."""

from __future__ import annotations

import pytest

from bequest.distill.score import predict, tokens_of
from bequest.evidence.tokens import Tokens
from bequest.measure import error_consistency

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
