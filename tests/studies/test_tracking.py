"""State tracking: the study at smoke scale, on whose strings its networks train, are asked and are tested."""

from __future__ import annotations

import torch

from bequest.data.tracking import PADDING
from bequest.evidence.reading import answers_on
from bequest.record_files import read_record, read_records
from bequest.records import RunRecord, Verdict
from bequest.studies import datasets

STUDY = "tracking"
TASKS = {"parity": 2, "counting": 3, "permutations": 6}


def test_it_runs_to_its_end_with_verdicts(smoke_run):
    assert smoke_run.study.status == "complete"
    verdicts = read_records(smoke_run.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 5
    assert "counts modulo 3 over 15 to 30 letters" in smoke_run.study.answer


def test_each_task_is_tested_on_strings_of_its_own(plan):
    for task, states in TASKS.items():
        samples = answers_on(plan.study, "22 letters", arm=f"{task}: lstm").samples
        assert len(torch.unique(samples.y)) == states
        assert (samples.about["length"] == 22).all()


def test_what_is_asked_is_what_the_splits_say(plan):
    for data in (plan.study.data, *plan.study.datasets.values()):
        loaded = datasets.load(data)
        asked = set(loaded["queries"].about["length"].tolist())
        trained = set(loaded["train"].about["length"].tolist())
        for spec in plan.study.splits.values():
            lengths = set(datasets.tested_on(data, spec).about["length"].tolist())
            assert spec.asked == (lengths <= asked | trained)
            assert spec.distance == max(lengths)


def test_teachers_are_asked_for_strings_without_labels_and_the_labelled_control_has_them(smoke_run, plan):
    def sources(arm):
        record = read_record(smoke_run.folder / "cells" / plan.cell(arm, 0).id / "record.json", RunRecord)
        return [(source["of"], source["labels"]) for source in record.config["sources"]]

    assert sources("parity: transformer<-lstm+queries") == [("train", True), ("queries", False)]
    assert sources("parity: transformer+labels") == [("train", True), ("queries", True)]
    assert sources("parity: lstm<-transformer") == [("train", True)]


def test_every_length_has_a_position_in_the_transformer(plan):
    positions = plan.study.models["parity transformer"].options["positions"]
    loaded = datasets.load(plan.study.data)
    assert int((loaded["far"].x != PADDING).sum(1).max()) <= positions
