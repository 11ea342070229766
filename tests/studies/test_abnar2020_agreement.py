"""The agreement study at scale smoke: complete, and right where the original went wrong."""

from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.data.grammar import Grammar, sentences
from bequest.data.linzen import COLUMNS, FILE
from bequest.distill.objectives import KD, kd
from bequest.evidence.readings import Readings
from bequest.files import read_json
from bequest.measure import cka, expected_calibration_error, mean_confidence_gap
from bequest.models.catalogue import build_model, parameter_count
from bequest.models.taps import PENULTIMATE, tapped
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.report.page import write_report
from bequest.runs.cell import run_cell
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder

STUDY = "abnar2020-agreement"
WORDS = 10_030
PUBLISHED = {
    "lstm": 3.62e6,
    "transformer": 2.61e6,
    "transformer-seq": 2.61e6,
    "utransformer-seq": 3.62e6,
    "lstm-lm": 28.1e6,
    "small-lstm-lm": 9.6e6,
    "transformer-lm": 24.6e6,
    "small-transformer-lm": 7.6e6,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory, one_worker_here_all_along):
    """A run at scale smoke, with its page."""
    folder = tmp_path_factory.mktemp("agreement") / "run"
    result = bq.run(STUDY, scale="smoke", out=folder, workers=1)
    assert result.study.status == "complete"
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def readings(root):
    return Readings(planned(STUDY, scale="smoke"), root)


def measured(root, **where):
    found = read_json(root / "measurements.json")
    return [m for m in found if all(m[key] == value for key, value in where.items())]


def test_both_forms_are_measured_alike_and_the_page_is_whole(root):
    for arm in ("lstm", "transformer", "lstm-lm", "transformer-lm<-lstm-lm"):
        for name in ("accuracy", "a_accuracy", "d_accuracy", "balanced_accuracy", "ece"):
            (found,) = measured(root, measure=name, arm=arm, split="graded")
            assert found["n"] == 2
            assert found["value"] is not None
    assert {m["arm"] for m in measured(root, measure="perplexity")} == {
        "lstm-lm",
        "transformer-lm",
        "transformer-lm<-lstm-lm",
    }
    charts = {curve["chart"] for curve in read_json(root / "curves.json")}
    assert {"attractors", "distance", "path", "barrier", "barrier_after_matching"} <= charts
    assert len((root / "report.html").read_text()) > 100_000


def test_claims_carry_the_papers_number_and_our_interval(root):
    claims = read_json(root / "claims.json")
    assert len([c for c in claims if c["published"] is not None]) >= 10
    assert all(c["source"] for c in claims)
    assert all(c["low"] is not None or c["reason"] for c in claims)


def test_a_accuracy_is_the_unweighted_mean_over_counts_of_attractors(root, readings):
    (found,) = measured(root, measure="a_accuracy", arm="transformer", split="graded")
    look = readings.predictions("transformer", 0, "graded")
    pure = look.about["attractors"] == look.about["intervening"]
    by_count = [look.correct[pure & (look.about["attractors"] == k)].mean() for k in range(5)]
    assert found["per_seed"]["0"] == pytest.approx(np.mean(by_count))


def test_teachers_are_asked_in_eval_mode_and_the_noisy_one_is_recorded_as_such(root, readings):
    for cell in readings.plan.cells:
        for teacher in read_record(cell_folder(root, cell.id).record, RunRecord).teachers:
            assert teacher.mode == ("noisy" if "noisy" in cell.arm else "eval")
            assert teacher.digest_before == teacher.digest_after


def test_the_temperature_is_one_where_the_factors_t2_and_its_inverse_agree(readings):
    for cell in readings.plan.cells:
        if cell.teachers:
            assert cell.training.objective == KD(temperature=1.0)
    student, teacher = torch.randn(5, 2), torch.randn(5, 2)
    soft = kd(student / 3, teacher / 3, temperature=1.0)
    assert torch.allclose(kd(student, teacher, temperature=3.0), 9 * soft)


def test_a_million_bins_are_the_confidence_gap_and_no_calibration_error(root, readings):
    look = readings.predictions("lstm", 0, "graded")
    many = expected_calibration_error(look.probs, look.labels, bins=1_000_000)
    gap = mean_confidence_gap(look.probs, look.labels)
    assert many == pytest.approx(gap, abs=1e-3)
    (shown,) = measured(root, measure="confidence_gap", arm="lstm", split="graded")
    assert shown["per_seed"]["0"] == pytest.approx(gap)
    (fifteen,) = measured(root, measure="ece", arm="lstm", split="graded")
    assert fifteen["per_seed"]["0"] < many


def test_snapshots_are_of_the_training_and_not_copies_of_one_set_of_weights(root, readings):
    taken = readings.snapshots("transformer", 0)
    assert len(taken) >= 3
    states = list(taken.values())
    assert all(not np.allclose(one, other) for one, other in pairwise(states))
    curve = next(c for c in read_json(root / "curves.json") if c["chart"] == "path")
    assert "stress" in curve["note"]
    assert "null" in curve["note"]


def test_the_barrier_of_language_models_is_of_their_own_words(root):
    """The ends of the line are the networks themselves, whose loss a word is the log of the perplexity."""
    (perplexity,) = measured(root, measure="perplexity", arm="lstm-lm")
    ends = np.mean(np.log(list(perplexity["per_seed"].values())))
    lines = [c for c in read_json(root / "curves.json") if c["arm"] == "lstm-lm" and "barrier" in c["chart"]]
    assert {line["chart"] for line in lines} == {"barrier", "barrier_after_matching"}
    for line in lines:  # the two seeds are each other's neighbours
        assert line["points"][0]["y"] == pytest.approx(ends, rel=1e-4)
        assert line["points"][-1]["y"] == pytest.approx(ends, rel=1e-4)
    (plain, matched) = (measured(root, measure=f"barrier{end}", arm="lstm-lm") for end in ("", "/matched"))
    assert plain[0]["per_seed"] != matched[0]["per_seed"]


def test_a_network_is_itself_in_eval_mode_and_another_one_under_dropout(readings):
    network, x = readings.network("transformer", 0), readings.data["test"].x
    states = []
    for training in (False, False, True, True):
        network.train(training)
        with torch.no_grad(), torch.random.fork_rng(), tapped(network, [PENULTIMATE]) as caught:
            torch.manual_seed(len(states))
            network(x)
            states.append(caught[PENULTIMATE].numpy())
    assert cka(states[0], states[1]) == pytest.approx(1.0)
    assert cka(states[2], states[3]) < 0.999


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_one_schedule_for_plain_self_and_cross_and_selection_on_validation(scale):
    plan = planned(STUDY, scale=scale)
    recipes = {}
    for cell in plan.cells:
        student = plan.study.arms[cell.arm].student
        recipes.setdefault(student, cell.training.recipe)
        assert cell.training.recipe == recipes[student]
        assert cell.training.recipe.select in ("last", "accuracy", "nll")
    classifiers = [recipes[name] for name in ("lstm", "utransformer-seq", "transformer-seq", "transformer")]
    assert all(recipe == classifiers[0] for recipe in classifiers)


def test_every_pair_is_there_in_two_protocols():
    study = planned(STUDY, scale="small").study
    forms = [["lstm", "utransformer-seq", "transformer-seq", "transformer"], ["lstm-lm", "transformer-lm"]]
    for form in forms:
        for student in form:
            assert study.arms[student].teachers == ()
            for teacher in form:
                assert study.arms[f"{student}<-{teacher}"].queries is None
                if {student, teacher} <= {"lstm", "transformer", "lstm-lm", "transformer-lm"}:
                    assert study.arms[f"{student}<-{teacher}+queries"].queries == "asked"
    assert planned(STUDY).arms.control["transformer<-lstm+queries"] == "transformer<-transformer+queries"


def test_a_missing_checkpoint_fails_the_cell_instead_of_scoring_random_weights(root, readings, tmp_path):
    plan = readings.plan
    taught = plan.cell("transformer<-lstm", 0)
    shutil.copytree(root / "cells" / taught.teachers["lstm"], tmp_path / "cells" / taught.teachers["lstm"])
    cell_folder(tmp_path, taught.teachers["lstm"]).weights.unlink()
    record = run_cell(plan, taught, tmp_path)
    assert record.status == "failed"
    assert "cannot be read as safetensors" in (record.error or "")
    assert not cell_folder(tmp_path, taught.id).weights.exists()


def test_the_papers_models_have_the_papers_sizes():
    models = planned(STUDY, scale="paper").study.models
    for name, count in PUBLISHED.items():
        given = {"vocabulary": WORDS} if models[name].data is None else {}
        with torch.device("meta"):
            network = build_model(
                models[name].family, (51,), WORDS if not given else 2, seed=0, **given, **models[name].options
            )
        assert parameter_count(network) == pytest.approx(count, rel=0.01)


def published_file(folder, lines=60_000):
    """A file like Linzen's with about ten thousand words: sentences of the grammar behind rarer words."""
    chance = np.random.default_rng(0)
    fillers = chance.integers(0, 10_000, (lines, 5))
    with (folder / FILE).open("w") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for row, s in zip(fillers, sentences(Grammar((0, 4)), lines, seed=0, name="paper"), strict=True):
            words = [*(f"w{k}" for k in row), *s.words]
            known = {
                "sentence": " ".join(words),
                "verb_pos": ("VBZ", "VBP")[s.number],
                "verb_index": s.verb + 6,
                "n_intervening": s.intervening,
                "n_diff_intervening": s.attractors,
                "distance": s.distance,
            }
            file.write("\t".join(str(known.get(name, "_")) for name in COLUMNS) + "\n")


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    published_file(folder)
    size = ["probe=100", "queries=500", "most=300", f"root='{folder}'"]
    steps = ["recipe.steps=50", *(f"models.{name}.recipe.steps=50" for name in PUBLISHED)]
    settings = [f"{data}.options.{each}" for data in ("data", "datasets.language") for each in size]
    return planned(STUDY, scale="paper", seeds=1, settings=[*settings, *steps]), folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_one_cell_of_each_model_runs_fifty_steps_at_full_size(paper, name):
    plan, folder = paper
    record = run_cell(plan, plan.cell(name, 0), folder)
    assert record.status == "done", record.error
    assert record.steps == 50
    assert record.parameters == pytest.approx(PUBLISHED[name], rel=0.06)
    assert record.last["nll"] < np.log(2 if plan.study.models[name].data is None else WORDS) + 0.1
