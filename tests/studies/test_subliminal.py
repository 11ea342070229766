"""Subliminal learning: the study at smoke scale, and what its arms start with and learn."""

from __future__ import annotations

import pytest
import torch

from bequest.evidence.reading import answers_on
from bequest.models.taps import head_of
from bequest.record_files import read_record, read_records
from bequest.records import RunRecord, Verdict
from bequest.studies import datasets
from bequest.studies.networks import initial_network, trained_network

CLASSES = 10


STUDY = "subliminal"


def test_it_runs_to_its_end_with_verdicts(smoke_run):
    assert smoke_run.study.status == "complete"
    verdicts = read_records(smoke_run.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 8
    assert "Asked about noise alone" in smoke_run.study.answer


@pytest.mark.parametrize(
    ("arm", "moved"),
    [("same start", False), ("learnt head", False), ("cnn, learnt head", False), ("classes", True)],
)
def test_imitation_of_auxiliary_outputs_leaves_the_class_outputs_as_they_started(smoke_run, plan, arm, moved):
    cell = plan.cell(arm, 0)
    before = head_of(initial_network(cell, smoke_run.folder))[1].weight
    after = head_of(trained_network(smoke_run.folder, cell))[1].weight
    assert torch.equal(before[:CLASSES], after[:CLASSES]) is not moved
    assert torch.equal(before[CLASSES:], after[CLASSES:]) is moved


def test_students_never_see_a_digit_or_a_label(smoke_run, plan):
    for cell in plan.cells:
        record = read_record(smoke_run.folder / "cells" / cell.id / "record.json", RunRecord)
        (source,) = record.config["sources"]
        assert ("generate" in source) is bool(set(cell.teachers) - {"memory"})
    assert len({cell.arm for cell in plan.cells}) == 15


def test_pupils_are_tested_on_labels_that_only_their_teacher_ever_saw(plan):
    samples = answers_on(plan.study, "test", arm="pupil, T=20").samples
    unseen = set(samples.ids.tolist())
    for arm in ("memory", "pupil, labels", "pupil, T=1", "pupil, T=20"):
        training = plan.cell(arm, 0).training
        shown = set(datasets.load(training.data)[training.sources[0].of].ids.tolist())
        assert unseen & shown == (unseen if arm == "memory" else set())
