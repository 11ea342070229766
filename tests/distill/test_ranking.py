from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from torch import nn

from bequest.data.batches import Batches
from bequest.data.designs import badge, coverage
from bequest.data.queries import ActiveSpec, Source
from bequest.data.views import Identity, Shift
from bequest.distill.live import LiveTeachers
from bequest.distill.ranking import Ranking, disagreement, divergence, entropy
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, ModelError

SEEDS = st.integers(0, 2**31)


def logits(seed, *shape):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chances(values, temperature=1.0):
    return torch.softmax(values / temperature, -1).numpy()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.5, 1.0, 4.0]))
def test_numbers_agree_with_scipy(seed, temperature):
    s, t, u = logits(seed, 3, 5, 4)
    p, q, r = (chances(values, temperature) for values in (s, t, u))
    assert divergence(s, t, temperature=temperature).numpy() == pytest.approx(scipy_entropy(q, p, axis=1))
    assert entropy(s, temperature=temperature).numpy() == pytest.approx(scipy_entropy(p, axis=1))
    expected = jensenshannon(q, r, axis=1) ** 2
    assert disagreement((t, u), temperature=temperature).numpy() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_identities(seed):
    s, t, u = logits(seed, 3, 5, 4)
    assert torch.all(divergence(t, t) == 0)
    assert torch.allclose(disagreement((t, t)), torch.zeros(5, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(disagreement((t, u)), disagreement((u, t)), atol=1e-12)
    assert torch.all(disagreement((s, t, u)) <= torch.log(torch.tensor(3.0)) + 1e-12)
    assert torch.allclose(divergence(s + 3, t - 2), divergence(s, t), atol=1e-9)


@pytest.fixture
def ranked(network, toy):
    """Which queries each way of ranking finds most telling."""

    def made(by, *, teachers=1, view=None, student=None, temperature=1.0):
        spec = ActiveSpec(by=by, budget=6, rounds=3, temperature=temperature)
        source = Source("pool", toy["train"], view or Identity(), view_count=3, active=spec)
        signal = (
            LiveTeachers([Teacher(network(10 + k)) for k in range(teachers)], (source,)) if teachers else None
        )
        rank = Ranking(student or network(1), signal, sources=(source,))
        return Batches((source,), batch=4, seed=0, steps=30, rank=rank)

    return made


def test_rounds_take_what_the_student_knows_least_about(ranked, network, toy):
    for view in (Identity(), Shift(2)):
        student = network(1)
        batches = ranked("divergence", view=view, student=student)
        batches.at(0)
        split = toy["train"]
        views = range(1 if isinstance(view, Identity) else 3)
        pool = torch.cat([view(split.x, split.ids, k, seed=0) for k in views])
        gaps = divergence(student(pool), network(10)(pool)).detach()
        assert batches.state()["pool"][0].tolist() == gaps.topk(2).indices.tolist()


def test_entropy_asks_the_student_alone(ranked, network, toy):
    batches = ranked("entropy", teachers=0)
    batches.at(0)
    expected = entropy(network(1)(toy["train"].x)).topk(2).indices
    assert batches.state()["pool"][0].tolist() == expected.tolist()


def test_disagreement_asks_the_teachers_alone(ranked, network, toy):
    batches = ranked("disagreement", teachers=2)
    batches.at(0)
    x = toy["train"].x
    expected = disagreement((network(10)(x), network(11)(x))).topk(2).indices
    assert batches.state()["pool"][0].tolist() == expected.tolist()


def test_the_divergence_from_several_teachers_is_their_mean(ranked, network, toy):
    batches = ranked("divergence", teachers=2)
    batches.at(0)
    x = toy["train"].x
    gaps = (divergence(network(1)(x), network(10)(x)) + divergence(network(1)(x), network(11)(x))).detach()
    assert batches.state()["pool"][0].tolist() == gaps.topk(2).indices.tolist()


def test_ranking_changes_neither_the_student_nor_the_random_state(ranked, network):
    student = network(1, dropout=0.5, batch_norm=True).train()
    student[2].eval()
    batches = ranked("divergence", student=student)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    random = torch.get_rng_state()
    batches.at(0)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert student.training
    assert not student[2].training


@pytest.mark.parametrize("padding", [None, 0])
def test_sequences_are_ranked_by_the_mean_over_positions_that_count(padding, reader, words):
    spec = ActiveSpec(by="entropy", budget=3, rounds=1)
    source = Source("pool", words["train"], Identity(), active=spec)
    rank = Ranking(reader(1), None, padding=padding)
    batches = Batches((source,), batch=4, seed=0, steps=30, rank=rank)
    batches.at(0)
    each = entropy(reader(1)(words["train"].x)).detach()
    counted = [
        row[x != padding].mean() if padding == 0 else row.mean()
        for row, x in zip(each, words["train"].x, strict=True)
    ]
    scores = torch.stack(counted)
    assert torch.allclose(scores[batches.state()["pool"][0]], scores.topk(3).values)


@pytest.mark.parametrize("teachers", [1, 2])
@pytest.mark.parametrize("by", ["coverage", "badge", "badge_clean"])
def test_designs_spread_over_what_the_student_shows(ranked, network, toy, by, teachers):
    """The first round against the pure functions on features of the whole pool."""
    student, split = network(1, dropout=0.5, batch_norm=True), toy["train"]
    batches = ranked(by, teachers=teachers, view=Shift(2), student=student, temperature=2.0)
    batches.at(0)
    student.eval()
    clean = torch.cat([split.x] * 3)
    shown = torch.cat([Shift(2)(split.x, split.ids, view, seed=0) for view in range(3)])
    features = student[:-1](shown).detach()
    by_teachers = torch.stack([network(10 + k)(shown) for k in range(teachers)]).div(2).softmax(-1).mean(0)
    target = by_teachers if by == "badge" else student(clean).div(2).softmax(-1)
    residuals = (student(shown).div(2).softmax(-1) - target).detach()
    rows = coverage(features, 2) if by == "coverage" else badge(residuals, features, 2, seed=0)
    assert batches.state()["pool"][0].tolist() == rows.tolist()


def test_features_of_sequences_are_means_over_positions_that_count(reader, words):
    spec = ActiveSpec(by="coverage", budget=3, rounds=1)
    source = Source("pool", words["train"], Identity(), active=spec)
    batches = Batches(
        (source,), batch=4, seed=0, steps=30, rank=Ranking(reader(1), None, padding=0, sources=(source,))
    )
    batches.at(0)
    vectors = reader(1)[0](words["train"].x).detach()
    means = [row[x != 0].mean(0) for row, x in zip(vectors, words["train"].x, strict=True)]
    assert torch.equal(batches.state()["pool"][0], coverage(torch.stack(means), 3))


def test_gradients_of_a_student_that_answers_at_each_position_are_refused(reader, words):
    spec = ActiveSpec(by="badge", budget=3, rounds=1)
    source = Source("pool", words["train"], Identity(), active=spec)
    signal = LiveTeachers([Teacher(reader(2))], (source,))
    batches = Batches((source,), batch=4, seed=0, steps=30, rank=Ranking(reader(1), signal))
    with pytest.raises(ConfigError, match="by: badge needs one answer per sample, not one per position"):
        batches.at(0)


def test_a_student_without_a_linear_layer_has_no_features(toy):
    source = Source("pool", toy["train"], Identity(), active=ActiveSpec(by="coverage", budget=3, rounds=1))
    student = nn.Sequential(nn.Conv2d(1, 4, 6), nn.Flatten())
    batches = Batches((source,), batch=4, seed=0, steps=30, rank=Ranking(student, None))
    with pytest.raises(ModelError, match="has no penultimate activation"):
        batches.at(0)


@pytest.mark.parametrize(
    ("by", "teachers", "needs"),
    [("badge", 0, "1 teacher"), ("divergence", 0, "1 teacher"), ("disagreement", 1, "2 teachers")],
)
def test_rankings_that_need_more_teachers_are_refused(ranked, by, teachers, needs):
    with pytest.raises(ConfigError, match=f"by: {by} needs {needs}, not {teachers}"):
        ranked(by, teachers=teachers).at(0)
