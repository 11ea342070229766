"""How training went, how fast, how long it took, and what of the source task it lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bequest.evidence.training import Forgetting, Seconds, Training, epochs_to
from bequest.measure import reason_of
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder


def rows_of(readings, arm, seed):
    path = cell_folder(readings.root, readings.plan.cell(arm, seed).id).metrics
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_epochs_to_an_accuracy():
    rows = [{"epoch": float(k), "accuracy": a} for k, a in enumerate((0.1, 0.4, 0.3, 0.6))]
    assert epochs_to(rows, 0.4) == 1
    assert epochs_to(rows, 0.5) == 3
    never = epochs_to(rows, 0.7)
    assert np.isnan(never)
    assert reason_of(never) == "an accuracy of 0.7 was not reached"


@pytest.mark.parametrize("arm", ["cnn", "mlp", "mlp<-cnn"])
def test_speed_is_that_of_the_history(readings, measured, arm):
    for seed in (0, 1):
        rows = rows_of(readings, arm, seed)
        after = [row["accuracy"] for row in rows if row["epoch"] > 0]
        mean = measured("accuracy_while_training", arm, split="validation")
        assert mean.per_seed[str(seed)] == pytest.approx(np.mean(after))
        reached = [row["epoch"] for row in rows if row["accuracy"] >= 0.5]
        epochs = measured("epochs_to/0.5", arm, split="validation").per_seed[str(seed)]
        assert epochs == (reached[0] if reached else None)


def test_a_curve_is_the_mean_over_seeds_at_each_epoch(readings, curves):
    (curve,) = curves("training", arm="mlp")
    rows = [rows_of(readings, "mlp", seed) for seed in (0, 1)]
    assert [point.x for point in curve.points] == [0, 1, 2, 3]
    expected = [np.mean([a["accuracy"], b["accuracy"]]) for a, b in zip(*rows, strict=True)]
    assert [point.y for point in curve.points] == pytest.approx(expected)


def test_without_a_level_to_reach_speed_is_not_measured(readings):
    assert list(Training().measurements(readings)) == []


def test_seconds_are_those_of_the_records(readings, measured):
    for seed in (0, 1):
        folder = cell_folder(readings.root, readings.plan.cell("mlp", seed).id)
        durations = read_record(folder.record, RunRecord).durations
        for part in ("training", "preparation"):
            assert measured(f"{part}_seconds", "mlp").per_seed[str(seed)] == durations[part] > 0
    assert not Seconds.always


def test_forgetting_is_asked_of_arms_that_start_from_the_source_task(study):
    assert list(Forgetting().readings(planned(study))) == []
    study["source"] = {"name": "digits"}
    study["models"]["cnn"]["start"] = {"arm": "first"}
    study["models"]["first"] = {"family": "cnn", "options": study["models"]["cnn"]["options"]}
    study["arms"]["first"] = {"student": "first", "task": "source"}
    del study["measures"]["layers"]
    plan = planned(study)
    asked = list(Forgetting().readings(plan))
    assert [cell.id for cell, _ in asked] == [plan.cell("cnn", seed).id for seed in (0, 1)]
    assert {reading.task.name for _, reading in asked} == {"digits"}
