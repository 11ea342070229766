"""Guidance by layers: the study at smoke scale, and what its guides know and its students are shown."""

from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.records import RunRecord, Verdict, read_record, read_records
from bequest.runs.planning import planned
from bequest.studies.networks import initial_network, trained_network


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The study at smoke scale, in one worker process."""
    return bq.run("guide", scale="smoke", workers=1, out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def plan():
    return planned("guide", scale="smoke")


def weights(network):
    """All parameters in one vector."""
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


def test_it_runs_to_its_end_with_verdicts(finished):
    assert finished.study.status == "complete"
    verdicts = read_records(finished.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 8
    assert "never trained" in finished.study.answer


def test_an_untrained_guide_is_the_network_that_the_trained_one_began_as(finished, plan):
    untrained, trained = plan.cell("cnn untrained", 0), plan.cell("cnn", 0)
    begun = weights(initial_network(trained, finished.folder))
    assert torch.equal(weights(trained_network(finished.folder, untrained)), begun)
    assert not torch.equal(weights(trained_network(finished.folder, trained)), begun)


def test_no_student_begins_as_its_untrained_guide_of_the_same_kind(finished, plan):
    guide, student = plan.cell("mlp untrained", 0), plan.cell("mlp~mlp untrained", 0)
    theirs, own = (weights(initial_network(cell, finished.folder)) for cell in (guide, student))
    assert len(theirs) == len(own)
    assert not torch.equal(theirs, own)


def test_random_features_stay_below_a_head_that_learns(finished, plan):
    cell = plan.cell("cnn random features", 0)
    before = dict(initial_network(cell, finished.folder).named_parameters())
    after = dict(trained_network(finished.folder, cell).named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"11.weight", "11.bias"}


def test_guidance_is_part_of_the_loss_for_the_first_fifth_alone_where_it_is_early(finished, plan):
    spec = plan.study.arms["mlp~cnn, pooled, early"].objective
    steps = 100
    early = [spec.weights[1].value(step, steps) for step in range(steps)]
    assert early == [5.0] * 20 + [0.0] * 80
    record = read_record(
        finished.folder / "cells" / plan.cell("mlp~cnn, pooled", 0).id / "record.json", RunRecord
    )
    assert (
        record.config["sources"]
        == read_record(finished.folder / "cells" / plan.cell("mlp", 0).id / "record.json", RunRecord).config[
            "sources"
        ]
    )
