from __future__ import annotations

import pytest
import torch

from bequest.distill import objectives as bare
from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.objectives import (
    CKA,
    DIST,
    DKD,
    KD,
    OFA,
    CrossEntropy,
    Hard,
    LogitMSE,
    Standardised,
    Sum,
    parse_objective,
)
from bequest.distill.schedules import Constant, Linear, Stop
from bequest.errors import ConfigError, ObjectiveError

RANDOM = torch.Generator().manual_seed(0)
S, T = (2 * torch.randn(4, 6, 5, generator=RANDOM, dtype=torch.float64) for _ in range(2))
Y = torch.randint(0, 5, (4, 6), generator=RANDOM)
MASK = torch.rand(4, 6, generator=RANDOM) < 0.7

PAIRS = [
    (KD(3), lambda s, t, y, **m: bare.kd(s, t, temperature=3, **m)),
    (Hard(), lambda s, t, y, **m: bare.hard(s, t, **m)),
    (LogitMSE(), lambda s, t, y, **m: bare.logit_mse(s, t, **m)),
    (DKD(2, 3, 1.5), lambda s, t, y, **m: bare.dkd(s, t, y, alpha=2, beta=3, temperature=1.5, **m)),
    (DIST(2, 3, 1.5), lambda s, t, y, **m: bare.dist(s, t, beta=2, gamma=3, temperature=1.5, **m)),
    (OFA(1.2), lambda s, t, y, **m: bare.ofa(s, t, y, epsilon=1.2, **m)),
    (Standardised(), lambda s, t, y, **m: bare.standardised_kd(s, t, temperature=2, weight=9, **m)),
]
EVERY = pytest.mark.parametrize("objective", [pair[0] for pair in PAIRS], ids=lambda o: o.name)


def value(objective, **exchange) -> float:
    loss, parts = objective(Exchange(**exchange))
    assert all(not part.requires_grad and part.ndim == 0 for part in parts.values())
    return float(loss.detach())


@pytest.mark.parametrize(("objective", "function"), PAIRS, ids=lambda p: getattr(p, "name", ""))
def test_they_are_their_functions(objective, function):
    s, t, y = S[:, 0], T[:, 0], Y[:, 0]
    exchange = {"student_logits": s, "teacher_logits": (t,), "labels": y}
    assert value(objective, **exchange) == pytest.approx(float(function(s, t, y)))
    sequence = {"student_logits": S, "teacher_logits": (T,), "labels": Y, "mask": MASK}
    assert value(objective, **sequence) == pytest.approx(float(function(S, T, Y, mask=MASK)))
    _, parts = objective(Exchange(**exchange))
    assert list(parts) == [objective.name]
    assert objective.needs_teacher


@EVERY
def test_specs_round_trip(objective):
    assert parse_objective(objective.spec()) == objective
    assert parse_objective(objective.name).name == objective.name


@pytest.mark.parametrize("objective", [KD(), Hard(), LogitMSE(), DKD(), OFA(), Standardised(DKD())])
@pytest.mark.parametrize("mask", [None, MASK])
def test_pieces_of_a_batch_sum_to_the_batch(objective, mask):
    labels = Y.clone()
    labels[0, :3] = UNLABELLED
    seen = torch.ones_like(MASK) if mask is None else mask
    counts = {"rows": int(seen.sum()), "labelled": int((seen & (labels != UNLABELLED)).sum())}

    def part(at: slice, **given) -> float:
        cut = None if mask is None else mask[at]
        return value(
            objective, student_logits=S[at], teacher_logits=(T[at],), labels=labels[at], mask=cut, **given
        )

    pieces = [part(slice(k, k + 1), **counts) for k in range(4)]
    assert sum(pieces) == pytest.approx(part(slice(0, 4)))
    assert part(slice(0, 4), **counts) == pytest.approx(part(slice(0, 4)))


@pytest.mark.parametrize("objective", [CrossEntropy(), DKD(), OFA(), KD(2, 0.5)])
def test_a_batch_that_happens_to_have_no_label_is_no_fault(objective):
    none = torch.full_like(Y, UNLABELLED)
    exchange = {"student_logits": S, "teacher_logits": (T,), "labels": none, "rows": 24}
    expected = 0.5 * float(bare.kd(S, T, temperature=2)) if isinstance(objective, KD) else 0.0
    for labelled in (None, 0):
        assert value(objective, **exchange, labelled=labelled) == pytest.approx(expected)


@EVERY
def test_autocast_costs_no_precision(objective):
    s, t, y = S[:, 0].to(torch.bfloat16), T[:, 0].to(torch.bfloat16), Y[:, 0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = value(objective, student_logits=s, teacher_logits=(t,), labels=y)
    assert half == pytest.approx(
        value(objective, student_logits=s.float(), teacher_logits=(t.float(),), labels=y)
    )


def test_temperature_and_weights_follow_their_schedules():
    s, t, y = S[:, 0], T[:, 0], Y[:, 0]
    cooling = KD(Linear(5, 1))
    assert value(cooling, student_logits=s, teacher_logits=(t,), step=5, steps=10) == pytest.approx(
        float(bare.kd(s, t, temperature=3))
    )
    stopping = KD(2, Stop(0.5, 0.25, 1.0))
    labels = value(CrossEntropy(), student_logits=s, labels=y)
    exchange = {"student_logits": s, "teacher_logits": (t,), "labels": y, "steps": 10}
    assert value(stopping, **exchange, step=7) == pytest.approx(labels)
    assert value(stopping, **exchange, step=2) == pytest.approx(
        0.25 * labels + 0.75 * float(bare.kd(s, t, temperature=2))
    )
    assert value(Standardised(weight=Linear(9, 0)), **exchange, step=5) == pytest.approx(
        float(bare.standardised_kd(s, t, weight=4.5))
    )
    assert parse_objective(stopping.spec()) == stopping


@pytest.mark.parametrize("objective", [DKD(), OFA()])
def test_a_mixed_sample_has_the_label_with_the_larger_share(objective):
    partner, share = Y.roll(1, 0), torch.tensor([0.9, 0.2, 0.6, 0.4])
    likelier = Y.where(share[:, None] >= 0.5, partner)
    mixed = {"partner_labels": partner, "label_weight": share}
    expected = value(objective, student_logits=S, teacher_logits=(T,), labels=likelier)
    assert value(objective, student_logits=S, teacher_logits=(T,), labels=Y, **mixed) == expected
    flat = {"partner_labels": partner[:, 0], "label_weight": share}
    expected = value(objective, student_logits=S[:, 0], teacher_logits=(T[:, 0],), labels=likelier[:, 0])
    got = value(objective, student_logits=S[:, 0], teacher_logits=(T[:, 0],), labels=Y[:, 0], **flat)
    assert got == expected


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Standardised(CrossEntropy()), "only an objective of a teacher's logits can be standardised"),
        (lambda: Standardised(CKA(("a",), ("b",))), "can be standardised, not cka"),
        (lambda: Standardised(KD(2, 0.1)), "labels are not standardised"),
        (lambda: Standardised(weight=-1), "weight: expected a number ≥ 0 or a schedule, got -1"),
        (lambda: DKD(alpha=-1), "alpha: input should be greater than or equal to 0"),
        (lambda: DIST(temperature=0), "temperature: expected a number > 0 or a schedule, got 0"),
        (lambda: OFA(0), "epsilon: input should be greater than 0"),
        (lambda: KD("linea"), "temperature: there is no schedule 'linea'; did you mean 'linear'"),
        (lambda: KD(True), "temperature: expected a number > 0 or a schedule, got True"),
    ],
)
def test_wrong_configurations(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("objective", "exchange", "said"),
    [
        (KD(Linear(4, -1)), Exchange(S, teacher_logits=(T,), steps=100), "the temperature leaves its range"),
        (KD(Constant(0)), Exchange(S, teacher_logits=(T,)), r"> 0 at every step\n  got: *0 at step 0 of 1"),
        (
            KD(2, Linear(0, 3)),
            Exchange(S, Y, teacher_logits=(T,), steps=10),
            r"a number ≥ 0 and ≤ 1 at every step",
        ),
        (Standardised(weight=Linear(1, -1)), Exchange(S, teacher_logits=(T,), steps=9), "the weight leaves"),
        (DKD(), Exchange(S, teacher_logits=(T,)), "needs labels and the data has none"),
        (OFA(), Exchange(S, teacher_logits=(T,)), "needs labels and the data has none"),
        (DIST(), Exchange(S[:1, 0], teacher_logits=(T[:1, 0],)), "dist correlates samples"),
        (Standardised(DKD()), Exchange(S, teacher_logits=(T,)), "needs labels"),
        (Hard(), Exchange(S), "1 teacher, after combination"),
        (LogitMSE(), Exchange(S, teacher_logits=(T[..., :4],)), "different shapes"),
    ],
)
def test_check_refuses_what_cannot_be_computed(objective, exchange, said):
    with pytest.raises(ObjectiveError, match=said):
        objective.check(exchange)


@EVERY
def test_check_accepts_what_can(objective):
    objective.check(Exchange(S, Y, teacher_logits=(T,), mask=MASK, steps=1000))


def test_a_sum_weighs_its_terms():
    exchange = {"student_logits": S[:, 0], "teacher_logits": (T[:, 0],), "labels": Y[:, 0]}
    both = Sum((CrossEntropy(0.1), KD(2)), (0.1, 0.9))
    expected = 0.1 * value(CrossEntropy(0.1), **exchange) + 0.9 * value(KD(2), **exchange)
    assert value(both, **exchange) == pytest.approx(expected)
    fading = Sum((CrossEntropy(), KD(2)), (1, Linear(1, 0)))
    expected = value(CrossEntropy(), **exchange) + 0.25 * value(KD(2), **exchange)
    assert value(fading, **exchange, step=3, steps=4) == pytest.approx(expected)
    assert value(parse_objective(["cross_entropy", "hard"]), **exchange) == pytest.approx(
        value(CrossEntropy(), **exchange) + value(Hard(), **exchange)
    )


def test_a_sum_needs_what_its_terms_need_and_names_their_parts():
    both = Sum((KD(1), Sum((KD(2), CKA(("a",), ("b",)))), KD(3)))
    assert both.needs_teacher
    assert not both.needs_labels
    assert Sum((KD(), CrossEntropy())).needs_labels
    assert both.student_features == ("a",)
    assert both.teacher_features == ("b",)
    assert both.module(Exchange(S)) is None
    _, parts = Sum((KD(1), KD(2), KD(3)))(Exchange(S, teacher_logits=(T,)))
    assert list(parts) == ["kd", "kd_2", "kd_3"]
    assert float(parts["kd_2"]) == pytest.approx(float(bare.kd(S, T, temperature=2)))


def test_sums_round_trip_and_refuse_what_does_not_fit():
    both = Sum((CrossEntropy(), Standardised(DKD())), (0.5, Linear()))
    assert parse_objective(both.spec()) == both
    assert parse_objective(["kd"]) == KD()
    with pytest.raises(ConfigError, match="expected at least one objective"):
        parse_objective([])
    with pytest.raises(ConfigError, match="a sum needs at least one term"):
        Sum(())
    with pytest.raises(ConfigError, match="2 terms need as many weights, not 1"):
        Sum((KD(), Hard()), (1.0,))
    with pytest.raises(ConfigError, match="expected a number ≥ 0 or a schedule, got -1"):
        Sum((KD(), Hard()), (1.0, -1.0))
    with pytest.raises(ObjectiveError, match="a weight leaves its range"):
        Sum((KD(),), (Linear(1, -1),)).check(Exchange(S, teacher_logits=(T,), steps=10))
    with pytest.raises(ObjectiveError, match="needs labels"):
        Sum((KD(), CrossEntropy())).check(Exchange(S, teacher_logits=(T,)))
