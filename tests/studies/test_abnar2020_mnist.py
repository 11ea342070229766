"""The vision half of Abnar et al. 2020: a whole run at scale smoke, and what the original got wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.data.idx import idx_bytes
from bequest.data.sources import MNIST_FILES
from bequest.data.views import Identity
from bequest.distill.objectives import kd
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.errors import DataError
from bequest.evidence.readings import Readings
from bequest.files import read_json
from bequest.measure import (
    expected_calibration_error,
    mean_confidence_gap,
    path_map,
    representation_distances,
)
from bequest.models import build_model
from bequest.models.taps import PENULTIMATE, activations
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.report import write_report
from bequest.runs.cell import run_cell
from bequest.runs.folder import RunFolder
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, state_of
from bequest.runs.work import Workbench
from bequest.studies.cell import cell_folder
from bequest.studies.cost import study_cost

NAME = "abnar2020-mnist"
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory, one_worker_here_all_along):
    """One run at scale smoke, which needs no MNIST; its folder, plan and measurements by name."""
    folder = tmp_path_factory.mktemp("abnar") / "run"
    result = bq.run(NAME, scale="smoke", out=folder, workers=1)
    assert result.failed == ()
    assert result.study.status == "complete"
    found = {}
    for m in read_json(folder / "measurements.json"):
        found[m["measure"], m["arm"], m["teacher"], m["split"]] = m
    return folder, RunFolder(folder).plan(), found


def plan_at(scale, **options):
    return planned(NAME, scale=scale, **options)


def published(kind):
    """The networks of the paper, at full size."""
    study = plan_at("paper").study
    model = study.models[kind]
    return build_model(model.family, (1, 28, 28), 10, seed=0, **model.options)


def test_smoke_judges_every_claim_and_draws_the_page(smoke):
    folder, plan, _ = smoke
    verdicts = read_json(folder / "claims.json")
    assert [v["id"] for v in verdicts] == [claim.id for claim in plan.study.claims]
    assert all(v["reason"] != "not measured" for v in verdicts)
    page = write_report(folder).read_text()
    for part in ("Taught by the CNN on the training images alone", "smoke", "MLP ← CNN, online, views"):
        assert part in page


def test_what_the_study_promises_is_measured(smoke):
    _, plan, found = smoke
    splits = {split for _, arm, _, split in found if arm == "mlp<-cnn"}
    assert splits >= {*plan.study.splits, "mnist_c"}
    assert len(plan.study.measures.groups["mnist_c"]) == 15
    for measure in ("accuracy", "ece", "ece_mass", "confidence_gap"):
        assert (measure, "mlp<-cnn online+views", None, "fog") in found
    for measure in (
        "error_consistency",
        "error_consistency/other_teacher",
        "agreement",
        "cka",
        "rsa",
        "cka/null",
    ):
        assert (measure, "mlp<-cnn", "cnn", "test") in found
    for pair in (("mlp<-cnn", "mlp<-cnn"), ("mlp<-cnn", "mlp<-mlp")):
        assert ("barrier", *pair, "test") in found
        assert ("barrier/matched", *pair, "test") in found
    assert ("path_approach", "mlp<-cnn", "cnn", "test") in found
    assert ("inheritance/accuracy", "cnn<-mlp online+views", "mlp", "translated") in found


def test_a_group_is_the_mean_over_its_splits(smoke):
    _, plan, found = smoke
    for seed in ("0", "1"):
        parts = [
            found["accuracy", "cnn", None, split]["per_seed"][seed]
            for split in plan.study.measures.groups["mnist_c"]
        ]
        assert found["accuracy", "cnn", None, "mnist_c"]["per_seed"][seed] == pytest.approx(np.mean(parts))


def test_own_minus_other_is_the_difference_of_both(smoke):
    _, _, found = smoke
    own, other, gap = (
        found[f"error_consistency{end}", "mlp<-cnn", "cnn", "scaled"]["per_seed"]
        for end in ("", "/other_teacher", "/own_minus_other")
    )
    for seed in ("0", "1"):
        assert gap[seed] == pytest.approx(own[seed] - other[seed])


def test_every_pair_is_there_in_both_protocols_and_both_modes():
    plan = plan_at("small")
    study = plan.study
    for student in ("cnn", "mlp"):
        for teacher in ("cnn", "mlp"):
            for mode, queries in ((m, q) for m in ("eval", "online") for q in (None, "views")):
                arms = [
                    arm
                    for arm in study.arms.values()
                    if (arm.student, arm.teachers, arm.mode, arm.queries)
                    == (student, (teacher,), mode, queries)
                ]
                assert arms
    assert all(not source.labels for source in study.queries["views"] if source.views != Identity())
    for name in ("mlp<-cnn", "mlp<-cnn+views", "mlp<-cnn online", "mlp<-cnn online+views"):
        assert plan.arms.control[name] == name.replace("cnn", "mlp")
    assert len(study.claims) >= 10
    assert sum(claim.published is not None for claim in study.claims) >= 10


# What the original got wrong. 1: teachers that answered in training mode.


def test_teachers_answer_in_eval_mode_and_a_noisy_one_only_by_name(smoke):
    folder, plan, _ = smoke
    modes = {}
    for cell in plan.cells:
        record = read_record(cell_folder(folder, cell.id).record, RunRecord)
        modes[cell.arm] = {teacher.mode for teacher in record.teachers}
    assert modes["mlp<-cnn"] == {"eval"}
    assert modes["mlp<-cnn noisy"] == {"noisy"}
    assert modes["mlp<-cnn online"] == {"online"}


def test_the_noise_of_a_teacher_in_training_mode_is_not_small():
    """With dropout and batch statistics its answers differ from call to call; in eval mode they do not."""
    x = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    teacher = published("mlp")
    with Teacher(teacher) as calm:
        assert torch.equal(calm(x), calm(x))
    with Teacher(teacher, mode="noisy") as noisy:
        first, second = noisy(x), noisy(x)
        assert float((first - second).norm() / (first - first.mean(0)).norm()) > 0.1


# 2: the divergence times 1/T² instead of T².


def test_the_two_scalings_of_the_loss_differ_by_the_fourth_power_of_the_temperature():
    study = plan_at("small").study
    objective = study.arms["mlp<-cnn 1/T²"].objective
    ((term,), (weight,)) = objective.terms, objective.weights
    temperature = term.temperature
    assert weight == pytest.approx(temperature**-4)
    student, teacher = torch.from_numpy(RNG.normal(size=(2, 8, 10)))
    softened = [torch.log_softmax(z / temperature, -1) for z in (student, teacher)]
    divergence = torch.nn.functional.kl_div(*softened, reduction="batchmean", log_target=True)
    assert float(kd(student, teacher, temperature=temperature)) == pytest.approx(
        float(divergence) * temperature**2
    )
    assert weight * float(kd(student, teacher, temperature=temperature)) == pytest.approx(
        float(divergence) / temperature**2
    )


# 3: a calibration error with a million bins.


def test_a_million_bins_measure_how_far_confidence_is_from_being_right():
    probs = RNG.dirichlet(np.ones(10), size=400)
    labels = np.array([RNG.choice(10, p=p) for p in probs])  # calibrated by construction
    million = expected_calibration_error(probs, labels, bins=1_000_000)
    assert million == pytest.approx(mean_confidence_gap(probs, labels), abs=1e-3)
    confidence = probs.max(1)
    assert million == pytest.approx(float(np.mean(2 * confidence * (1 - confidence))), abs=0.05)
    assert expected_calibration_error(probs, labels, bins=15) < million / 4


def test_both_numbers_are_in_every_run_under_their_own_names(smoke):
    _, _, found = smoke
    one, other = (found[name, "mlp", None, "scaled"]["value"] for name in ("ece", "confidence_gap"))
    assert one != other


# 4: a path of eleven copies of one set of weights.


def test_snapshots_are_of_different_weights(smoke):
    folder, plan, _ = smoke
    taken = Readings(plan, folder).snapshots("mlp<-cnn", 0)
    assert list(taken) == [0, 1, 2, 3]
    distances = representation_distances(list(taken.values()))
    assert (distances[np.triu_indices(4, 1)] > 1e-3).all()
    curves = [c for c in read_json(folder / "curves.json") if c["chart"] == "path"]
    assert all("stress" in c["note"] and "null" in c["note"] for c in curves)


def test_copies_of_one_set_of_weights_are_no_path():
    """Asked with dropout on, as in the original, they lie all equally far apart; the map says so."""
    model = published("mlp").train()
    x = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    copies = [_penultimate_in_training(model, x) for _ in range(11)]
    assert not path_map(representation_distances(copies), draws=19).shows_path


# 5: representations taken with dropout on.


def test_a_network_is_not_far_from_itself(smoke):
    folder, plan, _ = smoke
    assert representation_distances(Readings(plan, folder).asked_twice("mlp<-cnn", 0))[0, 1] < 1e-6
    notes = {c["note"] for c in read_json(folder / "curves.json") if c["chart"] == "path"}
    assert len(notes) == 2 * len(plan.seeds)  # offline and online students have a map each
    assert all("from itself" in note for note in notes)
    model = published("mlp").train()
    x = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    assert representation_distances([_penultimate_in_training(model, x) for _ in range(2)])[0, 1] > 0.1
    calm = [activations(model, x)[PENULTIMATE].numpy() for _ in range(2)]
    assert representation_distances(calm)[0, 1] < 1e-6


def _penultimate_in_training(model, x):
    caught = {}
    handle = model[-1].register_forward_pre_hook(lambda _, inputs: caught.update(x=inputs[0].detach()))
    model(x)
    handle.remove()
    return caught["x"].numpy()


# 6: selection on the test set, and another schedule for each pair.


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_a_network_has_one_recipe_whoever_teaches_it(scale):
    study = plan_at(scale).study
    for student in ("cnn", "mlp"):
        recipes = {
            study.recipe_of(n).model_dump_json() for n, arm in study.arms.items() if arm.student == student
        }
        assert len(recipes) == 1
        assert Recipe.model_validate_json(recipes.pop()).select == "accuracy"


def test_the_weights_that_are_kept_are_the_best_on_validation_and_training_saw_no_test_image(smoke):
    folder, plan, _ = smoke
    for arm in ("cnn", "mlp<-cnn", "mlp<-cnn online+views"):
        files = cell_folder(folder, plan.cell(arm, 0).id)
        rows = [json.loads(line) for line in files.metrics.read_text().splitlines()]
        record = read_record(files.record, RunRecord)
        assert record.selected["accuracy"] == max(row["accuracy"] for row in rows)
    data = Readings(plan, folder).data
    ids = [set(data[name].ids.tolist()) for name in ("train", "validation", "test")]
    assert len(set.union(*ids)) == sum(map(len, ids))


# 9: missing checkpoints, and random weights that were scored.


def test_a_missing_teacher_fails_the_cell_and_is_never_scored(smoke, tmp_path):
    folder, plan, _ = smoke
    cell = plan.cell("mlp<-cnn", 0)
    teacher = cell_folder(tmp_path, cell.teachers["cnn"])
    record = run_cell(plan, cell, tmp_path)
    assert record.status == "failed"
    assert "cannot be read as safetensors" in (record.error or "")
    assert str(teacher.weights) in (record.error or "")
    assert not (cell_folder(tmp_path, cell.id).path / "readings").exists()
    assert not state_of(tmp_path, cell).trained
    assert state_of(folder, cell).trained


# The data, and the published size.


def test_without_mnist_the_study_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    plan = plan_at("small")
    record = run_cell(plan, plan.cell("mlp", plan.seeds[0]), tmp_path)
    assert record.status == "failed"
    assert "bequest data fetch mnist" in (record.error or "")
    with pytest.raises(DataError, match="bequest data import mnist"):
        bq.load_dataset("mnist")


def test_a_dry_run_of_the_published_recipe_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    costs = {cost.arm: cost for cost in study_cost(plan_at("paper"))}
    assert (costs["mlp"].state, costs["cnn"].state) == (474_730, 113_002)
    assert costs["mlp<-cnn"].steps == 400 * (55_000 // 128)
    assert all(cost.gpu_hours > 0 and cost.memory > 0 for cost in costs.values())


def test_online_teachers_learn_no_label_of_a_query(smoke):
    """Half of a batch are queries: images in another view, whose labels neither student nor teacher sees."""
    _, plan, _ = smoke
    sources = plan.study.queries["views"]
    assert [source.views == Identity() for source in sources] == [True, False]
    assert [source.labels for source in sources] == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["mlp", "cnn", "mlp<-cnn online+views"])
def test_fifty_steps_at_full_size(arm, tmp_path, monkeypatch):
    """Generated digits in IDX files of the published size; every split and file of a cell is made."""
    folder = tmp_path / "vision" / "mnist"
    folder.mkdir(parents=True)
    for name, array in zip(MNIST_FILES, _generated(), strict=True):
        (folder / name).write_bytes(idx_bytes(array))
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    settings = ["recipe.steps=50", "data.options={validation=500, test=100}", "measures.corruptions=false"]
    plan = plan_at("paper", settings=settings)
    cell = plan.cell(arm, 0)
    bench = Workbench(plan, tmp_path / "run")
    for action in (TRAIN, READ):
        assert bench.do(Job(action, cell)).status == "done"
    assert read_record(cell_folder(tmp_path / "run", cell.id).record, RunRecord).steps == 50
    logits = Readings(plan, tmp_path / "run").predictions(arm, 0, "fog").logits
    assert logits.shape == (100, 10)
    assert np.isfinite(logits).all()


def _generated():
    """60,000 + 10,000 images: real 8×8 digits drawn three times as large at random places."""
    from sklearn.datasets import load_digits

    source, generator = load_digits(), np.random.default_rng(0)
    large = np.kron(source.images * (255 / 16), np.ones((3, 3))).astype(np.uint8)
    for count in (60_000, 10_000):
        images, rows = np.zeros((count, 28, 28), np.uint8), generator.integers(0, len(large), count)
        corner = generator.integers(0, 5, (count, 2))
        for k, (row, (top, left)) in enumerate(zip(rows, corner, strict=True)):
            images[k, top : top + 24, left : left + 24] = large[row]
        yield images
        yield source.target[rows].astype(np.uint8)
