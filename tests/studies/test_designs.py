"""The studies of designs of queries under benchmarks/designs: what they ask, and one run of the smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

import bequest as bq
from bequest.data.views import ShiftEach
from bequest.evidence.efficiency import Budget
from bequest.record_files import read_records
from bequest.records import Measurement
from bequest.runs.planning import planned
from bequest.studies import datasets

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "designs"
STUDIES = {"mnist": "moved", "agreement": "far"}


@pytest.fixture(scope="module", params=sorted(STUDIES))
def plan(request):
    return planned(FOLDER / f"{request.param}.toml")


def test_they_are_judged_on_fresh_seeds_by_claims_with_a_source(plan):
    study = plan.study
    assert min(plan.seeds) >= 100
    assert len(plan.seeds) >= 3
    assert {"a-third", "a-third-by-a-go-between"} <= {claim.id for claim in study.claims}
    assert all(claim.source and not claim.exploratory for claim in study.claims)


def test_every_line_is_read_against_the_whole_pool_and_random_comes_first(plan):
    budget = plan.study.kind(Budget)
    name, arms = next(iter(budget.lines.items()))
    assert name == "at random"
    assert all(plan.study.queries[plan.study.arms[arm].queries][1].active.by == "random" for arm in arms)
    assert arms[-1] == budget.whole
    assert set(budget.parts) == {0.5, 0.8}
    controls = {plan.arms.control[arm] for arm in budget.arms}
    (control,) = controls  # self-taught on the whole pool
    assert plan.study.arms[control].queries == "whole pool"
    assert plan.study.arms[control].teachers == (plan.study.arms[control].student,)

    study = planned(FOLDER / "mnist.toml").study
    variants = [(each.dx, each.dy) for each in study.splits["moved"].variants]
    assert sorted(variants) == sorted(ShiftEach(pixels=3).every_move)
    (_, pool) = study.queries["whole pool"]
    assert pool.active.budget == 10 * pool.per_class * pool.view_count
    assert pool.view_count == len(variants)


def test_the_pool_of_sentences_is_all_of_them():
    study = planned(FOLDER / "agreement.toml").study
    data = datasets.load(study.data)
    (_, pool) = study.queries["whole pool"]
    assert pool.active.budget == len(data["queries"])
    assert data["queries"].y is None
    attractors = (set(data[name].about["attractors"].tolist()) for name in ("train", "far"))
    assert list(attractors) == [{0, 1}, {2, 3, 4, 5}]


def test_the_smoke_run_of_agreement_is_whole(tmp_path):
    result = bq.run(FOLDER / "agreement.toml", scale="smoke", out=tmp_path / "run", workers=1)
    assert result.failed == ()
    measured = read_records(tmp_path / "run" / "measurements.json", Measurement)
    assert measured
    assert {"random 30"} <= {m.arm for m in measured}
