"""The study of queries: what it asks, how it counts, and its smoke scale as a whole."""

from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.data.streams import ChosenStream
from bequest.data.views import ShiftEach
from bequest.files import read_json
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.report.folder import read_run
from bequest.runs.cell import _sources
from bequest.runs.planning import planned
from bequest.studies import datasets
from bequest.studies.cell import cell_folder

TRAINING, MOVES = 1297, 24


@pytest.fixture(scope="module")
def plan():
    return planned("queries")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, one_worker_here_all_along):
    """The smoke run: its folder and result."""
    out = tmp_path_factory.mktemp("queries") / "run"
    return out, bq.run("queries", scale="smoke", out=out, workers=1)


def nobody(spec, pool):
    """Ranks nothing: what is tested needs no network."""
    raise AssertionError(spec)


def test_it_is_judged_on_fresh_seeds_by_claims_with_a_source(plan):
    study = plan.study
    assert list(plan.seeds) == [100, 101, 102, 103, 104]
    assert len(study.claims) >= 8
    assert all(claim.source and not claim.exploratory for claim in study.claims)
    assert all("pilot on seeds 0 and 1" in claim.source for claim in study.claims)
    assert all(claim.expected is not None for claim in study.claims)
    assert {claim.margin for claim in study.claims if " most of " in claim.text} == {0.5}


def test_the_split_of_all_moves_is_what_the_pool_holds(plan):
    variants = [(each.dx, each.dy) for each in plan.study.splits["moved"].variants]
    assert sorted(variants) == sorted(ShiftEach(pixels=2).every_move)
    beyond = [(each.dx, each.dy) for each in plan.study.splits["beyond"].variants]
    assert {max(abs(dx), abs(dy)) for dx, dy in beyond} == {3}
    assert len(datasets.tested_on(plan.study.data, plan.study.splits["moved"])) == 350 * MOVES
    (_, pool) = plan.study.queries["whole pool"]
    assert pool.active.budget == TRAINING * MOVES


def test_each_arm_sees_the_digits_and_what_it_asks(plan):
    """Every chosen source can be chosen from, and shows as many queries as it was given."""
    data = datasets.load(plan.study.data)
    for name, queries in plan.study.queries.items():
        assert queries[0].views.name == "identity"
        assert queries[0].active is None
        for index, source in enumerate(queries):
            if source.active is None or source.active.by not in ("random", "stratified"):
                continue
            config = plan.cell("mlp<-cnn", 100).training.model_copy(update={"sources": queries})
            made = _sources(config, data, seed=100, labelled=False)[index]
            stream = ChosenStream(index, made, 32, 100, starts=(0,), rank=nobody)
            stream.draw(0)
            chosen = torch.cat(stream.chosen)
            assert len(chosen.unique()) == source.active.budget, name
            if source.per_class is not None:
                assert len((chosen % len(made.split)).unique()) == 10 * source.per_class, name


def test_the_smoke_run_is_whole(smoke):
    out, result = smoke
    assert result.failed == ()
    assert result.study.status == "complete"
    assert read_run(out).study.name == "queries"
    claims = {claim["id"]: claim for claim in read_json(out / "claims.json")}
    assert {"far-apart-in-gradients", "divergence-wastes", "most"} <= set(claims)


def test_answers_are_counted_whether_used_or_not(smoke):
    """A ranking by divergence asks about the whole pool, a design about what it chose."""
    out, _ = smoke
    plan = planned("queries", scale="smoke")
    asked = {}
    for arm in ("random 300", "badge_clean 300", "divergence 300", "coverage_inputs 300 in noise"):
        record = read_record(cell_folder(out, plan.cell(arm, 0).id).record, RunRecord)
        asked[arm] = record.asked["cnn"]
    digits = asked["random 300"] - 300
    assert 0 < digits <= TRAINING
    assert asked["badge_clean 300"] == asked["coverage_inputs 300 in noise"] == digits + 300
    assert asked["divergence 300"] == digits + TRAINING * MOVES
