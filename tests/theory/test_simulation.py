from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from bequest.theory import Learner, Mixture, compare, finite_size, simulate, simulate_chain
from bequest.theory.comparison import _bias_slope, estimate
from bequest.theory.simulation import draw


def _check():
    path = Path(__file__).parents[2] / "benchmarks" / "theory_check.py"
    spec = importlib.util.spec_from_file_location("theory_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = _check()  # the twelve points whose numbers docs/theory.md shows
POINTS = CHECK.POINTS
CHAINS = {
    "three": [Learner(0.3), Learner(0.2, 0.8, 0.7, 2.0), Learner(0.1, 0.9, 1.0, 1.5)],
    "decisions": [Learner(1.0), Learner(0.5, 0.8, 0.6, target="hard"), Learner(0.3, 1.0, 0.5, 2.0)],
    "square": [Learner(0.3, loss="square"), Learner(0.2, 0.8, 0.7, loss="square")],
    "logits matched": [Learner(0.3), Learner(0.2, 0.8, 0.7, loss="square")],
    "two teachers": [Learner(0.1, 0.6), Learner(5.0, 0.8), Learner(0.3, 0.9, 0.8, 2.0, teachers=(0, 1))],
}


def of(point, **options):
    return simulate(Mixture(*point[:3]), **dict(zip(CHECK.COLUMNS[3:], point[3:], strict=True)), **options)


def deviations(simulation) -> dict[str, float]:
    found = {f"{c.learner}.{c.observable}": c.deviation for c in compare(simulation)}
    assert all(np.isfinite(value) for value in found.values())
    return found


def typical(found: dict[str, float]) -> bool:
    """Deviations of standard normal size: a root mean square near one, none far out."""
    values = np.array(list(found.values()))
    return bool(np.sqrt((values**2).mean()) < 2.0 and np.abs(values).max() < 4.5)


@pytest.mark.parametrize("point", [POINTS[0], POINTS[1], POINTS[11]])
def test_theory_is_the_limit_that_small_simulations_scatter_around(point):
    assert typical(deviations(of(point, inputs=300, seeds=12, samples=3000)))


@pytest.mark.parametrize("name", CHAINS)
def test_so_are_chains(name):
    run = simulate_chain(Mixture(2, 1, 0.3), CHAINS[name], inputs=250, seeds=12, samples=2000)
    assert typical(deviations(run))


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_every_order_parameter_is_within_three_standard_errors_of_a_thousand_inputs(point):
    found = deviations(of(point, inputs=1000, seeds=20))
    assert max(abs(found[name]) for name in CHECK.ORDER) < 3.0, {name: found[name] for name in CHECK.ORDER}


@pytest.mark.slow
def test_fluctuations_fall_like_the_root_and_the_bias_like_the_inverse_of_the_size():
    rows = {f"{row['learner']}.{row['observable']}": row for row in CHECK.scaling(1500)}
    for name in ("0.m", "0.q", "0.b", "1.m", "1.q", "1.b", "1.overlap"):
        assert rows[name]["spread_exponent"] == pytest.approx(-0.5, abs=0.08), rows[name]
    assert rows["1.q"]["bias_exponent"] == pytest.approx(-1.0, abs=0.3), rows["1.q"]


def test_the_exponent_of_a_bias_is_found_and_that_of_noise_is_not():
    inputs, error = np.array([20.0, 40.0, 80.0, 160.0]), np.full(4, 0.001)
    generator = np.random.default_rng(0)
    found = [_bias_slope(inputs, 1.0 / inputs + generator.normal(0, 0.001, 4), error) for _ in range(50)]
    assert np.mean(found) == pytest.approx(-1.0, abs=0.05)
    assert all(np.isnan(_bias_slope(inputs, generator.normal(0, 0.001, 4), error)) for _ in range(50))
    assert np.isnan(_bias_slope(inputs, 1.0 / inputs, np.zeros(4)))


def test_fluctuations_shrink_with_the_size():
    rows = finite_size(Mixture(2, 1, 0.3), [Learner(0.5)], sizes=(40, 160), seeds=60, samples=500)
    spread = {row.observable: row for row in rows}["m"]
    assert spread.slope == pytest.approx(-0.5, abs=0.3)
    assert spread.bias.shape == spread.standard_error.shape == spread.inputs.shape == (2,)


def test_the_number_of_workers_and_of_other_seeds_changes_nothing():
    options = {"inputs": 60, "samples": 200}
    one = of(POINTS[1], seeds=3, workers=1, **options)
    two = of(POINTS[1], seeds=3, workers=3, **options)
    last = of(POINTS[1], seeds=[2], **options)
    for a in (0, 1):
        for name, values in one.measured[a].items():
            assert np.array_equal(values, two.measured[a][name])
            assert values[2] == last.measured[a][name][0]


def test_a_draw_is_the_model():
    data = draw(Mixture(3.0, 0.7, 0.2), 1500, 5)
    x = data.inputs[:, 1:] * np.sqrt(1500)
    assert data.inputs.shape == (4500, 1501)
    assert (data.inputs[:, 0] == 1).all()
    assert (data.signs > 0).sum() == 900
    noise = x - data.signs[:, None] * data.centre / np.sqrt(1500)
    assert noise.var() == pytest.approx(0.7, rel=0.01)
    assert abs(noise.mean()) < 4 * np.sqrt(0.7 / noise.size)


def test_an_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = estimate(generator.normal(3.0, 2.0, size=6))
        hits += found.low <= 3.0 <= found.high
    assert hits / 2000 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 2000))


def test_an_estimate_of_too_little_has_no_interval():
    assert np.isnan(estimate(np.array([1.0])).low)
    assert estimate(np.array([1.0, np.nan, 3.0])).n == 2
    assert np.isnan(estimate(np.array([np.nan])).mean)
