"""Designs of queries against definitions by brute force, and the time for a large pool."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bequest.data.designs import PoolFeatures, badge, coverage, far, highest, moves, stratified
from bequest.errors import DataError


def features(rows=40, width=5, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def radius(x, rows):
    return float(torch.cdist(x.double(), x[rows].double()).min(1).values.max())


def test_highest_takes_the_largest_that_are_not_chosen():
    scores = torch.tensor([3.0, 1.0, 3.0, 2.0])
    assert highest(scores, 3).tolist() == [0, 2, 3]
    assert highest(scores, 2, chosen=torch.tensor([2, 0])).tolist() == [3, 1]


@pytest.mark.parametrize(("samples", "views"), [(6, 3), (6, 4), (5, 5), (7, 3), (4, 1), (1, 4), (9, 6)])
def test_stratified_queries_are_distinct_and_use_views_and_samples_equally(samples, views):
    for count in range(samples * views + 1):
        rows = stratified(samples, views, count, seed=3)
        assert len(set(rows.tolist())) == count
        sample = np.bincount(rows.numpy() % samples, minlength=samples)
        assert sample.max() - sample.min() <= 1
        if count <= np.lcm(samples, views) or count % views == 0:
            view = np.bincount(rows.numpy() // samples, minlength=views)
            assert view.max() - view.min() <= 1
    assert sorted(stratified(samples, views, samples * views, seed=3).tolist()) == list(
        range(samples * views)
    )


def test_stratified_rounds_are_one_design():
    whole = stratified(7, 4, 20, seed=1)
    first = stratified(7, 4, 8, seed=1)
    rest = stratified(7, 4, 12, seed=1, chosen=first)
    assert torch.equal(torch.cat([first, rest]), whole)
    assert not torch.equal(stratified(7, 4, 20, seed=2), whole)


def test_far_queries_are_the_farther_half_spread_evenly():
    moved = torch.rand(6, 20, generator=torch.Generator().manual_seed(0))
    rows = far(moved, 60, seed=2)
    view, sample = rows // 20, rows % 20
    assert bool((moved[view, sample] > moved.sort(0).values[2, sample]).all())
    assert torch.bincount(sample, minlength=20).tolist() == [3] * 20
    whole = far(moved, 120, seed=2)
    assert sorted(whole.tolist()) == list(range(120))
    assert torch.equal(whole[:60], rows)
    assert torch.equal(whole[25:60], far(moved, 35, seed=2, chosen=rows[:25]))
    assert torch.equal(far(torch.ones(1, 5), 5, seed=1), stratified(5, 1, 5, seed=1))


def test_moves_are_distances():
    clean = torch.zeros(3, 1, 2, 2)
    shown = torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert moves(shown, clean).tolist() == [0.0, 2.0, 4.0]


def test_coverage_is_the_farthest_first_traversal():
    x = features()
    rows = coverage(x, 12)
    assert int(rows[0]) == int((x - x.mean(0)).norm(dim=1).argmin())
    for k in range(1, 12):
        away = torch.cdist(x.double(), x[rows[:k]].double()).min(1).values
        assert float(away[rows[k]]) == pytest.approx(float(away.max()), rel=1e-6)


def test_coverage_is_within_twice_the_best_radius():
    from itertools import combinations

    x = features(12, 2, seed=5)
    best = min(radius(x, list(rows)) for rows in combinations(range(12), 3))
    assert radius(x, coverage(x, 3)) <= 2 * best + 1e-9


def test_coverage_goes_on_from_what_was_chosen():
    x = features()
    first = coverage(x, 5)
    assert torch.equal(torch.cat([first, coverage(x, 6, chosen=first)]), coverage(x, 11))
    assert sorted(coverage(torch.zeros(4, 2), 4).tolist()) == [0, 1, 2, 3]


def test_badge_draws_in_proportion_to_squared_distances_of_the_gradients():
    """The chance of the second query against its definition on gradients that are built."""
    residuals, hidden = features(6, 3, seed=1), features(6, 4, seed=2)
    gradients = torch.einsum("nc,nd->ncd", residuals, hidden).flatten(1).double()
    first = int(gradients.norm(dim=1).argmax())
    chance = (gradients - gradients[first]).square().sum(1)
    chance = (chance / chance.sum()).numpy()
    draws = 3000
    seconds = []
    for seed in range(draws):
        rows = badge(residuals, hidden, 2, seed=seed)
        assert int(rows[0]) == first
        seconds.append(int(rows[1]))
    seen = np.bincount(seconds, minlength=6) / draws
    assert np.all(np.abs(seen - chance) <= 4 * np.sqrt(chance * (1 - chance) / draws))


def test_badge_rows_are_distinct_and_seeded():
    residuals, hidden = features(50, 3, seed=1), features(50, 4, seed=2)
    rows = badge(residuals, hidden, 50, seed=0)
    assert sorted(rows.tolist()) == list(range(50))
    assert torch.equal(badge(residuals, hidden, 9, seed=4), badge(residuals, hidden, 9, seed=4))
    later = badge(residuals, hidden, 10, seed=0, chosen=rows[:20])
    assert not set(later.tolist()) & set(rows[:20].tolist())
    same = badge(torch.ones(5, 2), torch.ones(5, 3), 5, seed=0)
    assert sorted(same.tolist()) == [0, 1, 2, 3, 4]


def chances_of_sequences(gradients, count, first):
    """Every order in which k-means++ may draw ``count`` rows after ``first``, with its chance."""
    chances = {}

    def extend(rows, chance):
        if len(rows) == count + 1:
            chances[rows[1:]] = chance
            return
        mass = torch.cdist(gradients, gradients[list(rows)]).square().min(1).values
        mass[list(rows)] = 0
        for row in range(len(gradients)):
            if row not in rows:
                extend((*rows, row), chance * float(mass[row] / mass.sum()))

    extend((first,), 1.0)
    return chances


def test_later_draws_of_badge_have_the_chances_of_k_means():
    """Draws by old distances that are rejected by the new ones: the joint law of four draws."""
    residuals, hidden = features(6, 3, seed=1), features(6, 4, seed=2)
    gradients = torch.einsum("nc,nd->ncd", residuals, hidden).flatten(1).double()
    first = int(gradients.norm(dim=1).argmax())
    chances = chances_of_sequences(gradients, 4, first)
    draws = 4000
    seen = dict.fromkeys(chances, 0)
    for seed in range(draws):
        seen[tuple(badge(residuals, hidden, 5, seed=seed)[1:].tolist())] += 1
    rare = {rows for rows in chances if chances[rows] * draws < 5}
    groups = [[rows] for rows in chances if rows not in rare] + ([list(rare)] if rare else [])
    observed = [sum(seen[rows] for rows in group) for group in groups]
    expected = [draws * sum(chances[rows] for rows in group) for group in groups]
    assert chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_coverage_of_many_rows_is_the_farthest_first_traversal(scale):
    """More rows than are kept as candidates; with scale 0, groups of equal rows too."""
    x = features(2500, 3) if scale else features(2500, 3).sign()
    rows, nearest = coverage(x, 150).tolist(), torch.full((2500,), torch.inf, dtype=torch.float64)
    for row, later in itertools.pairwise(rows):
        nearest = torch.minimum(nearest, (x.double() - x[row].double()).square().sum(1))
        assert float(nearest[later]) == pytest.approx(float(nearest.max()), rel=1e-4, abs=1e-5)
    assert len(set(rows)) == 150


@pytest.mark.parametrize("width", [64, 256])
def test_a_thousand_of_thirty_thousand_take_a_second(width):
    x, residuals = features(30_000, width), features(30_000, 10, seed=1)
    for choose in (lambda: coverage(x, 1000), lambda: badge(residuals, x, 1000, seed=0)):
        begin = time.process_time()
        rows = choose()
        assert time.process_time() - begin < 1
        assert len(set(rows.tolist())) == 1000


@pytest.mark.parametrize(
    "call",
    [
        lambda: highest(torch.zeros(3), 4),
        lambda: stratified(3, 2, 7, seed=0),
        lambda: far(torch.ones(2, 3), 7, seed=0),
        lambda: coverage(features(4), 5),
        lambda: coverage(features(4), 2, chosen=torch.tensor([0, 1, 2])),
        lambda: badge(features(4), features(4), 5, seed=0),
    ],
)
def test_a_budget_beyond_the_pool_is_refused(call):
    with pytest.raises(DataError, match="more queries are asked for than the pool has left"):
        call()


def test_features_that_are_not_numbers_are_refused():
    bad = features(4)
    bad[1, 1] = float("nan")
    with pytest.raises(DataError, match="cannot be spread over such features"):
        coverage(bad, 2)
    with pytest.raises(DataError, match="belong to different queries"):
        badge(features(5), features(4), 2, seed=0)
    assert PoolFeatures(features(2)).residuals is None
