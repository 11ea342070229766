from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.measure import code_of, inheritance, map_correlation, map_likeness, ring_interval
from bequest.measures import Reason

PLACES = np.indices((9, 9)) - 4
DISTANCE = np.abs(PLACES).max(axis=0)
BOARD = PLACES.sum(axis=0) % 2 - 0.5
FALL = 1.0 - 0.15 * DISTANCE


def noisy(seed, *parts, seeds=4, noise=0.05):
    return sum(parts) + noise * np.random.default_rng(seed).normal(size=(seeds, 9, 9))


def test_it_is_numpys_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 6))
    assert map_correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    holes = np.where(rng.random((5, 6)) < 0.2, np.nan, a)
    here = ~np.isnan(holes)
    assert map_correlation(holes, b) == pytest.approx(np.corrcoef(a[here], b[here])[0, 1])


def test_within_groups_it_is_the_correlation_of_residuals_of_a_regression_on_groups():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 9, 9))
    design = (DISTANCE.ravel()[:, None] == np.arange(5)).astype(float)
    residuals = [m.ravel() - design @ np.linalg.lstsq(design, m.ravel(), rcond=None)[0] for m in (a, b)]
    assert map_correlation(a, b, groups=DISTANCE) == pytest.approx(np.corrcoef(*residuals)[0, 1])


def test_two_maps_that_fall_off_are_alike_until_distance_is_taken_off():
    teacher, other = FALL + 0.1 * BOARD, FALL - 0.1 * BOARD
    assert map_correlation(teacher, other) > 0.8
    assert map_correlation(teacher, other, groups=DISTANCE) < 0


def test_a_student_with_its_teachers_checkerboard_has_its_maps_shape():
    teacher, student = noisy(0, FALL, 0.2 * BOARD), noisy(1, FALL, 0.15 * BOARD)
    control = noisy(2, FALL)
    likeness = map_likeness(student, teacher, control, groups=DISTANCE)
    assert likeness.null.low < 0 < likeness.null.high
    assert likeness.share.low > 0.5
    ceiling = [map_correlation(teacher[k], teacher[(k + 1) % 4], groups=DISTANCE) for k in range(4)]
    assert likeness.ceiling == ring_interval(ceiling)
    own = [map_correlation(s, t, groups=DISTANCE) for s, t in zip(student, teacher, strict=True)]
    null = [map_correlation(c, t, groups=DISTANCE) for c, t in zip(control, teacher, strict=True)]
    assert likeness.share == inheritance(own, null, ceiling)
    assert likeness.value.value == pytest.approx(np.mean(own))
    assert likeness.value.high <= 1


def test_too_little_is_undefined():
    assert code_of(map_correlation(np.ones(2), np.arange(2.0))) is Reason.TOO_FEW
    assert code_of(map_correlation(FALL, BOARD, groups=DISTANCE)) is Reason.CONSTANT
    one = map_likeness(FALL[None], FALL[None], FALL[None])
    assert one.share.code is Reason.ONE_SEED
    assert one.ceiling.code is Reason.NO_SAMPLES


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="maps differ in shape"):
        map_correlation(np.ones((3, 3)), np.ones((3, 4)))
    with pytest.raises(DataError, match="maps differ in shape"):
        map_likeness(np.ones((2, 3, 3)), np.ones((2, 3, 3)), np.ones((3, 3, 3)))
