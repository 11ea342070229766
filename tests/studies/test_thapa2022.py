"""Transfer learning under a teacher: the study at smoke scale, its starts, and what it measures."""

from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.data.datasets import load_dataset
from bequest.errors import ConfigError, ModelError
from bequest.models import build_model
from bequest.models.weights import save_weights
from bequest.records import Curve, Measurement, RunRecord, Verdict, read_record, read_records
from bequest.studies.plan import make_plan, read_study, resolve
from bequest.studies.spec import StartSpec
from bequest.studies.starts import begin, source_scores
from bequest.studies.transfer import epochs_to

ARMS = {"teacher", "scratch", "TL", "KD", "TL+KD", "TL+self", "TL+KD degraded", "TL degraded"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The study at smoke scale, in one worker process."""
    return bq.run("thapa2022", scale="smoke", workers=1, out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def measured(finished):
    found = read_records(finished.folder / "measurements.json", Measurement)
    return {(m.measure, m.arm): m for m in found if m.split in (None, "test", "validation", "source")}


def planned(study):
    return make_plan(resolve(study, scale="small"), scale="small")


def records(finished):
    paths = [finished.folder / "cells" / cell.id / "record.json" for cell in finished.study.cells]
    return [read_record(path, RunRecord) for path in paths]


def test_it_runs_to_its_end_with_verdicts(finished):
    assert finished.study.status == "complete"
    assert {arm.name for arm in finished.study.arms} == ARMS
    verdicts = read_records(finished.folder / "claims.json", Verdict)
    assert len([v for v in verdicts if v.value is not None]) >= 8
    assert "right on" in finished.study.answer


def test_all_arms_of_the_target_take_the_same_steps(finished):
    steps = {record.steps for record in records(finished) if record.config.get("task") != "source"}
    assert len(steps) == 1


def test_pretrained_arms_start_from_the_source_at_their_seed(finished):
    cells = {(record.arm, record.seed): record for record in records(finished)}
    for seed in (0, 1):
        assert "head new" in cells["TL", seed].start
        assert cells["scratch", seed].start is None
        assert cells["TL", seed].config["start_digest"] == cells["source student", seed].id
    assert cells["source student", 0].config["data"] == {"name": "digits", "options": {}}


def test_degradation_speed_and_forgetting_are_measured(finished, measured):
    for arm in ARMS:
        assert 0 < measured["corrupted/gaussian_noise", arm].value <= 1
        assert measured["accuracy_left", arm].value > 0
        assert 0 < measured["accuracy_while_training", arm].value < 1
        assert ("epochs_to/0.4", arm) in measured
    assert ("forgetting", "scratch") not in measured
    assert measured["forgetting", "TL"].value > 0
    lost = measured["forgetting", "TL"].value + measured["source_accuracy", "TL"].value
    assert lost == pytest.approx(
        measured["forgetting", "TL+KD"].value + measured["source_accuracy", "TL+KD"].value
    )


def test_the_sweep_counts_images(finished):
    curves = read_records(finished.folder / "curves.json", Curve)
    lines = {c.arm: [p.x for p in c.points] for c in curves if c.chart == "efficiency"}
    assert lines == {"TL": [30, 100], "TL+KD": [30, 100], "teacher": [30, 100]}


def test_degraded_students_differ_from_the_others_by_what_they_see_alone(finished):
    cells = {record.arm: record for record in records(finished) if record.seed == 0}
    one, other = cells["TL+KD"].config, cells["TL+KD degraded"].config
    assert one["sources"][0]["views"] == other["sources"][0]["views"]
    assert other["sources"][0]["student_views"][0]["name"] == "degrade"
    assert {key for key in one if one[key] != other[key]} == {"sources"}


def test_epochs_to_an_accuracy():
    rows = [{"epoch": float(k), "accuracy": a} for k, a in enumerate((0.1, 0.4, 0.3, 0.6))]
    assert epochs_to(rows, 0.4) == 1
    assert epochs_to(rows, 0.5) == 3
    assert epochs_to(rows, 0.7) != epochs_to(rows, 0.7)


def test_forgetting_is_read_under_the_old_head(tmp_path):
    task = load_dataset("digits")
    spec = {"family": "mlp", "options": {"hidden": [8]}}
    source = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[8])
    save_weights(tmp_path / "weights.safetensors", source)
    student = build_model("mlp", (1, 12, 12), 4, seed=1, hidden=[8])
    start = StartSpec(arm="source")
    begin(student, start, tmp_path)
    same = source_scores(student, spec, start, tmp_path, task)
    assert same["before"] == same["after"]
    with torch.no_grad():
        student[3].weight.zero_()  # the new head has no say in it
        assert source_scores(student, spec, start, tmp_path, task) == same
        student[1].weight.zero_()
    changed = source_scores(student, spec, start, tmp_path, task)
    assert changed["after"] != changed["before"] == same["before"]


def test_weights_without_a_head_for_the_source_task_tell_nothing_of_it(tmp_path):
    save_weights(tmp_path / "weights.safetensors", build_model("mlp", (1, 12, 12), 7, seed=0, hidden=[8]))
    student = build_model("mlp", (1, 12, 12), 4, seed=1, hidden=[8])
    spec = {"family": "mlp", "options": {"hidden": [8]}}
    assert source_scores(student, spec, StartSpec(arm="a"), tmp_path, load_dataset("digits")) is None


def test_the_cells_follow_from_the_content_of_the_weights(tmp_path, tiny):
    file = tmp_path / "weights.safetensors"
    tiny["models"]["mlp"]["start"] = {"weights": str(file)}
    save_weights(file, build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[16]))
    first = planned(tiny)
    save_weights(file, build_model("mlp", (1, 12, 12), 10, seed=1, hidden=[16]))
    second = planned(tiny)
    changed = {a.arm for a, b in zip(first.cells, second.cells, strict=True) if a.id != b.id}
    assert changed == {"mlp", "mlp<-mlp", "mlp<-cnn"}


def test_what_is_wrong_with_a_start_is_found_before_anything_runs(tiny):
    tiny["models"]["mlp"]["start"] = {"weights": "none.safetensors"}
    tiny["models"]["cnn"]["start"] = {"arm": "mlp"}
    tiny["arms"]["cnn"]["task"] = "source"
    with pytest.raises(ConfigError) as refused:
        planned(tiny)
    faults = "\n".join(refused.value.faults)
    assert "the weights none.safetensors do not exist" in faults
    assert "the arm mlp is not of the source task" in faults
    assert "there is no [source] to train on" in faults
    with pytest.raises(ConfigError, match="either the arm"):
        StartSpec.parse({}, "start")


def test_small_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    with pytest.raises((ConfigError, ModelError), match="--scale smoke needs none"):
        make_plan(resolve(read_study("thapa2022"), scale="small"), scale="small")
