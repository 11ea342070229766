"""The study of light teachers: its smoke scale as a whole, its files, its full-size models."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bequest as bq
from bequest.config import to_toml
from bequest.data.fractions import fraction
from bequest.distill.score import predict
from bequest.evidence.readings import Readings
from bequest.files import read_json
from bequest.measure import attention_distance, cka
from bequest.models.taps import activations
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.report.folder import read_run
from bequest.runs.folder import RunFolder
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder
from bequest.studies.datasets import load
from bequest.studies.networks import initial_network
from bequest.studies.resolving import read_study


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, one_worker_here_all_along):
    """The smoke run: its folder, result and measurements."""
    out = tmp_path_factory.mktemp("habib2023") / "run"
    result = bq.run("habib2023", scale="smoke", out=out, workers=1)
    return out, result, read_json(out / "measurements.json")


def found(smoke, measure, arm, **where):
    return [
        m
        for m in smoke[2]
        if (m["measure"], m["arm"]) == (measure, arm) and all(m[k] == v for k, v in where.items())
    ]


def test_every_cell_runs_and_every_claim_of_its_arms_is_measured(smoke):
    out, result, _ = smoke
    assert result.failed == ()
    assert result.study.status == "complete"
    claims = read_json(out / "claims.json")
    assert len(claims) >= 8
    assert all(claim["value"] is not None for claim in claims)
    assert read_run(out).study.name == "habib2023"


def test_stored_answers_teach_what_live_teachers_teach(smoke):
    plan = planned("habib2023", scale="smoke")
    readings = Readings(plan, smoke[0])
    for seed in (0, 1):
        logits = {}
        for arm in ("cit<-cnn&inn", "cit<-cnn&inn live"):
            folder = cell_folder(smoke[0], plan.cell(arm, seed).id)
            logits[arm] = readings.predictions(arm, seed, "test").logits
            modes = {teacher.mode for teacher in read_record(folder.record, RunRecord).teachers}
            assert modes == ({"eval"} if "live" in arm else {"stored"})
        np.testing.assert_allclose(*logits.values(), rtol=1e-3, atol=1e-3)


def test_tokens_are_set_beside_each_teacher(smoke):
    names = {"class token", "convolution token", "involution token"}
    for measure in ("agreement", "error_consistency"):
        for teacher in ("cnn", "inn"):
            tokens = [m for m in found(smoke, measure, "cit<-cnn&inn", teacher=teacher) if m["layer"]]
            assert {m["layer"] for m in tokens} == names
    assert found(smoke, "token_specialisation", "cit<-cnn&inn")
    assert not found(smoke, "token_specialisation", "vit<-cnn+inn")
    readings = Readings(planned("habib2023", scale="smoke"), smoke[0])
    values = []
    for seed in (0, 1):
        own = readings.tokens("cit<-cnn&inn", seed, "test")[:, 2].argmax(1)
        values.append((own == readings.predictions("inn", seed, "test").logits.argmax(1)).mean())
    (told,) = found(smoke, "agreement", "cit<-cnn&inn", teacher="inn", layer="involution token")
    assert list(told["per_seed"].values()) == pytest.approx(values)


def test_layers_locality_corruptions_and_times_are_measured(smoke):
    for mark in ("", "/null", "/ceiling"):
        (m,) = found(smoke, f"layer_cka{mark}", "cit<-cnn&inn", teacher="cnn")
        assert -1 <= m["value"] <= 1
    (mean,) = found(smoke, "attention_distance", "cit")
    (curve,) = [
        c for c in read_json(smoke[0] / "curves.json") if (c["chart"], c["arm"]) == ("attention", "cit")
    ]
    assert [point["x"] for point in curve["points"]] == [1, 2]
    assert mean["value"] == pytest.approx(np.mean([point["y"] for point in curve["points"]]))
    assert 0 < mean["value"] < 4 * 2**0.5
    assert not found(smoke, "attention_distance", "cnn")
    assert found(smoke, "corrupted_accuracy", "cnn")
    assert found(smoke, "training_seconds", "cit")[0]["value"] > 0
    charts = {c["chart"] for c in read_json(smoke[0] / "curves.json")}
    assert {"efficiency", "layers", "attention", "robustness", "training"} <= charts


def test_likeness_over_layers_is_the_mean_of_the_best_and_distances_are_those_of_the_maps(smoke):
    readings = Readings(planned("habib2023", scale="smoke"), smoke[0])
    x = readings.data["test"].x[:500]
    student, teacher = readings.network("cit<-cnn&inn", 1), readings.network("inn", 1)
    first = [a.mean(1) for a in activations(student, x, ["blocks.0", "blocks.1"]).values()]
    second = [a.mean((2, 3)) for a in activations(teacher, x, ["layer1", "layer2"]).values()]
    best = [max(cka(a.numpy(), b.numpy()) for b in second) for a in first]
    (told,) = found(smoke, "layer_cka", "cit<-cnn&inn", teacher="inn")
    assert told["per_seed"]["1"] == pytest.approx(np.mean(best))
    curves = [c for c in read_json(smoke[0] / "curves.json") if c["chart"] == "layers"]
    (curve,) = [c for c in curves if (c["arm"], c["teacher"]) == ("cit<-cnn&inn", "inn")]
    assert [point["label"] for point in curve["points"]] == ["blocks.0", "blocks.1"]
    names = [f"blocks.{k}.attention.weights" for k in (0, 1)]
    weights = activations(student, x[:200], names).values()
    expected = [attention_distance(w.numpy(), (2, 2), patch=4.0).mean() for w in weights]
    (distance,) = found(smoke, "attention_distance", "cit<-cnn&inn")
    assert distance["per_seed"]["1"] == pytest.approx(np.mean(expected))


def test_the_efficiency_chart_counts_samples_and_gains_are_paired(smoke):
    curves = [c for c in read_json(smoke[0] / "curves.json") if c["chart"] == "efficiency"]
    (both,) = [c for c in curves if c["arm"] == "ViT ← CNN"]
    train = bq.load_dataset("digits")["train"]
    assert [p["x"] for p in both["points"]] == [len(fraction(train, 0.25, seed=0)), len(train)]
    (gain,) = found(smoke, "gain/accuracy", "vit<-cnn")
    own, control = (found(smoke, "accuracy", arm)[0]["per_seed"] for arm in ("vit<-cnn", "vit<-vit"))
    assert gain["per_seed"] == pytest.approx({seed: own[seed] - control[seed] for seed in own})


def test_two_starts_are_two_networks_and_untrained_teachers_stay_untrained(smoke):
    plan = planned("habib2023", scale="small")
    assert plan.cell("cnn", 100).id != plan.cell("cnn 2", 100).id
    assert plan.cell("cnn untrained", 100).training.recipe.steps == 0
    smoke_plan = planned("habib2023", scale="smoke")
    x = load(smoke_plan.study.data)["test"].x
    first, second = (predict(initial_network(smoke_plan.cell(arm, 0)), x).numpy() for arm in ("cnn", "cnn 2"))
    assert not np.allclose(first, second)


def test_every_scale_is_without_fault():
    raw = read_study("habib2023")
    assert {"smoke", "small", "paper"} <= set(raw["scales"])
    assert len(raw["claims"]) >= 8
    assert planned("habib2023", scale="small").cells
    assert planned("habib2023", scale="paper").cells


def test_a_folder_of_images_takes_the_place_of_cifar_10(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for kind in "ab":
            (tmp_path / split / kind).mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (20, 20), (60 * k, 0, 0)).save(tmp_path / split / kind / f"{k}.png")
    options = [f"data.options.path={tmp_path}", "data.options.validation=0.25"]
    plan = planned("habib2023", scale="folder", settings=options)
    data = load(plan.study.data)
    assert (data.classes, tuple(data["train"].x.shape[1:])) == (("a", "b"), (3, 16, 16))
    assert {cell.arm for cell in plan.cells} == {
        cell.arm for cell in planned("habib2023", scale="small").cells
    }


def test_a_teacher_of_scale_decide_has_seen_ten_times_the_images_of_its_student():
    plan = planned("habib2023", scale="decide")
    shares = {arm: plan.study.sources_of(arm)[0].fraction for arm in ("cnn", "inn", "cit", "cit<-cnn&inn")}
    assert shares == {"cnn": 1.0, "inn": 1.0, "cit": 0.1, "cit<-cnn&inn": 0.1}


@pytest.mark.slow
def test_fifty_steps_of_the_full_size_models_on_two_ranks(tmp_path):
    """Scale ``paper`` on a few images: DeiT-S in Co-advise's form, RegNetY-4.0 and RedNet-101."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for kind in "abcd":
            folder = tmp_path / "imagenet" / split / kind
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{k}.png")
    raw = read_study("habib2023")
    paper = raw["scales"]["paper"]
    paper["recipe"] |= {"steps": 50, "batch": 4}
    paper["data"]["options"] |= {"validation": 0.2}
    paper["queries"]["views"][0] |= {"view_count": 2}
    paper["measures"] |= {"corruptions": False}
    for name in ("cnn", "inn"):
        paper["models"][name]["recipe"] |= {"steps": 4, "lr": 1e-3}
    (tmp_path / "study.toml").write_text(to_toml(raw), encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = "-m bequest run study.toml --scale paper --arms cit<-cnn&inn --out run"
    environment = {**os.environ, "BEQUEST_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, *command.split()],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [read_record(path, RunRecord) for path in (tmp_path / "run" / "cells").glob("*/record.json")]
    (record,) = (found for found in records if found.arm == "cit<-cnn&inn")
    assert (record.status, record.steps) == ("done", 50), record.error
    assert [teacher.mode for teacher in record.teachers] == ["stored", "stored"]
    folder = cell_folder(tmp_path / "run", record.id)
    _, *looks = map(json.loads, folder.metrics.read_text("utf-8").splitlines())
    assert np.isfinite([look["loss"] for look in looks]).all()
    plan = RunFolder(tmp_path / "run").plan()
    logits = Readings(plan, tmp_path / "run").predictions("cit<-cnn&inn", record.seed, "test").logits
    assert logits.shape == (8, 4)


@pytest.mark.parametrize("scale", ["smoke", "small", "decide", "folder", "paper"])
def test_moved_images_count_as_asked_only_where_an_arm_asks_about_them(scale):
    study = planned("habib2023", scale=scale).study
    asks = any(arm.queries in ("asked", "labelled") for arm in study.arms.values())
    assert study.splits["down"].asked == asks
    assert not study.splits["up"].asked
    assert not study.splits["further"].asked
