"""Transfer learning under a teacher: the study at smoke scale, its starts, and what it measures."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest.record_files import read_record, read_records
from bequest.records import Curve, Measurement, RunRecord, Verdict
from bequest.report import write_report

MEASURED = {"scratch", "TL", "KD", "TL+KD", "TL+KD degraded", "TL degraded"}
ARMS = MEASURED | {"teacher", "twin", "teacher, same images", "TL+self", "TL+twin", "TL+KD, same images"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, one_worker_here_all_along):
    """The study at smoke scale, run in this process."""
    return bq.run("thapa2022", scale="smoke", workers=1, out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def measured(finished):
    found = read_records(finished.folder / "measurements.json", Measurement)
    return {(m.measure, m.arm): m for m in found if m.split in (None, "test", "validation", "source")}


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
        assert (("accuracy_left", arm) in measured) == (arm in MEASURED)
        if arm in MEASURED:
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
    assert lines == {"TL": [30, 60], "TL+KD": [30, 60]}


def test_the_teacher_has_seen_more_images_than_its_student(finished):
    cells = {record.arm: record for record in records(finished) if record.seed == 0}
    per_class = {
        arm: cells[arm].config["sources"][0].get("per_class") for arm in ("teacher", "twin", "TL+KD")
    }
    assert per_class == {"teacher": None, "twin": None, "TL+KD": 6}


def test_degraded_students_differ_from_the_others_by_what_they_see_alone(finished):
    cells = {record.arm: record for record in records(finished) if record.seed == 0}
    one, other = cells["TL+KD"].config, cells["TL+KD degraded"].config
    assert one["sources"][0]["views"] == other["sources"][0]["views"]
    assert other["sources"][0]["student_views"]["name"] == "degrade"
    assert {key for key in one if one[key] != other[key]} == {"sources"}


def test_classes_and_the_images_that_change_are_shown(finished):
    classes = {
        m.layer
        for m in read_records(finished.folder / "measurements.json", Measurement)
        if m.measure == "class_precision"
    }
    assert classes == set(map(str, range(10)))
    curves = read_records(finished.folder / "curves.json", Curve)
    pictures = [p for c in curves if c.kind == "images" for p in c.points]
    page = write_report(finished.folder).read_text()
    assert pictures
    assert page.count('<ul class="gallery">') == 2
    assert all(p.image in page for p in pictures)
