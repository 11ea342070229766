"""Charts of arms over an amount: of queries that are asked, of samples that are trained on."""

from __future__ import annotations

import numpy as np
import pytest

import bequest as bq
from bequest.data.fractions import fraction
from bequest.errors import ConfigError
from bequest.evidence.efficiency import Budget, Efficiency
from bequest.measure import inheritance
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
    (curve,) = curves("budget")
    (point,) = curve.points
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
    ],
)
def test_faults_are_found_before_anything_runs(study, change, text):
    study["measures"] = change
    with pytest.raises(ConfigError, match=text):
        planned(study)
