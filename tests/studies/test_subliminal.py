"""Subliminal learning: the study at smoke scale, and what its arms start with and learn."""

from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.models.taps import head_of
from bequest.records import RunRecord, Verdict, read_record, read_records
from bequest.runs.planning import planned
from bequest.studies.networks import initial_network, trained_network

CLASSES = 10


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The study at smoke scale, in one worker process."""
    return bq.run("subliminal", scale="smoke", workers=1, out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def plan():
    return planned("subliminal", scale="smoke")


def test_it_runs_to_its_end_with_verdicts(finished):
    assert finished.study.status == "complete"
    verdicts = read_records(finished.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 8
    assert "Asked about noise alone" in finished.study.answer


@pytest.mark.parametrize(
    ("arm", "moved"),
    [("same start", False), ("learnt head", False), ("cnn, learnt head", False), ("classes", True)],
)
def test_imitation_of_auxiliary_outputs_leaves_the_class_outputs_as_they_started(finished, plan, arm, moved):
    cell = plan.cell(arm, 0)
    before = head_of(initial_network(cell, finished.folder))[1].weight
    after = head_of(trained_network(finished.folder, cell))[1].weight
    assert torch.equal(before[:CLASSES], after[:CLASSES]) is not moved
    assert torch.equal(before[CLASSES:], after[CLASSES:]) is moved


def test_students_never_see_a_digit_or_a_label(finished, plan):
    for cell in plan.cells:
        record = read_record(finished.folder / "cells" / cell.id / "record.json", RunRecord)
        (source,) = record.config["sources"]
        assert ("generate" in source) is bool(cell.teachers)
    assert len({cell.arm for cell in plan.cells}) == 11
