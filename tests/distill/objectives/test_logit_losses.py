"""Each loss against its definition, written out for one row at a time in float64, and its identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bequest.distill.exchange import UNLABELLED
from bequest.distill.objectives import dist, dkd, hard, kd, logit_mse, ofa, standardised_kd
from bequest.distill.objectives.rows import check_temperature
from bequest.errors import ObjectiveError

QUICK = settings(deadline=None, max_examples=20)


def kl(p, q) -> float:
    return float(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))


def softmax(row, t=1.0):
    powers = [math.exp(v / t) for v in row]
    return np.array([v / sum(powers) for v in powers])


def kd_by_hand(s, t, _, temperature=4.0):
    each = [kl(softmax(b, temperature), softmax(a, temperature)) for a, b in zip(s, t, strict=True)]
    return temperature**2 * float(np.mean(each))


def hard_by_hand(s, t, _):
    return float(np.mean([-math.log(softmax(a)[int(np.argmax(b))]) for a, b in zip(s, t, strict=True)]))


def mse_by_hand(s, t, _):
    return float(np.mean((s - t) ** 2))


def dkd_by_hand(s, t, labels, alpha=1.0, beta=8.0, temperature=4.0):
    each = []
    for a, b, y in zip(s, t, labels, strict=True):
        q, p = softmax(a, temperature), softmax(b, temperature)
        target = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        p_rest, q_rest = np.delete(p, y) / (1 - p[y]), np.delete(q, y) / (1 - q[y])
        each.append(alpha * target + beta * kl(p_rest, q_rest))
    return temperature**2 * float(np.mean(each))


def dist_by_hand(s, t, _, beta=1.0, gamma=1.0, temperature=1.0):
    q, p = special.softmax(s / temperature, 1), special.softmax(t / temperature, 1)
    rows = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(q, p, strict=True)])
    columns = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(q.T, p.T, strict=True)])
    return temperature**2 * float(beta * (1 - rows) + gamma * (1 - columns))


def standardised_by_hand(s, t, _):
    return 9.0 * kd_by_hand(stats.zscore(s, axis=1), stats.zscore(t, axis=1), None, 2.0)


def ofa_by_hand(s, t, labels, epsilon=1.4):
    each = []
    for a, b, y in zip(s, t, labels, strict=True):
        one = np.eye(len(a))[y]
        each.append(-float(np.sum(((softmax(b) + one) ** epsilon - one) * np.log(softmax(a)))))
    return float(np.mean(each))


LOSSES = {
    "kd": (lambda s, t, y, **m: kd(s, t, temperature=4.0, **m), kd_by_hand),
    "hard": (lambda s, t, y, **m: hard(s, t, **m), hard_by_hand),
    "logit_mse": (lambda s, t, y, **m: logit_mse(s, t, **m), mse_by_hand),
    "dkd": (lambda s, t, y, **m: dkd(s, t, y, **m), dkd_by_hand),
    "dist": (lambda s, t, y, **m: dist(s, t, **m), dist_by_hand),
    "standardised_kd": (lambda s, t, y, **m: standardised_kd(s, t, **m), standardised_by_hand),
    "ofa": (lambda s, t, y, **m: ofa(s, t, y, epsilon=1.4, **m), ofa_by_hand),
}
EVERY = pytest.mark.parametrize("name", list(LOSSES))
DIVERGENCES = ["kd", "logit_mse", "dkd", "dist", "standardised_kd"]
SHIFT_BLIND = ["kd", "hard", "dkd", "dist", "standardised_kd", "ofa"]
BATCH_WIDE = ["dist"]


def draw(seed: int, *shape: int):
    random = torch.Generator().manual_seed(seed)
    s, t = (2 * torch.randn(*shape, generator=random, dtype=torch.float64) for _ in range(2))
    return s, t, torch.randint(0, shape[-1], shape[:-1], generator=random)


SEEDS = st.integers(0, 10_000)


@EVERY
@QUICK
@given(seed=SEEDS, rows=st.integers(3, 7), classes=st.integers(3, 6))
def test_it_is_its_definition(name, seed, rows, classes):
    loss, by_hand = LOSSES[name]
    s, t, y = draw(seed, rows, classes)
    assert float(loss(s, t, y)) == pytest.approx(
        by_hand(s.numpy(), t.numpy(), y.numpy()), rel=1e-9, abs=1e-12
    )


@EVERY
@QUICK
@given(seed=SEEDS)
def test_masked_is_removed(name, seed):
    loss, _ = LOSSES[name]
    s, t, y = draw(seed, 3, 5, 4)
    mask = torch.rand(3, 5, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask[0, :3] = True
    expected = float(loss(s[mask], t[mask], y[mask]))
    s[~mask], t[~mask], y[~mask] = float("nan"), float("inf"), 77
    assert float(loss(s, t, y, mask=mask)) == expected


@EVERY
def test_positions_are_rows(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(0, 3, 5, 4)
    assert float(loss(s, t, y)) == float(loss(s.flatten(0, 1), t.flatten(0, 1), y.flatten()))


@pytest.mark.parametrize("name", DIVERGENCES)
@QUICK
@given(seed=SEEDS)
def test_divergences_are_zero_at_equality_and_nowhere_negative(name, seed):
    loss, _ = LOSSES[name]
    s, t, y = draw(seed, 6, 5)
    assert float(loss(s, s, y)) == pytest.approx(0, abs=1e-14)
    assert float(loss(s, t, y)) > 0


def test_kd_is_exactly_zero_at_equality_in_float32_too():
    s = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    assert float(kd(s, s.clone(), temperature=4.0)) == 0.0


@pytest.mark.parametrize("name", SHIFT_BLIND)
@QUICK
@given(seed=SEEDS)
def test_a_constant_added_to_a_row_changes_nothing(name, seed):
    loss, _ = LOSSES[name]
    s, t, y = draw(seed, 6, 5)
    shift = torch.arange(6, dtype=torch.float64)[:, None] * 3 - 7
    assert float(loss(s + shift, t - 2 * shift, y)) == pytest.approx(float(loss(s, t, y)), rel=1e-9)


@EVERY
def test_gradients_agree_with_finite_differences(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(1, 5, 4)
    assert torch.autograd.gradcheck(lambda x: loss(x, t, y), (s.requires_grad_(),), atol=1e-6)


@EVERY
def test_no_gradient_flows_to_the_teacher(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(2, 5, 4)
    s.requires_grad_()
    t.requires_grad_()
    loss(s, t, y).backward()
    assert t.grad is None
    assert float(s.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in BATCH_WIDE])
def test_two_batches_merge_by_their_sizes(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(3, 10, 5)
    first, second = float(loss(s[:3], t[:3], y[:3])), float(loss(s[3:], t[3:], y[3:]))
    assert 0.3 * first + 0.7 * second == pytest.approx(float(loss(s, t, y)))


@EVERY
def test_half_precision_is_computed_in_float32(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(4, 6, 5)
    s, t = s.to(torch.bfloat16), t.to(torch.bfloat16)
    assert loss(s, t, y).dtype == torch.float32
    assert float(loss(s, t, y)) == float(loss(s.float(), t.float(), y))


@pytest.mark.parametrize("name", ["kd", "hard", "logit_mse", "dist", "standardised_kd"])
def test_arrays_are_as_good_as_tensors(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(5, 6, 5)
    assert float(loss(s.numpy(), t.numpy(), y)) == float(loss(s, t, y))


@QUICK
@given(seed=SEEDS, temperature=st.floats(0.5, 20))
def test_kd_has_the_scale_of_hinton(seed, temperature):
    s, t, _ = draw(seed, 6, 5)
    p, log_q = torch.softmax(t / temperature, 1), torch.log_softmax(s / temperature, 1)
    batchmean = torch.nn.functional.kl_div(log_q, p, reduction="batchmean")
    assert float(kd(s, t, temperature=temperature)) == pytest.approx(temperature**2 * float(batchmean))


@pytest.mark.parametrize("name", ["kd", "dkd"])
def test_the_number_of_classes_does_not_divide_the_loss(name):
    """A class split into two halves is the same distribution: a mean over classes would halve the loss."""
    s, t, _ = draw(6, 6, 5)
    temperature = 4.0
    s2, t2 = (torch.cat([x - temperature * math.log(2)] * 2, 1) for x in (s, t))
    if name == "kd":
        assert float(kd(s2, t2, temperature=4)) == pytest.approx(float(kd(s, t, temperature=4)))
    else:
        y = torch.zeros(6, dtype=torch.int64)
        s2, t2 = (
            torch.cat(
                [x[:, :1], (x - temperature * math.log(2))[:, 1:], (x - temperature * math.log(2))[:, 1:]], 1
            )
            for x in (s, t)
        )
        assert float(dkd(s2, t2, y)) == pytest.approx(float(dkd(s, t, y)))


def test_kd_tends_to_half_the_squared_distance_of_centred_logits_over_the_classes():
    """Hinton et al. 2015, section 2.1: at high temperature distillation is matching of logits."""
    s, t, _ = draw(7, 6, 5)
    s.requires_grad_()
    loss = kd(s, t, temperature=1e4)
    gap = (s - s.mean(1, keepdim=True) - t + t.mean(1, keepdim=True)).detach()
    assert float(loss.detach()) == pytest.approx(float((gap**2).sum(1).mean() / (2 * 5)), rel=1e-3)
    loss.backward()
    torch.testing.assert_close(s.grad, gap / (6 * 5), rtol=1e-2, atol=1e-5)


def test_dkd_tends_to_the_limit_that_its_two_parts_have():
    """Binary part: variance of [y, rest] with weights (1/C, 1 - 1/C); the others as kd over C - 1 classes."""
    s, t, y = draw(8, 6, 5)
    gap = (s - t).numpy()
    target = np.array([row[k] for row, k in zip(gap, y.numpy(), strict=True)])
    rest = np.stack([np.delete(row, k) for row, k in zip(gap, y.numpy(), strict=True)])
    binary = (target - rest.mean(1)) ** 2 * (1 / 5) * (4 / 5) / 2
    among = rest.var(1) / 2
    expected = float(np.mean(3 * binary + 2 * among))
    assert float(dkd(s, t, y, alpha=3, beta=2, temperature=1e4)) == pytest.approx(expected, rel=1e-3)


def test_dist_tends_to_the_correlation_of_logits_times_t_squared():
    s, t, _ = draw(9, 6, 5)
    s0, t0 = (
        x - x.mean(1, keepdim=True) for x in (s, t)
    )  # softmax forgets the mean of a row, also along columns
    rows = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(s0.numpy(), t0.numpy(), strict=True)])
    columns = np.mean(
        [stats.pearsonr(a, b).statistic for a, b in zip(s0.numpy().T, t0.numpy().T, strict=True)]
    )
    got = float(dist(s, t, temperature=1e4)) / 1e8
    assert got == pytest.approx(2 - rows - columns, rel=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 30.0, 1e3, 1e5, 1e7])
def test_dist_keeps_its_digits_at_any_temperature(temperature):
    s, t, _ = draw(9, 6, 5)
    exact = float(dist(s, t, temperature=temperature))
    assert float(dist(s.float(), t.float(), temperature=temperature)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 1e-6, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [kd, dist, lambda s, t, **_: logit_mse(s, t)])
def test_losses_and_gradients_are_finite_in_any_precision(loss, dtype, temperature):
    s = torch.tensor([[30.0, -10.0, 4.0], [5.0, 1.0, 60.0]]).to(dtype).requires_grad_()
    value = loss(s, torch.tensor([[10.0, 20.0, -3.0], [0.0, 1.0, 2.0]]).to(dtype), temperature=temperature)
    value.backward()
    assert bool(value.isfinite())
    assert bool(s.grad.isfinite().all())


def test_a_gradient_beyond_float16_is_cut_outside_autocast_and_infinite_inside():
    """Loss scaling lowers its scale when it sees an infinity: it must see them."""
    s, t = torch.zeros(1, 2, dtype=torch.float16), torch.tensor([[1e3, -1e3]], dtype=torch.float16)
    for autocast, expected in ((False, 65504.0), (True, math.inf)):
        leaf = s.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.float16, enabled=autocast):
            value = logit_mse(leaf, t) * 1e3
        value.backward()
        assert leaf.grad.tolist() == [[-expected, expected]]


@QUICK
@given(seed=SEEDS)
def test_dkd_is_kd_where_its_weights_say_so(seed):
    """Zhao et al. 2022, equation 5: KD = target part + (1 - p_y) · non-target part."""
    s, t, y = draw(seed, 1, 5)
    beta = 1 - float(torch.softmax(t / 4, 1)[0, y[0]])
    assert float(dkd(s, t, y, alpha=1, beta=beta)) == pytest.approx(float(kd(s, t, temperature=4)))


def test_dkd_of_two_classes_has_only_the_target_part():
    s, t, y = draw(10, 6, 2)
    assert float(dkd(s, t, y, alpha=1, beta=100)) == pytest.approx(float(kd(s, t, temperature=4)))


@QUICK
@given(seed=SEEDS)
def test_ofa_at_one_is_the_cross_entropy_to_the_teacher(seed):
    s, t, y = draw(seed, 6, 5)
    p = torch.softmax(t, 1)
    entropy = float(-(p * p.log()).sum(1).mean())
    assert float(ofa(s, t, y)) == pytest.approx(float(kd(s, t, temperature=1)) + entropy)


@QUICK
@given(seed=SEEDS, a=st.floats(0.2, 5), b=st.floats(0.2, 5))
def test_standardised_kd_forgets_the_size_of_logits(seed, a, b):
    s, t, _ = draw(seed, 6, 5)
    assert float(standardised_kd(a * s, b * t)) == pytest.approx(float(standardised_kd(s, t)), rel=1e-6)


def test_constant_logits_give_numbers_not_nan():
    _, t, y = draw(11, 6, 5)
    for name, (loss, _) in LOSSES.items():
        flat = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
        value = loss(flat, t, y)
        value.backward()
        assert math.isfinite(float(value.detach())), name
        assert bool(flat.grad.isfinite().all()), name


@pytest.mark.parametrize("side", ["student", "teacher"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_logit_that_is_not_finite_makes_the_loss_not_finite(name, wrong, side):
    if (name, side, wrong) == ("hard", "teacher", math.inf):
        pytest.skip("infinity is the largest logit, and so a class")
    s, t, y = draw(16, 6, 5)
    (s if side == "student" else t)[2, 1] = wrong
    assert not math.isfinite(float(LOSSES[name][0](s, t, y)))


def test_dist_counts_an_undefined_correlation_as_none():
    _, t, _ = draw(12, 6, 5)
    assert float(dist(torch.zeros(6, 5, dtype=torch.float64), t)) == pytest.approx(2)


@pytest.mark.parametrize("name", ["dkd", "ofa"])
def test_rows_without_a_label_are_left_out(name):
    loss, _ = LOSSES[name]
    s, t, y = draw(13, 6, 5)
    some = y.clone()
    some[1] = some[4] = UNLABELLED
    kept = some != UNLABELLED
    assert float(loss(s, t, some)) == pytest.approx(float(loss(s[kept], t[kept], y[kept])))
    none = loss(s.requires_grad_(), t, torch.full_like(y, UNLABELLED))
    none.backward()
    assert float(none.detach()) == 0


S, T, Y = draw(14, 4, 3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kd(S, T, temperature=0), "the temperature is not a positive finite number"),
        (lambda: kd(S, T, temperature=-1.0), "got: *-1"),
        (lambda: kd(S, T, temperature=math.inf), "positive finite"),
        (lambda: dkd(S, T, Y, temperature=0), "the temperature is not a positive"),
        (lambda: dist(S, T, temperature=math.nan), "the temperature is not a positive"),
        (lambda: standardised_kd(S, T, temperature=0), "the temperature is not a positive"),
        (lambda: ofa(S, T, Y, epsilon=0), "epsilon must be positive"),
        (lambda: hard(S, T[:, :2]), "different shapes"),
        (lambda: logit_mse(S, T[:3]), r"expected: *\(4, 3\), as the student's"),
        (lambda: dkd(S[:, :1], T[:, :1], Y), "dkd needs classes besides the target"),
        (lambda: dkd(S, T, Y[:2]), "the labels do not fit the logits"),
        (lambda: kd(S[0], T[0], temperature=1), "logits have the wrong shape"),
        (lambda: kd(S, T, temperature=1, mask=torch.ones(4, dtype=torch.bool)), "the mask does not fit"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, said):
    with pytest.raises(ObjectiveError, match=said):
        call()


@pytest.mark.parametrize("correction", [0, 1])
def test_standardised_logits_take_the_sigma_that_is_asked_for(correction):
    student, teacher = (5 * torch.randn(6, 7, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    z = [
        (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True, correction=correction)
        for x in (student, teacher)
    ]
    sigma = ("population", "sample")[correction]
    loss = standardised_kd(student, teacher, temperature=2.0, weight=9.0, sigma=sigma)
    assert float(loss) == pytest.approx(9 * float(kd(*z, temperature=2.0)), rel=1e-5)


def test_the_sample_sigma_is_a_higher_temperature():
    student, teacher = (torch.randn(6, 7, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    factor = math.sqrt(7 / 6)
    sample = standardised_kd(student, teacher, temperature=2.0, sigma="sample")
    population = standardised_kd(student, teacher, temperature=2.0 * factor)
    assert float(sample) == pytest.approx(float(population) / factor**2, rel=1e-5)


def test_standardised_constant_logits_are_0_with_a_finite_gradient():
    constant = torch.full((2, 3), 4.0, requires_grad=True)
    standardised_kd(constant, torch.randn(2, 3), sigma="sample").backward()
    assert bool(torch.isfinite(constant.grad).all())


INF = float("inf")
MASKED = torch.tensor([[1.0, 0.0, -INF], [0.5, 2.0, -INF]])
TEACHER_MASKED = torch.tensor([[2.0, 0.0, -INF], [0.0, 1.0, -INF]])
TWO = torch.tensor([0, 1])
BOTH_MASK = {
    "kd": lambda s, t: kd(s, t, temperature=2.0),
    "hard": hard,
    "logit_mse": logit_mse,
    "dkd": lambda s, t: dkd(s, t, TWO),
    "dist": lambda s, t: dist(s, t, gamma=0.0),
    "standardised": standardised_kd,
    "ofa": lambda s, t: ofa(s, t, TWO, epsilon=1.2),
}


@pytest.mark.parametrize("name", sorted(set(BOTH_MASK) - {"dist"}))
def test_a_class_that_both_mask_is_as_if_it_were_not_there(name):
    student = MASKED.clone().requires_grad_()
    loss = BOTH_MASK[name](student, TEACHER_MASKED)
    expected = BOTH_MASK[name](MASKED[:, :2], TEACHER_MASKED[:, :2])
    assert float(loss.detach()) == pytest.approx(float(expected), abs=1e-6)
    loss.backward()
    assert bool(torch.isfinite(student.grad).all())
    assert not bool(student.grad[:, 2].any())


@pytest.mark.parametrize("name", ["kd", "dkd", "logit_mse", "standardised", "dist"])
def test_equal_logits_with_masked_classes_have_no_loss(name):
    assert float(BOTH_MASK[name](MASKED, MASKED)) == pytest.approx(0.0, abs=1e-6)
    assert float(kd(MASKED, MASKED, temperature=1.0)) == 0.0


def test_dkd_of_a_row_whose_other_classes_are_all_masked_is_the_target_term():
    logits = torch.tensor([[1.0, -INF, -INF]], requires_grad=True)
    loss = dkd(logits, torch.tensor([[3.0, -INF, -INF]]), torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("loss", [dkd, ofa])
@pytest.mark.parametrize("label", [-1, 5, 255])
def test_a_label_that_is_no_class_is_refused_and_never_class_0(loss, label):
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ObjectiveError, match="a label is not a class") as caught:
        loss(logits, logits.flip(0), torch.tensor([1, 2, label, 3]))
    assert "expected: 0..4, or -100 for a row without a label" in str(caught.value)
    kept = [0, 1, 3]
    expected = loss(logits[kept], logits.flip(0)[kept], torch.tensor([1, 2, 3]))
    left_out = loss(logits, logits.flip(0), torch.tensor([1, 2, -100, 3]))
    assert float(left_out) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", sorted(BOTH_MASK))
def test_without_a_row_that_counts_a_loss_is_0_with_a_gradient_of_0(name):
    empty = {"dkd": dkd, "ofa": ofa}.get(name)
    student = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    if empty is not None:
        loss = empty(student, torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64), mask=mask)
    else:
        plain = {"kd": lambda *a, **k: kd(*a, temperature=2.0, **k), "standardised": standardised_kd}
        plain |= {"hard": hard, "logit_mse": logit_mse, "dist": dist}
        loss = plain[name](student, torch.randn(2, 3, 4), mask=mask)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not bool(student.grad.any())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64])
def test_integer_logits_are_numbers(dtype):
    teacher = torch.tensor([[12, 3, 0], [1, 20, 4]], dtype=dtype)
    student = torch.tensor([[1.5, 0.2, -1.0], [0.1, 2.0, 0.4]])
    expected = kd(student, teacher.float(), temperature=4.0)
    assert torch.equal(kd(student, teacher, temperature=4.0), expected)


@pytest.mark.parametrize("temperature", ["4", None, torch.ones(2, 1)])
def test_a_temperature_is_one_number(temperature):
    with pytest.raises(ObjectiveError, match="the temperature is not a positive finite number"):
        check_temperature(temperature)
