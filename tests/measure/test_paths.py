from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from bequest.errors import DataError
from bequest.measure import (
    approach,
    checkpoint_epochs,
    cka,
    code_of,
    direction_p_value,
    direction_to,
    path_length,
    path_map,
    procrustes,
    reason_of,
    representation_distances,
    straightness,
)
from bequest.measures import Reason


def apart(points: np.ndarray) -> np.ndarray:
    return squareform(pdist(points))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5000))
def test_checkpoints_double_from_zero_to_the_last(last):
    epochs = checkpoint_epochs(last)
    assert epochs[0] == 0
    assert epochs[-1] == last
    assert list(epochs) == sorted(set(epochs))
    assert all(e == 0 or e == last or e & (e - 1) == 0 for e in epochs)
    assert all(1 << k in epochs for k in range(13) if 1 << k <= last)


def test_distances_are_chords_between_kernels():
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(40, 6)) for _ in range(3)]
    for measure in (cka, procrustes):
        table = representation_distances(xs, measure=measure)
        assert table[0, 2] == pytest.approx(math.sqrt(2 - 2 * measure(xs[0], xs[2])), abs=1e-9)
        assert np.array_equal(table, table.T)
        assert not np.diag(table).any()


def test_cka_distances_are_euclidean():
    """Points in some space: the doubly centred squared distances have no negative eigenvalue."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=(30, 5))
    table = representation_distances(
        [base @ rng.normal(size=(5, 4)) + rng.normal(size=(30, 4)) for _ in range(8)]
    )
    centre = np.eye(8) - 1 / 8
    assert np.linalg.eigvalsh(-0.5 * centre @ table**2 @ centre).min() > -1e-10


def test_an_undefined_representation_is_far_from_nothing():
    table = representation_distances([np.random.default_rng(0).normal(size=(20, 3)), np.ones((20, 3))])
    assert np.isnan(table[0, 1])
    assert np.isnan(table[1, 1])
    with pytest.raises(DataError, match="distances holds NaN"):
        path_map(np.pad(table, (0, 1)))


def test_eleven_equidistant_points_are_no_path():
    """What eleven copies of one set of weights give with dropout left on: every pair equally far apart."""
    found = path_map(np.ones((11, 11)) - np.eye(11), draws=19)
    assert not found.shows_path
    assert found.stress > 0.2
    assert found.p_value == 1
    assert "no path: the map's stress of" in found.reason
    assert "is no lower than chance" in found.reason


def test_nearly_equidistant_points_are_no_path_either():
    rng = np.random.default_rng(0)
    noisy = 0.77 + 0.01 * rng.normal(size=(11, 11))
    table = np.triu(noisy, 1) + np.triu(noisy, 1).T
    found = path_map(table, draws=19)
    assert not found.shows_path
    assert found.stress > 0.2


@pytest.mark.parametrize("count", [8, 11])
def test_a_curve_is_a_path_and_its_map_is_faithful(count):
    t = np.linspace(0, 1, count)
    points = np.stack([t, t**2], axis=1)
    found = path_map(apart(points), draws=29)
    assert found.shows_path
    assert found.reason is None
    assert found.stress < 0.01
    assert found.p_value == pytest.approx(1 / 30)
    assert apart(found.points) == pytest.approx(apart(points), abs=0.03)


def test_stress_is_kruskals_first():
    table = apart(np.random.default_rng(0).normal(size=(9, 30)))
    found = path_map(table, draws=1)
    drawn = pdist(found.points)
    expected = math.sqrt(((drawn - squareform(table)) ** 2).sum() / (drawn**2).sum())
    assert found.stress == pytest.approx(expected, rel=1e-3)


def test_three_points_always_fit_and_the_null_says_so():
    found = path_map(apart(np.random.default_rng(0).normal(size=(3, 5))), draws=19)
    assert found.stress < 0.01
    assert not found.shows_path


def test_maps_are_repeatable_and_identical_checkpoints_have_none():
    table = apart(np.random.default_rng(0).normal(size=(6, 3)))
    assert np.array_equal(path_map(table, draws=3).points, path_map(table, draws=3).points)
    still = path_map(np.zeros((4, 4)))
    assert still.reason == reason_of(still.stress) == "all checkpoints are the same"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_lengths_and_directions_equal_those_of_the_points(seed, count):
    rng = np.random.default_rng(seed)
    points, target = rng.normal(size=(count, 4)), rng.normal(size=4)
    steps, ways = np.diff(points, axis=0), (target - points)[:-1]
    table, to_target = apart(points), np.linalg.norm(points - target, axis=1)
    assert path_length(table) == pytest.approx(np.linalg.norm(steps, axis=1).sum())
    assert straightness(table) == pytest.approx(
        np.linalg.norm(points[-1] - points[0]) / np.linalg.norm(steps, axis=1).sum()
    )
    expected = (steps * ways).sum(1) / np.linalg.norm(steps, axis=1) / np.linalg.norm(ways, axis=1)
    assert direction_to(table, to_target) == pytest.approx(expected, abs=1e-6)
    assert approach(to_target) == pytest.approx(1 - to_target[-1] / to_target[0])
    assert straightness(np.ones((count, count)) - np.eye(count)) == pytest.approx(1 / (count - 1))


def test_no_way_is_undefined():
    assert reason_of(path_length(np.zeros((1, 1)))) == "1 checkpoints; a path needs 2 or more"
    assert reason_of(straightness(np.zeros((1, 1)))) == "1 checkpoints; a path needs 2 or more"
    assert reason_of(straightness(np.zeros((3, 3)))) == "the checkpoints are all the same"
    assert np.isnan(direction_to(np.zeros((2, 2)), np.array([1.0, 1.0]))).all()
    assert reason_of(approach(np.array([0.0, 1.0]))) == "the first checkpoint is the target"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 2)), "distances has the wrong shape"),
        (np.zeros((3, 4)), "distances has the wrong shape"),
        (np.full((3, 3), math.nan), "distances holds NaN"),
        (np.ones((3, 3)), "distances is not a matrix of distances"),
        (np.array([[0.0, 1, 2], [1, 0, 3], [2, 4, 0]]), "distances is not a matrix of distances"),
    ],
)
def test_wrong_distances_are_named(table, message):
    with pytest.raises(DataError, match=message):
        path_map(table)


def test_wrong_targets_and_counts_are_named():
    with pytest.raises(DataError, match="target_distances has the wrong shape"):
        direction_to(np.zeros((3, 3)), np.zeros(2))
    with pytest.raises(DataError, match="target_distances has the wrong shape"):
        approach(np.zeros((2, 2)))
    with pytest.raises(DataError, match="last is too small"):
        checkpoint_epochs(-1)
    with pytest.raises(DataError, match="draws is too small"):
        path_map(np.zeros((3, 3)), draws=0)


def walk(seed, steps=8, dimensions=200, drift=0.0):
    rng = np.random.default_rng(seed)
    moves = rng.normal(size=(steps, dimensions)) / np.sqrt(dimensions)
    moves[:, 0] += drift
    points = np.concatenate([np.zeros((1, dimensions)), np.cumsum(moves, axis=0)])
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def test_a_random_walk_shows_structure_and_no_direction():
    distances = walk(5)
    assert path_map(distances).shows_path
    named = path_map(distances, paths=[range(9)])
    assert not named.shows_path
    assert named.code is Reason.NO_DIRECTION
    assert "random walk" in named.reason


def test_a_directed_path_is_one_among_others():
    distances = walk(0, drift=1.0)
    named = path_map(distances, paths=[range(9)])
    assert named.shows_path
    assert named.directions.tolist() == [direction_p_value(distances)]


@pytest.mark.parametrize("dimensions", [1, 3, 500])
def test_random_walks_have_a_direction_in_5_percent(dimensions):
    p_values = np.array([direction_p_value(walk(seed, 8, dimensions)) for seed in range(400)])
    # 400 walks at .05: the standard error is .011; three of them.
    assert (p_values < 0.05).mean() <= 0.05 + 3 * 0.011
    assert 0.4 < p_values.mean() < 0.6


def test_the_p_value_is_the_share_of_turned_steps_that_end_as_far_away():
    rng = np.random.default_rng(0)
    moves = rng.normal(size=(5, 3)) + 0.5
    points = np.concatenate([np.zeros((1, 3)), np.cumsum(moves, axis=0)])
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    ends = [np.linalg.norm(np.array(s) @ moves) for s in itertools.product((1, -1), repeat=5)]
    assert direction_p_value(distances) == np.mean(np.array(ends) >= ends[0] - 1e-9)


def test_many_steps_are_turned_at_random():
    assert direction_p_value(walk(1, steps=20, drift=1.0), draws=199) == 1 / 200
    assert direction_p_value(walk(1, steps=20), draws=199) > 0.05


def test_no_steps_have_no_direction():
    assert code_of(direction_p_value(np.zeros((2, 2)))) is Reason.TOO_FEW
    assert code_of(direction_p_value(np.zeros((4, 4)))) is Reason.CONSTANT
