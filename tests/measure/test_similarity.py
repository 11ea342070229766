from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial, stats
from scipy.stats import ortho_group

from bequest.errors import DataError
from bequest.measure import (
    cka,
    cka_matrix,
    cosine_of_cosines,
    procrustes,
    reason_of,
    referenced,
    rsa,
    shuffled_null,
    similarity_matrix,
)

MEASURES = [cka, rsa, cosine_of_cosines, procrustes]


def noise(seed: int, n: int, p: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("between", ["pearson", "cosine"])
@pytest.mark.parametrize("comparison", ["spearman", "pearson", "cosine"])
def test_rsa_equals_scipys_distances_and_correlations(seed, between, comparison):
    x, y = noise(seed, 15, 6) + 0.5, noise(seed + 9, 15, 4) - 0.2
    metric = {"pearson": "correlation", "cosine": "cosine"}[between]
    lists = [1 - spatial.distance.pdist(side, metric) for side in (x, y)]
    expected = {
        "spearman": lambda a, b: stats.spearmanr(a, b).statistic,
        "pearson": lambda a, b: stats.pearsonr(a, b).statistic,
        "cosine": lambda a, b: 1 - spatial.distance.cosine(a, b),
    }[comparison](*lists)
    assert rsa(x, y, between=between, comparison=comparison) == pytest.approx(expected, abs=1e-12)


def test_cosine_of_cosines_equals_its_definition():
    x, y = np.maximum(noise(0, 12, 6), 0) + 0.01, noise(1, 12, 4)
    a, b = (1 - spatial.distance.squareform(spatial.distance.pdist(s, "cosine")) for s in (x, y))
    np.fill_diagonal(a, 1)
    np.fill_diagonal(b, 1)
    expected = np.mean([1 - spatial.distance.cosine(r, s) for r, s in zip(a, b, strict=True)])
    assert cosine_of_cosines(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_procrustes_equals_scipys_disparity(seed):
    x, y = noise(seed, 20, 5), noise(seed + 7, 20, 5)
    y += x
    _, _, disparity = spatial.procrustes(x, y)
    assert procrustes(x, y) == pytest.approx(math.sqrt(1 - disparity), abs=1e-9)


@pytest.mark.parametrize(("n", "p", "q"), [(10, 40, 30), (40, 10, 30), (10, 30, 5)])
def test_procrustes_is_the_best_rotation_whatever_the_shape(n, p, q):
    x, y = noise(0, n, p), noise(1, n, q)
    a, b = (side - side.mean(0) for side in (x, y))
    expected = np.linalg.norm(a.T @ b, ord="nuc") / np.linalg.norm(a) / np.linalg.norm(b)
    assert procrustes(x, y) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(MEASURES))
def test_symmetric_bounded_one_for_the_same_and_blind_to_scale_and_order(seed, measure):
    x, y = noise(seed, 20, 6), noise(seed + 1, 20, 9)
    order = np.random.default_rng(seed).permutation(20)
    value = measure(x, y)
    assert measure(y, x) == pytest.approx(value, abs=1e-12)
    assert measure(x[order], y[order]) == pytest.approx(value, abs=1e-12)
    assert measure(5 * x, y) == pytest.approx(value, abs=1e-12)
    assert measure(x, x) == pytest.approx(1, abs=1e-12)
    assert -1 <= value <= 1


@pytest.mark.parametrize("measure", [cosine_of_cosines, procrustes, cka])
def test_rotations_do_not_matter(measure):
    x, y = noise(0, 20, 6), noise(1, 20, 6)
    turned = x @ ortho_group.rvs(6, random_state=0)
    assert measure(turned, y) == pytest.approx(measure(x, y), abs=1e-10)


def test_matrices_hold_every_pair_and_cka_has_a_faster_one():
    xs = [noise(k, 30, 3 + k) for k in range(3)]
    ys = [xs[0] + noise(7, 30, 3), np.zeros((30, 2))]
    for measure in (cka, procrustes):
        table = similarity_matrix(xs, ys, measure=measure)
        assert table.shape == (3, 2)
        assert table[2, 0] == pytest.approx(measure(xs[2], ys[0]), abs=1e-12)
        assert np.isnan(table[:, 1]).all()
        own = similarity_matrix(xs, measure=measure)
        assert np.allclose(own, own.T)
        assert np.allclose(np.diag(own), 1)
    assert np.array_equal(similarity_matrix(xs), cka_matrix(xs))
    assert cka_matrix([]).shape == (0, 0)
    with pytest.raises(DataError, match="differ in length"):
        cka_matrix([xs[0], xs[1][:20]])


def activations(seed: int, x: torch.Tensor, *, steps: int, labels: torch.Tensor) -> np.ndarray:
    """The hidden layer of a small network, before or after training."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.nn.Linear(10, 32)
    last = torch.nn.Linear(32, 4)
    with torch.no_grad():
        for parameter in (*first.parameters(), *last.parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    optimizer = torch.optim.Adam([*first.parameters(), *last.parameters()], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(last(torch.relu(first(x))), labels).backward()
        optimizer.step()
    return torch.relu(first(x)).detach().numpy() + 1e-6


@pytest.mark.parametrize("measure", MEASURES)
def test_an_untrained_pair_is_the_null_beside_each_similarity(measure):
    x = torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    labels = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    trained = [activations(seed, x, steps=300, labels=labels) for seed in (0, 1, 2)]
    untrained = [activations(seed, x, steps=0, labels=labels) for seed in (0, 1)]
    found = referenced(
        measure, (trained[0], trained[1]), null=tuple(untrained), ceiling=(trained[1], trained[2])
    )
    assert found.null == measure(*untrained)
    assert found.null < found.value
    assert found.rescaled == pytest.approx((found.value - found.null) / (found.ceiling - found.null))
    # Untrained networks see the same inputs: their similarity is not that of unpaired rows.
    assert shuffled_null(measure, *untrained, draws=5).mean() < found.null


def test_without_a_ceiling_nothing_is_rescaled():
    x = noise(0, 30, 3)
    found = referenced(cka, (x, x), null=(x, noise(1, 30, 3)))
    assert reason_of(found.ceiling) == "no ceiling was given"
    assert reason_of(found.rescaled) == "the ceiling does not differ from the null"


@pytest.mark.parametrize(
    ("measure", "x", "reason"),
    [
        (rsa, np.ones((2, 3)), "2 samples; RSA needs 3 or more"),
        (rsa, np.ones((5, 3)), "the features of x are constant in sample 0, which has no direction"),
        (rsa, noise(0, 5, 1), "the features of x are constant in sample 0, which has no direction"),
        (
            cosine_of_cosines,
            np.zeros((5, 3)),
            "the features of x are zero in sample 0, which has no direction",
        ),
        (cosine_of_cosines, np.zeros((0, 3)), "no samples"),
        (procrustes, np.full((5, 3), 0.1), "the features of x are constant"),
        (procrustes, np.zeros((5, 3)), "the features of x are constant"),
        (procrustes, np.zeros((1, 3)), "1 samples; Procrustes needs 2 or more"),
    ],
)
def test_what_has_no_similarity_is_undefined(measure, x, reason):
    assert reason_of(measure(x, noise(1, len(x), 3))) == reason


def test_samples_that_are_equally_alike_have_no_rsa():
    assert reason_of(rsa(np.eye(5), noise(1, 5, 3))) == "the samples of x are all equally similar"


@pytest.mark.parametrize("measure", MEASURES)
def test_wrong_input_is_named(measure):
    x = noise(0, 10, 3)
    with pytest.raises(DataError, match="x and y differ in length"):
        measure(x, x[:9])
    x[0, 0] = math.nan
    with pytest.raises(DataError, match="x holds NaN or infinite numbers"):
        measure(x, noise(0, 10, 3))
    with pytest.raises(DataError, match="draws is too small"):
        shuffled_null(measure, x, x, draws=0)
