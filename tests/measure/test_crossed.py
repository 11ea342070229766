from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from bequest.errors import DataError
from bequest.measure import crossed_inheritance, crossed_interval, inheritance, sample_interval, seed_interval
from bequest.measures import Reason


def table(rng, seeds=5, count=200, *, by_seed=0.0, by_sample=0.0, rest=0.0, mean=0.0):
    a, b = by_seed * rng.normal(size=(seeds, 1)), by_sample * rng.normal(size=(1, count))
    return mean + a + b + rest * rng.normal(size=(seeds, count))


def brute_force_ends(values, level=0.95):
    """The two parts of the variance by loops over seeds and samples, after the module's text."""
    seeds, count = values.shape
    grand = values.mean()
    rows, columns = [values[s].mean() for s in range(seeds)], [values[:, i].mean() for i in range(count)]
    rest = sum(
        (values[s, i] - rows[s] - columns[i] + grand) ** 2 for s in range(seeds) for i in range(count)
    ) / ((seeds - 1) * (count - 1))
    by_seed = sum((row - grand) ** 2 for row in rows) / (seeds - 1) / seeds
    by_sample = max(sum((c - grand) ** 2 for c in columns) / (count - 1) - rest / seeds, 0) / count
    t, z = stats.t.ppf((1 + level) / 2, seeds - 1), stats.norm.ppf((1 + level) / 2)
    total = by_seed + by_sample
    freedom = total**2 / (by_seed**2 / (seeds - 1) + by_sample**2 / (count - 1))
    satterthwaite = stats.t.ppf((1 + level) / 2, freedom) * math.sqrt(total)
    narrow = 0.5 * min(1.0, (1 - level) / 0.05)
    half = (1 - narrow) * math.sqrt(t**2 * by_seed + z**2 * by_sample) + narrow * satterthwaite
    return grand - half, grand + half


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.9975])
@pytest.mark.parametrize("seed", range(3))
def test_ends_equal_those_of_loops_over_seeds_and_samples(seed, level):
    rng = np.random.default_rng(seed)
    values = table(rng, 4, 23, by_seed=rng.random(), by_sample=rng.random(), rest=1)
    estimate = crossed_interval(values, level=level)
    assert (estimate.low, estimate.high) == pytest.approx(brute_force_ends(values, level), rel=1e-10)
    assert (estimate.n, estimate.reason) == (4, None)


def test_variance_of_seeds_alone_gives_the_seed_interval_and_of_samples_alone_the_normal_one():
    rng = np.random.default_rng(0)
    seeds_only = table(rng, by_seed=1)
    crossed, plain = crossed_interval(seeds_only), seed_interval(seeds_only.mean(axis=1))
    assert (crossed.low, crossed.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    samples_only = table(rng, by_sample=1)
    over_samples = sample_interval(samples_only[0], method="t")
    crossed = crossed_interval(samples_only)
    # Half of it is normal and half Student's t with 199 degrees of freedom.
    assert (crossed.low, crossed.high) == pytest.approx((over_samples.low, over_samples.high), abs=1e-3)


@pytest.mark.parametrize(("by_seed", "by_sample"), [(0.3, 0.0), (0.0, 3.0), (0.1, 1.5)])
def test_it_covers_where_the_seed_interval_does_not(by_seed, by_sample):
    rng = np.random.default_rng(0)
    crossed = alone = 0
    for _ in range(400):
        values = table(rng, 3, 100, by_seed=by_seed, by_sample=by_sample, rest=1)
        estimate, over_seeds = crossed_interval(values), seed_interval(values.mean(axis=1))
        crossed += estimate.low <= 0 <= estimate.high
        alone += over_seeds.low <= 0 <= over_seeds.high
    # 400 draws at .95: the standard error is .0109; three of them.
    assert crossed / 400 + 3 * 0.0109 >= 0.93
    assert crossed / 400 <= 0.97 + 3 * 0.0109
    if by_sample > 1:
        assert alone / 400 < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_the_ratios_ends_are_where_the_crossed_interval_begins_to_exclude_0(seed):
    rng = np.random.default_rng(seed)
    control = table(rng, by_seed=0.1, by_sample=0.2, rest=0.3)
    teacher = control + table(rng, by_seed=0.1, by_sample=0.5, rest=0.3, mean=1)
    taught = control + 0.6 * (teacher - control) + table(rng, by_seed=0.1, by_sample=0.4, rest=0.3)
    estimate = crossed_inheritance(taught, control, teacher)
    assert estimate.value == pytest.approx((taught - control).mean() / (teacher - control).mean())

    def beyond(ratio):
        e = crossed_interval(taught - control - ratio * (teacher - control))
        return max(e.low, -e.high)  # 0 at the ends

    low = optimize.brentq(beyond, estimate.value - 2, estimate.value, xtol=1e-12)
    high = optimize.brentq(beyond, estimate.value, estimate.value + 2, xtol=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-6)


def test_without_variance_between_samples_the_ratio_is_fiellers():
    rng = np.random.default_rng(1)
    control = table(rng, by_seed=0.05)
    teacher = control + table(rng, by_seed=0.05, mean=1)
    taught = control + table(rng, by_seed=0.05, mean=0.4)
    crossed = crossed_inheritance(taught, control, teacher)
    plain = inheritance(*(side.mean(axis=1) for side in (taught, control, teacher)))
    assert (crossed.low, crossed.high) == pytest.approx((plain.low, plain.high), abs=1e-7)


def test_a_gap_that_other_samples_may_not_show_is_undefined():
    rng = np.random.default_rng(0)
    control = table(rng, 5, 20, by_seed=0.01)
    teacher = control + table(rng, 5, 20, by_sample=1, rest=0.01) + 0.2
    estimate = crossed_inheritance(teacher, control, teacher)
    assert estimate.code is Reason.NO_GAP
    assert "over 5 seeds and 20 samples" in estimate.reason
    assert inheritance(*(side.mean(axis=1) for side in (teacher, control, teacher))).value == 1


@pytest.mark.parametrize(
    ("shape", "code"),
    [((0, 5), "NO_SAMPLES"), ((3, 0), "NO_SAMPLES"), ((1, 5), "ONE_SEED"), ((3, 1), "TOO_FEW")],
)
def test_too_little_of_either_has_no_interval(shape, code):
    values = np.ones(shape)
    assert crossed_interval(values).code is Reason[code]
    assert crossed_inheritance(values, values, values).code is Reason[code]


@pytest.mark.parametrize("seed", range(20))
def test_intervals_of_higher_level_contain_those_of_lower_level(seed):
    rng = np.random.default_rng(seed)
    values = table(rng, 3, 30, by_seed=rng.random(), by_sample=3 * rng.random(), rest=1)
    levels = [0.3, 0.8, 0.94, 0.95, 0.951, 0.97, 0.99, 0.999, 1 - 1e-6]
    widths = [
        estimate.high - estimate.low for estimate in (crossed_interval(values, level=k) for k in levels)
    ]
    assert (np.diff(widths) > 0).all()


def test_far_out_in_the_tail_it_errs_no_more_often_than_it_says():
    """A family of claims is judged there; half of Satterthwaite's interval erred 1.5 times as often."""
    rng, error, draws = np.random.default_rng(0), 0.01, 4000
    misses = 0
    for _ in range(draws):
        values = table(rng, 3, 40, by_seed=0.2, rest=1)
        estimate = crossed_interval(values, level=1 - error)
        misses += not estimate.low <= 0 <= estimate.high
    assert misses / draws <= error + 2 * math.sqrt(error / draws)


def test_seeds_that_differ_by_less_than_rounding_are_not_taken_for_sure():
    """Three differences of two steps of 1/100 each: the seeds are equal, and so are those of two others."""
    values = np.zeros((3, 100))
    for s in range(3):
        values[s, 2 * s : 2 * s + 2] = 1
    step = 0.01
    unrounded = crossed_interval(values, level=0.99)
    assert unrounded.low == unrounded.high == 0.02
    rounded = crossed_interval(values, level=0.99, resolution=step)
    least = stats.t.ppf(0.995, 2) * step / math.sqrt(6 * 3)
    assert (rounded.low, rounded.high) == pytest.approx((0.02 - least, 0.02 + least))
    assert rounded.low < 0
    assert rounded.code is Reason.AT_RESOLUTION
    far_apart = table(np.random.default_rng(0), 3, 100, by_seed=1, rest=1)
    assert crossed_interval(far_apart, resolution=step) == crossed_interval(far_apart)


def test_a_gap_of_rounding_has_no_share():
    control, teacher = np.zeros((3, 100)), np.zeros((3, 100))
    for s in range(3):
        teacher[s, 2 * s : 2 * s + 2] = 1
    assert crossed_inheritance(teacher, control, teacher, level=0.99, resolution=0.01).code is Reason.NO_GAP


def test_equal_values_have_no_width():
    estimate = crossed_interval(np.ones((3, 4)))
    assert (estimate.low, estimate.high, estimate.code) == (1, 1, Reason.NO_WIDTH)


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="taught, control and teacher differ in shape"):
        crossed_inheritance(np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(DataError, match="values has the wrong shape"):
        crossed_interval(np.ones(4))


def test_a_gap_that_excludes_zero_alone_and_not_beside_the_gain_has_no_ratio():
    # Covariances are made positive for gain and gap together, which can widen the gap's: the search for the
    # ends of the ratio would find none.
    taught = np.array([[0.10, -0.18, -0.08], [-0.60, 1.24, -0.29]])
    control = np.array([[-0.46, -0.33, -0.27], [-1.69, 1.61, -0.64]])
    teacher = np.array([[1.36, 1.10, 1.00], [2.95, 0.07, 1.31]])
    assert crossed_interval(teacher - control).excludes_zero
    share = crossed_inheritance(taught, control, teacher)
    assert share.code is Reason.NO_GAP
    assert np.isnan([share.value, share.low, share.high]).all()
