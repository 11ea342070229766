"""The shortcut: the study at smoke scale, and what its teachers see and its students are shown."""

from __future__ import annotations

import torch

from bequest.data.colour import intensity, tinted
from bequest.record_files import read_record, read_records
from bequest.records import RunRecord, Verdict
from bequest.studies import datasets
from bequest.studies.networks import trained_network

STUDY = "shortcut"


def test_it_runs_to_its_end_with_verdicts(smoke_run):
    assert smoke_run.study.status == "complete"
    verdicts = read_records(smoke_run.folder / "claims.json", Verdict)
    assert len([verdict for verdict in verdicts if verdict.value is not None]) >= 8
    assert "a network that sees no colour" in smoke_run.study.answer


def test_no_hue_changes_an_answer_of_the_blind_teacher_and_hues_change_the_other(smoke_run, plan):
    x = datasets.load(plan.study.data)["test"].x[:50]
    another = tinted(x, torch.full((len(x),), 0.37))
    blind, seeing = (trained_network(smoke_run.folder, plan.cell(arm, 0)).eval() for arm in ("blind", "mlp"))
    assert torch.equal(intensity(x), intensity(another))
    assert torch.equal(blind(x), blind(another))
    assert not torch.allclose(seeing(x), seeing(another), atol=1e-2)


def test_who_learns_from_balanced_colours_sees_no_label_and_no_biased_image(smoke_run, plan):
    for arm in ("mlp<-shortcut, balanced", "mlp<-shortcut, grey"):
        cell = plan.cell(arm, 0)
        record = read_record(smoke_run.folder / "cells" / cell.id / "record.json", RunRecord)
        (source,) = record.config["sources"]
        assert source["labels"] is False
        assert source["views"]["name"] == "recolour"


def test_asked_and_unasked_splits_share_no_colour_and_hold_every_conflicting_digit(plan):
    splits = {
        name: datasets.tested_on(plan.study.data, plan.study.splits[name]) for name in plan.study.splits
    }
    asked, unasked = (set(splits[name].about["shortcut"].tolist()) for name in ("asked", "unasked"))
    assert asked == {0, 1, 2, 3, 4}
    assert unasked == {5, 6, 7, 8, 9}
    ids = torch.cat([splits["asked"].ids, splits["unasked"].ids])
    assert sorted(ids.tolist()) == sorted(splits["conflicting"].ids.tolist())
    assert not splits["conflicting"].about["aligned"].any()
    assert (splits["conflicting"].about["shortcut"] != splits["conflicting"].y).all()
