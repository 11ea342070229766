from __future__ import annotations

import pytest
import torch

from bequest.distill.exchange import UNLABELLED, Exchange
from bequest.distill.objectives import KD, CrossEntropy, parse_objective
from bequest.errors import ConfigError, ObjectiveError

RANDOM = torch.Generator().manual_seed(0)
S = torch.randn(8, 5, generator=RANDOM, dtype=torch.float64)
T = torch.randn(8, 5, generator=RANDOM, dtype=torch.float64)
Y = torch.randint(0, 5, (8,), generator=RANDOM)
SEQ = torch.randn(4, 6, 5, generator=RANDOM, dtype=torch.float64)
SEQ_T = torch.randn(4, 6, 5, generator=RANDOM, dtype=torch.float64)
SEQ_Y = torch.randint(0, 5, (4, 6), generator=RANDOM)
MASK = torch.rand(4, 6, generator=RANDOM) < 0.6


def surprise(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Minus the log-probability of each label, by definition."""
    chances = torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True)
    return -torch.log(torch.stack([chances[k, int(y)] for k, y in enumerate(labels)]))


def value(objective, **exchange) -> float:
    loss, _ = objective(Exchange(**exchange))
    return float(loss.detach())


def test_cross_entropy_is_the_mean_surprise_of_labelled_rows():
    assert value(CrossEntropy(), student_logits=S, labels=Y) == pytest.approx(float(surprise(S, Y).mean()))
    some = Y.clone()
    some[2:5] = UNLABELLED
    kept = some != UNLABELLED
    expected = float(surprise(S[kept], Y[kept]).mean())
    assert value(CrossEntropy(), student_logits=S, labels=some) == pytest.approx(expected)
    assert value(CrossEntropy(), student_logits=S, labels=some, labelled=5) == pytest.approx(expected)


def test_a_batch_without_labels_costs_nothing():
    student = S.clone().requires_grad_()
    loss, _ = CrossEntropy()(Exchange(student_logits=student, labels=torch.full((8,), UNLABELLED)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(student.grad, torch.zeros_like(S))


def test_smoothing_spreads_a_share_over_all_classes():
    even = -torch.log_softmax(S, -1).mean(-1)
    expected = float((0.8 * surprise(S, Y) + 0.2 * even).mean())
    assert value(CrossEntropy(0.2), student_logits=S, labels=Y) == pytest.approx(expected)


def test_masked_positions_are_as_good_as_removed():
    expected = float(surprise(SEQ[MASK], SEQ_Y[MASK]).mean())
    assert value(CrossEntropy(), student_logits=SEQ, labels=SEQ_Y, mask=MASK) == pytest.approx(expected)
    gone = value(KD(), student_logits=SEQ[MASK], teacher_logits=(SEQ_T[MASK],))
    assert value(KD(), student_logits=SEQ, teacher_logits=(SEQ_T,), mask=MASK) == pytest.approx(gone)


def test_mixed_labels_share_the_loss():
    partner, share = Y.roll(1), torch.linspace(0, 1, 8)
    expected = float((share * surprise(S, Y) + (1 - share) * surprise(S, partner)).mean())
    mixed = {"student_logits": S, "labels": Y, "partner_labels": partner, "label_weight": share}
    assert value(CrossEntropy(), **mixed) == pytest.approx(expected)
    assert value(CrossEntropy(), **mixed, labelled=8) == pytest.approx(expected)
    words = {"labels": SEQ_Y, "partner_labels": SEQ_Y.roll(1, 0), "label_weight": share[:4], "mask": MASK}
    each = torch.stack([s.expand(6) for s in share[:4]])[MASK]
    expected = each * surprise(SEQ[MASK], SEQ_Y[MASK]) + (1 - each) * surprise(
        SEQ[MASK], SEQ_Y.roll(1, 0)[MASK]
    )
    assert value(CrossEntropy(), student_logits=SEQ, **words) == pytest.approx(float(expected.mean()))


def test_a_partner_without_a_label_takes_its_share_away():
    partner = Y.roll(1)
    partner[0] = UNLABELLED
    share = torch.full((8,), 0.25)
    mass = 8 * 0.25 + 7 * 0.75
    expected = 0.25 * surprise(S, Y).sum() + 0.75 * surprise(S[1:], partner[1:]).sum()
    got = value(CrossEntropy(), student_logits=S, labels=Y, partner_labels=partner, label_weight=share)
    assert got == pytest.approx(float(expected) / mass)


def test_kd_weighs_labels_against_the_teacher():
    def kl(t: float) -> float:
        p, q = torch.softmax(T / t, -1), torch.softmax(S / t, -1)
        return float((p * (p / q).log()).sum(-1).mean()) * t**2

    assert value(KD(2), student_logits=S, teacher_logits=(T,)) == pytest.approx(kl(2))
    expected = 0.7 * kl(4) + 0.3 * float(surprise(S, Y).mean())
    assert value(KD(label_weight=0.3), student_logits=S, teacher_logits=(T,), labels=Y) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("objective", [CrossEntropy(0.1), KD(2, label_weight=0.4)])
def test_pieces_of_a_batch_sum_to_the_batch(objective):
    labels = SEQ_Y.clone()
    labels[0, :3] = UNLABELLED
    counts = {"rows": int(MASK.sum()), "labelled": int((MASK & (labels != UNLABELLED)).sum())}

    def part(at: slice, **given) -> float:
        return value(
            objective,
            student_logits=SEQ[at],
            teacher_logits=(SEQ_T[at],),
            labels=labels[at],
            mask=MASK[at],
            **given,
        )

    assert part(slice(0, 1), **counts) + part(slice(1, 4), **counts) == pytest.approx(part(slice(0, 4)))


def test_pieces_without_a_mask():
    whole = value(KD(), student_logits=S, teacher_logits=(T,))
    pieces = [
        value(KD(), student_logits=S[k : k + 2], teacher_logits=(T[k : k + 2],), rows=8) for k in (0, 2, 4, 6)
    ]
    assert sum(pieces) == pytest.approx(whole)


def test_parts_are_detached():
    student = S.clone().requires_grad_()
    loss, parts = KD(label_weight=0.5)(Exchange(student_logits=student, teacher_logits=(T,), labels=Y))
    assert loss.requires_grad
    assert set(parts) == {"kd", "cross_entropy"}
    assert not any(part.requires_grad for part in parts.values())
    assert float(loss.detach()) == pytest.approx(
        0.5 * float(parts["kd"]) + 0.5 * float(parts["cross_entropy"])
    )


def test_they_say_what_they_need():
    assert CrossEntropy().needs_labels
    assert not CrossEntropy().needs_teacher
    assert KD().needs_teacher
    assert not KD().needs_labels
    assert KD(label_weight=0.1).needs_labels
    assert KD().student_features == KD().teacher_features == ()
    assert KD().module(Exchange(S)) is None


def test_specs():
    assert parse_objective({"name": "kd", "temperature": 2, "label_weight": 0.5}) == KD(2, 0.5)
    assert parse_objective("cross_entropy") == CrossEntropy()
    assert parse_objective(KD(3).spec()) == KD(3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: KD(0), "temperature: expected a number > 0 or a schedule, got 0"),
        (lambda: KD(label_weight=1.5), "label_weight: expected a number ≥ 0 and ≤ 1 or a schedule, got 1.5"),
        (lambda: CrossEntropy(1.0), "smoothing: input should be less than 1"),
        (lambda: parse_objective({"name": "kd", "temprature": 2}), "did you mean 'temperature'"),
    ],
)
def test_wrong_configurations(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("objective", "exchange", "said"),
    [
        (CrossEntropy(), Exchange(S), "needs labels and the data has none"),
        (CrossEntropy(), Exchange(S, torch.full((8,), UNLABELLED)), "without a labelled sample"),
        (CrossEntropy(), Exchange(S, Y + 5), r"classes 0\.\.4 of shape \(8,\)"),
        (CrossEntropy(), Exchange(SEQ, SEQ_Y[:, 0]), r"of shape \(4, 6\)"),
        (KD(), Exchange(S), "1 teacher, after combination"),
        (KD(), Exchange(S, teacher_logits=(T, T)), "does not fit the number of teachers"),
        (KD(), Exchange(S, teacher_logits=(T[:, :4],)), "different shapes"),
        (KD(), Exchange(SEQ, teacher_logits=(SEQ,), mask=MASK & False), "the mask hides every position"),
        (KD(), Exchange(SEQ, teacher_logits=(SEQ,), mask=MASK[:2]), "the mask does not fit"),
        (KD(), Exchange(SEQ, teacher_logits=(SEQ,), mask=MASK.long()), "bool of shape"),
        (KD(label_weight=0.5), Exchange(S, teacher_logits=(T,)), "needs labels"),
    ],
)
def test_check_refuses_what_cannot_be_computed(objective, exchange, said):
    with pytest.raises(ObjectiveError, match=said):
        objective.check(exchange)


def test_check_accepts_what_can():
    KD(label_weight=0.5).check(Exchange(S, Y, teacher_logits=(T,)))
    KD(label_weight=0.5).check(Exchange(SEQ, SEQ_Y, teacher_logits=(SEQ_T,), mask=MASK))
