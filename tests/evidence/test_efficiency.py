"""Charts of arms over an amount: of queries that are asked, of samples that are trained on."""

from __future__ import annotations

import numpy as np
import pytest

import bequest as bq
from bequest.data.fractions import fraction
from bequest.errors import ConfigError
from bequest.evidence.efficiency import Budget, Efficiency, _geometric, _queries, _quotient, queries_for
from bequest.measure import Undefined, inheritance, reason_of, seed_interval
from bequest.measures import Reason
from bequest.runs.planning import planned
from bequest.studies.resolving import resolve


def test_points_are_sorted_by_the_samples_that_were_seen(measured, readings, curves):
    train = bq.load_dataset("digits")["train"]
    (curve,) = curves("efficiency")
    part = [readings.predictions("mlp part", seed, "test").correct.mean() for seed in (0, 1)]
    assert [(point.x, point.y) for point in curve.points] == [
        (len(fraction(train, 0.1, seed=0)), pytest.approx(sum(part) / 2)),
        (1297, pytest.approx(measured("accuracy", "mlp", split="test").value)),
    ]
    assert curve.arm == "MLP"


def test_a_gain_is_paired_with_the_control(measured, readings):
    gain = measured("gain/accuracy", "mlp part", split="test")
    for seed in (0, 1):
        part, control = (readings.predictions(arm, seed, "test").correct for arm in ("mlp part", "mlp"))
        assert gain.per_seed[str(seed)] == pytest.approx(part.mean() - control.mean())
    assert not [m for m in measured.all if (m.measure, m.arm) == ("gain/accuracy", "mlp")]  # no control


def test_a_budget_counts_the_queries_for_each_training_sample(measured, readings, curves):
    (curve,) = curves("budget", arm="at random")
    point, whole = curve.points
    assert whole.x > point.x
    share = measured("inheritance_by_budget/accuracy", "asked", split="moved")
    assert (curve.arm, curve.split, point.label) == ("at random", "moved", "asked")
    assert (point.y, point.low, point.high) == (share.value, share.low, share.high)
    asked = [readings.record("asked", seed).asked["cnn"] for seed in (0, 1)]
    assert point.x == pytest.approx(np.mean(asked) / 1297)
    # 200 queries of the pool, and beside them clean images: a pass shows 40 x 32 of the 1,297, each once.
    assert all(200 + 1280 <= count <= 200 + 1297 for count in asked)
    roles = [
        [readings.predictions(arm, seed, "moved").correct.mean() for seed in (0, 1)]
        for arm in ("asked", "mlp<-mlp", "cnn")
    ]
    expected = inheritance(*roles)
    assert share.reason_code == expected.code
    assert share.value is None or share.value == pytest.approx(expected.value)


def test_shares_of_the_whole_pool_are_between_its_control_and_its_arm(measured, readings):
    def agreement(arm, seed):
        answers = [readings.predictions(each, seed, "moved").classes for each in (arm, "cnn")]
        return (answers[0] == answers[1]).mean()

    for arm in ("asked", "mlp<-asked"):
        share = measured("share_of_pool/agreement", arm, split="moved")
        for seed in (0, 1):
            taught, control, whole = (agreement(each, seed) for each in (arm, "mlp<-mlp", "asked all"))
            assert share.per_seed[str(seed)] == pytest.approx((taught - control) / (whole - control))
    assert set(measured("share_of_pool/agreement", "asked all").per_seed.values()) == {1.0}


def test_queries_needed_are_interpolated_at_each_seed(measured):
    share = measured("share_of_pool/agreement", "asked").per_seed
    needed = measured("queries_needed/agreement/0.5", "at random")
    values = [queries_for(0.5, [200, 2594], [share[str(seed)], 1.0]) for seed in (0, 1)]
    for seed, value in enumerate(values):
        kept = needed.per_seed[str(seed)]
        assert kept == pytest.approx(value) or (kept is None and np.isnan(value))
    if np.isnan(values).any():
        assert needed.value is None
        assert "the fewest that were asked" in needed.reason
    else:
        assert needed.value == pytest.approx(np.exp(np.log(values).mean()))
    assert measured("queries_needed/agreement/0.5", "between").reason_code in ("too_few", "not_reached")


def test_queries_of_a_go_between_are_those_about_which_it_asked(readings, curves):
    assert _queries(readings, "asked") == _queries(readings, "mlp<-asked") == 200
    assert _queries(readings, "asked all") == 2594
    (between,) = curves("budget", arm="between")
    (random,) = curves("budget", arm="at random")
    assert between.points[0].x == random.points[0].x


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.1, 0.3, 0.7], (300 * 900) ** 0.5),  # half-way in the logarithm
        ([0.1, 0.5, 0.7], 300),
        ([0.1, 0.6, 0.4], 100 * 3**0.8),  # where it is first reached
        ([0.5, 0.6, 0.7], "0.5 is reached with 100 queries, the fewest"),
        ([0.1, 0.2, 0.3], "0.5 is not reached with 900 queries"),
        ([0.1, float("nan"), 0.7], "a share is undefined"),
    ],
)
def test_queries_for_a_part(shares, expected):
    needed = queries_for(0.5, [100, 300, 900], shares)
    if isinstance(expected, str):
        assert np.isnan(needed)
        assert expected in reason_of(needed)
    else:
        assert needed == pytest.approx(expected)


def test_means_of_queries_are_geometric_with_the_interval_of_the_logarithm():
    needed = _geometric({0: 100.0, 1: 400.0, 2: 200.0}, measure="queries_needed/agreement/0.5", arm="line")
    logs = seed_interval(np.log([100.0, 400.0, 200.0]))
    assert needed.value == pytest.approx(200)
    assert (needed.low, needed.high) == pytest.approx((np.exp(logs.low), np.exp(logs.high)))
    reason = Undefined("0.5 is not reached with 900 queries", Reason.NOT_REACHED)
    lacking = _geometric({0: 100.0, 1: reason}, measure="queries_needed/agreement/0.5", arm="line")
    assert lacking.value is None
    assert (lacking.reason, lacking.reason_code) == (reason.reason, "not_reached")
    assert _quotient(100.0, 400.0) == 0.25
    assert _quotient(reason, 400.0) is reason
    assert _quotient(100.0, reason) is reason


def test_only_the_arms_that_remain_stay_on_the_chart(study):
    measures = resolve(study, arms=["mlp part"])["measures"]
    assert measures["efficiency"]["lines"] == {"MLP": ["mlp part", "mlp"]}  # its control comes with it
    assert resolve(study, arms=["mlp"])["measures"]["efficiency"]["lines"] == {"MLP": ["mlp"]}
    assert "efficiency" not in resolve(study, arms=["cnn"])["measures"]
    assert "budget" not in resolve(study, arms=["mlp"])["measures"]


def test_a_line_without_some_of_its_budgets_would_mislead():
    lines = {"a": ("one", "two"), "b": ("three",)}
    assert Budget(lines=lines).restricted({"one", "three"}) is None
    assert Budget(lines=lines).restricted({"one", "two", "three"}) == Budget(lines=lines)
    assert Efficiency(lines=lines).restricted({"one"}).lines == {"a": ("one",)}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"efficiency": {"split": "tset", "lines": {}}}, "efficiency.split: there is no split 'tset'"),
        ({"efficiency": {"lines": {"a": ["mlp par"]}}}, "did you mean 'mlp part'"),
        ({"efficiency": {"lines": {"a": ["asked"]}}}, "asked needs queries of one source"),
        ({"efficiency": {"lines": {"a": ["mlp part"]}, "line": {}}}, "efficiency.line: unknown key"),
        ({"budget": {"lines": {"a": ["mlp"]}}}, "budget.lines.a: mlp has no active source"),
        ({"budget": {"whole": "asked al"}}, "budget.whole: .* did you mean 'asked all'"),
        ({"budget": {"whole": "mlp<-cnn"}}, "budget.whole: mlp<-cnn has no active source"),
        ({"budget": {"parts": [1.5]}}, "budget.parts"),
    ],
)
def test_faults_are_found_before_anything_runs(study, change, text):
    study["measures"] = change
    with pytest.raises(ConfigError, match=text):
        planned(study)
