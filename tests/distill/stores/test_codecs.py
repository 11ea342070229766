"""What each codec keeps, against the definition; what it refuses to serve."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bequest.distill.objectives import KD, CrossEntropy, Objective, kd, parse_objective
from bequest.distill.objectives.objective import Reads
from bequest.distill.stores.codecs import (
    Codec,
    Dense,
    Sampled,
    TopK,
    parse_codec,
    reading_temperature,
)
from bequest.errors import ConfigError, SignalError


def kept(codec: Codec, logits: torch.Tensor, *, view: int = 0, seed: int = 0) -> torch.Tensor:
    """Rows as a reader finds them: typed, or as bytes."""
    rows = codec.encode(logits, torch.arange(len(logits)), view, seed=seed)
    dtype, shape = codec.layout(tuple(logits.shape[1:]))
    assert (rows.dtype, rows.shape) == (dtype, (len(logits), *shape))
    if dtype.names is not None:
        rows = rows.view("u1").reshape(*rows.shape, dtype.itemsize)
    return torch.from_numpy(rows)


def answers(rows: int, *shape: int, scale: float = 5.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 0.0), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
@pytest.mark.parametrize("shape", [(10,), (4, 7)])
def test_dense_keeps_logits_to_half_a_unit_in_the_last_place(
    dtype: str, bound: float, shape: tuple[int, ...]
) -> None:
    logits = answers(20, *shape)
    codec = parse_codec(dtype)
    back = codec.decode(kept(codec, logits), shape)
    assert back.dtype == torch.float32
    assert torch.all((back - logits).abs() <= bound * logits.abs())


def test_dense_float16_refuses_what_overflows() -> None:
    logits = torch.tensor([[1.0, 2.0], [70000.0, 0.0]])
    with pytest.raises(SignalError, match="answer to sample 9 overflows float16"):
        Dense("float16").encode(logits, torch.tensor([4, 9]), 0, seed=0)
    Dense("bfloat16").encode(logits, torch.tensor([4, 9]), 0, seed=0)


@pytest.mark.parametrize("classes", [30, 70000])
def test_top_k_keeps_log_probabilities_and_the_mass_of_the_rest(classes: int) -> None:
    logits, codec = answers(6, classes), TopK(k=8)
    back = codec.decode(kept(codec, logits), (classes,))
    exact = torch.from_numpy(special.log_softmax(logits.double().numpy(), -1))
    found = torch.log_softmax(back.double(), -1)
    top = logits.topk(8)[1]
    assert torch.equal(back.topk(8)[1].sort()[0], top.sort()[0])
    bound = exact.gather(1, top).abs() * 2.0**-11 + 1e-5
    normaliser = 2.0**-11 * exact.gather(1, top).abs().amax(1, keepdim=True)
    assert torch.all((found.gather(1, top) - exact.gather(1, top)).abs() <= bound + normaliser)
    rest = exact.exp().sum(1) - exact.exp().gather(1, top).sum(1)
    mass = found.exp().sum(1) - found.exp().gather(1, top).sum(1)
    torch.testing.assert_close(mass, rest, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0, 20.0])
def test_top_k_works_out_the_mass_of_the_rest_at_any_temperature(temperature: float) -> None:
    logits, codec = answers(40, 500, scale=3.0), TopK(k=20)
    back = codec.decode(kept(codec, logits), (500,), temperature=temperature).double()
    top = logits.topk(20)[1]

    def rest(values: torch.Tensor) -> torch.Tensor:
        exponentials = torch.exp(values / temperature)
        return exponentials.sum(1) - exponentials.gather(1, top).sum(1)

    torch.testing.assert_close(rest(back), rest(logits.double()), rtol=0.02, atol=0)


def test_top_k_is_exact_where_the_rest_is_even() -> None:
    logits = torch.full((3, 12), -1.0)
    logits[:, 3], logits[:, 7] = 4.0, 2.0
    codec = TopK(k=2)
    for temperature in (1.0, 3.0, 9.0):
        back = codec.decode(kept(codec, logits), (12,), temperature=temperature)
        torch.testing.assert_close(back, logits, rtol=1e-3, atol=2e-3)


def test_top_k_refuses_to_choose_from_too_few() -> None:
    with pytest.raises(SignalError, match="k must be below the number of classes"):
        TopK(k=10).layout((10,))


def test_draws_are_unbiased_by_a_chi_squared_test() -> None:
    logits = answers(1, 6, scale=1.5).expand(4000, 6)
    codec = Sampled(draws=12)
    back = torch.softmax(codec.decode(kept(codec, logits), (6,)), -1)
    counts = (back * 12).sum(0).double().numpy()
    expected = special.softmax(logits[0].double().numpy()) * 12 * 4000
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


def test_the_gradient_from_draws_has_the_teachers_as_its_mean() -> None:
    logits = answers(1, 8, scale=2.0)
    student = answers(1, 8, seed=1).requires_grad_()
    codec = Sampled(draws=12, temperature=2.0)
    back = codec.decode(kept(codec, logits.expand(6000, 8)), (8,))
    (sampled,) = torch.autograd.grad(kd(student.expand(6000, 8), back, temperature=2.0), student)
    (exact,) = torch.autograd.grad(kd(student, logits, temperature=2.0), student)
    share = torch.softmax(logits / 2, -1)
    noise = 2.0 * torch.sqrt(share * (1 - share) / (12 * 6000))
    assert torch.all((sampled - exact).abs() < 5 * noise)


def test_a_sampled_target_is_finite_and_zero_at_equality() -> None:
    codec = Sampled(draws=5)
    back = codec.decode(kept(codec, answers(9, 40)), (40,))
    assert torch.isfinite(back).all()
    assert float(kd(back, back, temperature=1.0)) == 0.0
    assert torch.isfinite(kd(answers(9, 40, seed=3), back, temperature=1.0))


@given(st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_what_is_kept_of_a_sample_follows_from_it_alone(rows: int, view: int) -> None:
    logits, ids = answers(30, 9), torch.arange(30) * 7
    for codec in (Dense("float16"), TopK(k=3), Sampled(draws=4)):
        whole = codec.encode(logits, ids, view, seed=5)
        order = torch.randperm(30)[:rows]
        part = codec.encode(logits[order], ids[order], view, seed=5)
        assert part.tobytes() == whole[order.numpy()].tobytes()


def test_other_views_draw_other_classes() -> None:
    logits, codec = torch.zeros(50, 100), Sampled(draws=8)
    assert not torch.equal(kept(codec, logits, view=0), kept(codec, logits, view=1))


@pytest.mark.parametrize("codec", [TopK(k=3), Sampled(draws=4)])
def test_sequences_are_kept_a_position_at_a_time(codec: Codec) -> None:
    logits = answers(5, 4, 9)
    back = codec.decode(kept(codec, logits), (4, 9))
    assert back.shape == (5, 4, 9)
    if isinstance(codec, TopK):
        flat = codec.decode(kept(codec, logits.flatten(0, 1)), (9,))
        assert torch.equal(back.flatten(0, 1), flat)


def test_dense_serves_whatever_reads_logits() -> None:
    assert reading_temperature(Dense(), KD(temperature=7.0)) == 1.0


@pytest.mark.parametrize(
    ("codec", "objective", "reason"),
    [
        (TopK(k=2), KD(temperature=0.5), "known from T = 1 on, not at 0.5"),
        (Sampled(), KD(temperature=4.0), "drawn at T = 1 and are read at 4"),
    ],
)
def test_an_objective_that_cannot_be_served_is_refused_with_the_reason(
    codec: Codec, objective: KD, reason: str
) -> None:
    with pytest.raises(SignalError, match="cannot serve the objective 'kd'") as caught:
        reading_temperature(codec, objective)
    assert reason in str(caught.value)


@pytest.mark.parametrize("codec", [TopK(k=2), Sampled()])
@pytest.mark.parametrize("name", ["logit_mse", "dist", "dkd", "ofa"])
def test_objectives_of_all_logits_need_a_dense_store(codec: Codec, name: str) -> None:
    objective = parse_objective(name)
    with pytest.raises(SignalError, match=f"cannot serve the objective '{name}'"):
        reading_temperature(codec, objective)


def test_a_sum_is_served_if_its_terms_are() -> None:
    objective = parse_objective([{"name": "cross_entropy"}, {"name": "kd", "temperature": 3.0}])
    assert reading_temperature(TopK(k=2), objective) == 3.0
    two = parse_objective([{"name": "kd", "temperature": 2.0}, {"name": "kd", "temperature": 3.0}])
    with pytest.raises(SignalError, match="computed for one temperature"):
        reading_temperature(TopK(k=2), two)


def test_the_temperature_of_top_k_is_the_objectives() -> None:
    assert reading_temperature(TopK(k=2), KD(temperature=4.0)) == 4.0
    assert reading_temperature(TopK(k=2), CrossEntropy()) == 1.0
    assert reading_temperature(Sampled(temperature=2.0), KD(temperature=2.0)) == 1.0


def test_codecs_parse_from_their_specs() -> None:
    for codec in (Dense("bfloat16"), TopK(k=7), Sampled(draws=3, temperature=2.0)):
        assert parse_codec(codec.spec()) == codec
    with pytest.raises(ConfigError, match="float8"):
        parse_codec("float8")


def test_codecs_ask_what_an_objective_reads_and_not_what_it_is_called():
    """An objective of a user's own is served if it reads what is kept."""

    class Mine(Objective):
        name = "mine"

        def __init__(self, what="mean"):
            self.what = what

        @property
        def needs_teacher(self):
            return True

        @property
        def reads(self):
            return (Reads(self.what, 2.0),)

        def __call__(self, exchange, module=None):
            raise NotImplementedError

    assert reading_temperature(TopK(k=2), Mine()) == 2.0
    assert reading_temperature(Sampled(temperature=2.0), Mine()) == 1.0
    assert reading_temperature(TopK(k=2), Mine("class")) == 1.0
    with pytest.raises(SignalError, match="it reads the logits of all classes"):
        reading_temperature(TopK(k=2), Mine("logits"))
    bound = parse_objective([{"name": "bound", "objective": {"name": "kd", "temperature": 3}, "token": 1}])
    assert reading_temperature(TopK(k=2), bound) == 3.0
    assert reading_temperature(Sampled(), CrossEntropy()) == 1.0
