from __future__ import annotations

import pytest
import torch

from bequest.distill import objectives as bare
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import CKA, KD, Bound, CrossEntropy, Hard, Tokens, parse_objective
from bequest.errors import ConfigError, ObjectiveError

RANDOM = torch.Generator().manual_seed(0)
TOKENS = torch.randn(8, 3, 5, generator=RANDOM, dtype=torch.float64)
FIRST, SECOND = (torch.randn(8, 5, generator=RANDOM, dtype=torch.float64) for _ in range(2))
Y = torch.randint(0, 5, (8,), generator=RANDOM)
MEAN = TOKENS.mean(1)
FULL = Exchange(MEAN, Y, teacher_logits=(FIRST, SECOND), student_tokens=TOKENS)


def test_each_teacher_teaches_its_own_token():
    loss, parts = Tokens()(FULL)
    first = bare.kd(TOKENS[:, 1], FIRST, temperature=1)
    second = bare.kd(TOKENS[:, 2], SECOND, temperature=1)
    assert float(loss) == pytest.approx(float(first + second))
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(
        {"token 1 kd": float(first), "token 2 kd": float(second)}
    )


def test_tokens_weights_and_objective_are_free():
    loss, _ = Tokens(Hard(), tokens=(2, 0), weights=(0.5, 2))(FULL)
    expected = 0.5 * bare.hard(TOKENS[:, 2], FIRST) + 2 * bare.hard(TOKENS[:, 0], SECOND)
    assert float(loss) == pytest.approx(float(expected))


def test_the_whole_loss_of_co_advise():
    """Labels for the class token, a teacher for each of the others, all weights and temperatures 1."""
    spec = [
        {"name": "bound", "objective": {"name": "cross_entropy", "smoothing": 0.1}, "token": 0},
        {"name": "tokens"},
    ]
    objective = parse_objective(spec)
    assert parse_objective(objective.spec()) == objective
    objective.check(FULL)
    loss, parts = objective(FULL)
    labels, _ = CrossEntropy(0.1)(Exchange(TOKENS[:, 0], Y))
    expected = labels + sum(bare.kd(TOKENS[:, k], t, temperature=1) for k, t in ((1, FIRST), (2, SECOND)))
    assert float(loss) == pytest.approx(float(expected))
    assert list(parts) == ["token 0 cross_entropy", "token 1 kd", "token 2 kd"]


def test_bound_picks_a_teacher_for_the_model_s_own_answer():
    loss, parts = Bound(KD(2), teacher=1)(FULL)
    assert float(loss) == pytest.approx(float(bare.kd(MEAN, SECOND, temperature=2)))
    assert list(parts) == ["kd"]
    features = ({"a": FIRST}, {"a": SECOND})
    guided = Exchange(
        MEAN, teacher_logits=(FIRST, SECOND), student_features={"s": MEAN}, teacher_features=features
    )
    loss, _ = Bound(CKA(("s",), ("a",)), teacher=1)(guided)
    assert float(loss) == pytest.approx(float(bare.cka_guidance(MEAN, SECOND)))


def test_bound_needs_what_it_binds():
    bound = Bound(CKA(("s",), ("a",)), teacher=1)
    assert bound.student_features == ("s",)
    assert bound.teacher_features == ("a",)
    assert bound.needs_teacher
    assert not bound.needs_labels
    assert Bound(CrossEntropy(), token=0).needs_labels
    assert not Bound(CrossEntropy(), token=0).needs_teacher
    assert bound.module(FULL) is None
    assert Tokens().needs_teacher
    assert not Tokens().needs_labels
    assert Tokens(KD(1, 0.5)).needs_labels


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tokens(tokens=(1, 1)), r"each teacher needs a token of its own, not \[1, 1\]"),
        (lambda: Tokens(tokens=(1, 2), weights=(1.0,)), "2 tokens need as many weights, not 1"),
        (lambda: Tokens(CKA(("a",), ("b",))), "cka reads activations, not a token's logits"),
        (lambda: Bound(KD(), token=-1), "token: input should be greater than or equal to 0"),
    ],
)
def test_wrong_configurations(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("objective", "exchange", "said"),
    [
        (Tokens(), Exchange(MEAN, teacher_logits=(FIRST,)), "a student that returns Tokens"),
        (Tokens(), Exchange(MEAN, student_tokens=TOKENS), "expected: *at least one teacher"),
        (
            Tokens(tokens=(1,)),
            FULL,
            r"tokens and teachers differ in number\n.*1 teachers, kept apart\n  got: *2",
        ),
        (Tokens(weights=(1, 1, 1)), FULL, "3 teachers, kept apart"),
        (Tokens(tokens=(1, 3)), FULL, "the student has no token 3"),
        (Tokens(), Exchange(MEAN, teacher_logits=(FIRST,) * 4, student_tokens=TOKENS), "no token 3"),
        (Bound(KD(), token=0), Exchange(MEAN, teacher_logits=(FIRST,)), "reads tokens"),
        (Bound(KD(), teacher=2), FULL, r"there is no teacher 2\n  expected: *0\.\.1"),
        (Bound(KD()), FULL, "does not fit the number of teachers"),
        (Tokens(), Exchange(MEAN, teacher_logits=(FIRST[:, :4],), student_tokens=TOKENS), "different shapes"),
    ],
)
def test_check_refuses_what_cannot_be_computed(objective, exchange, said):
    with pytest.raises(ObjectiveError, match=said):
        objective.check(exchange)
