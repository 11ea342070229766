"""Guidance by layers: the study at smoke scale, and what its guides know and its students are shown."""

from __future__ import annotations

import torch

from bequest.record_files import read_record, read_records
from bequest.records import RunRecord, Verdict
from bequest.studies.networks import initial_network, trained_network

STUDY = "guide"


def weights(network):
    """All parameters in one vector."""
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


def test_it_runs_to_its_end_with_verdicts(smoke_run):
    assert smoke_run.study.status == "complete"
    verdicts = read_records(smoke_run.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 8
    assert "never trained" in smoke_run.study.answer


def test_an_untrained_guide_is_the_network_that_the_trained_one_began_as(smoke_run, plan):
    untrained, trained = plan.cell("cnn untrained", 0), plan.cell("cnn", 0)
    begun = weights(initial_network(trained, smoke_run.folder))
    assert torch.equal(weights(trained_network(smoke_run.folder, untrained)), begun)
    assert not torch.equal(weights(trained_network(smoke_run.folder, trained)), begun)


def test_no_student_begins_as_its_untrained_guide_of_the_same_kind(smoke_run, plan):
    guide, student = plan.cell("mlp untrained", 0), plan.cell("mlp~mlp untrained", 0)
    of_guide, of_student = (weights(initial_network(cell, smoke_run.folder)) for cell in (guide, student))
    assert len(of_guide) == len(of_student)
    assert not torch.equal(of_guide, of_student)


def test_random_features_stay_below_a_head_that_learns(smoke_run, plan):
    cell = plan.cell("cnn random features", 0)
    before = dict(initial_network(cell, smoke_run.folder).named_parameters())
    after = dict(trained_network(smoke_run.folder, cell).named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"11.weight", "11.bias"}


def test_guidance_is_part_of_the_loss_for_the_first_fifth_alone_where_it_is_early(smoke_run, plan):
    spec = plan.study.arms["mlp~cnn, pooled, early"].objective
    steps = 100
    early = [spec.weights[1].value(step, steps) for step in range(steps)]
    assert early == [5.0] * 20 + [0.0] * 80
    record = read_record(
        smoke_run.folder / "cells" / plan.cell("mlp~cnn, pooled", 0).id / "record.json", RunRecord
    )
    assert (
        record.config["sources"]
        == read_record(smoke_run.folder / "cells" / plan.cell("mlp", 0).id / "record.json", RunRecord).config[
            "sources"
        ]
    )
