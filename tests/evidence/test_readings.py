"""What the cells of a run left behind."""

from __future__ import annotations

import shutil
import weakref

import numpy as np
import pytest
import torch

from bequest.distill.score import predict
from bequest.errors import RunFolderError
from bequest.evidence.readings import OBJECT_BYTES, Predictions, Readings, finished
from bequest.evidence.values import Values
from bequest.files import load_arrays
from bequest.studies.cell import cell_folder
from bequest.studies.networks import initial_network


def test_predictions_are_those_of_the_networks_after_and_before_training(readings):
    test = readings.data["test"]
    for untrained in (False, True):
        answers = readings.predictions("mlp", 1, "test", untrained=untrained)
        cell = readings.plan.cell("mlp<-cnn", 1)
        if untrained:
            answers = readings.predictions("mlp<-cnn", 1, "test", untrained=True)
            expected = predict(initial_network(cell), test.x)
        else:
            expected = predict(readings.network("mlp", 1), test.x)
        np.testing.assert_allclose(answers.logits, expected.numpy(), atol=1e-6)
        np.testing.assert_array_equal(answers.labels, test.y.numpy())
        np.testing.assert_array_equal(answers.ids, test.ids.numpy())


def test_what_follows_from_logits():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], dtype=np.float32)
    predictions = Predictions(np.arange(3), np.array([0, 0, 0]), logits)
    expected = torch.log_softmax(torch.from_numpy(logits).double(), -1).numpy()
    np.testing.assert_allclose(predictions.log_probs, expected)
    np.testing.assert_allclose(predictions.probs.sum(1), 1)
    assert predictions.classes.tolist() == [0, 1, 0]
    assert predictions.correct.tolist() == [True, False, True]


def test_what_predictions_hold_counts_all_that_they_compute():
    logits = np.ones((400, 10), dtype=np.float32)
    answers = Predictions(np.arange(400), np.zeros(400, int), logits, {"group": np.arange(400)})
    computed = (answers.log_probs, answers.probs, answers.one_hot, answers.classes, answers.correct)
    arrays = (answers.ids, answers.labels, logits, answers.about["group"], *computed)
    numbers = sum(x.nbytes for x in arrays)
    assert numbers < answers.held_bytes <= numbers + len(arrays) * OBJECT_BYTES


@pytest.mark.parametrize(("held", "loaded"), [(0.5, 6), (1.5, 3), (2.5, 2)])
def test_readings_beyond_what_is_held_are_loaded_again(readings, held, loaded, monkeypatch):
    expected = {seed: readings.predictions("mlp", seed, "test") for seed in (0, 1)}
    monkeypatch.setattr("bequest.evidence.readings.HELD_BYTES", int(held * expected[0].held_bytes))
    few, loads = Readings(readings.plan, readings.root), []
    monkeypatch.setattr(
        "bequest.evidence.readings.load_arrays", lambda path: loads.append(path) or load_arrays(path)
    )
    for seed in (0, 0, 1, 1, 0, 0):
        answers = few.predictions("mlp", seed, "test")
        np.testing.assert_array_equal(answers.logits, expected[seed].logits)
    assert len(loads) == loaded


def test_what_is_forgotten_is_let_go_of_and_read_again(readings):
    forgetful = Readings(readings.plan, readings.root)
    accuracy = forgetful.shared(Values).property("accuracy", "mlp", "test")
    before = dict(accuracy.by_seed)
    held = [weakref.ref(accuracy), weakref.ref(forgetful.predictions("mlp", 0, "test"))]
    del accuracy
    assert all(each() is not None for each in held)
    forgetful.forget()
    assert [each() for each in held] == [None, None]
    assert forgetful.shared(Values).property("accuracy", "mlp", "test").by_seed == before


def test_penultimate_activations_are_flat(readings):
    assert readings.penultimate("cnn", 0).shape == (350, 4)
    assert readings.penultimate("mlp", 0, untrained=True).shape == (350, 16)


def test_failed_cells_have_no_seed(readings):
    lost = readings.plan.cell("cnn", 0).id
    without = Readings(readings.plan, readings.root, {lost})
    assert without.seeds("cnn") == [1]
    assert without.seeds("cnn", "mlp") == [1]
    assert without.seeds("mlp") == [0, 1]


def test_a_record_that_is_absent_damaged_or_of_another_cell_is_not_finished(readings, tmp_path):
    one, other = readings.plan.cell("mlp", 0), readings.plan.cell("mlp", 1)
    assert finished(readings.root, one)
    assert not finished(tmp_path, one)
    folder = cell_folder(tmp_path, one.id)
    folder.path.mkdir(parents=True)
    shutil.copy(cell_folder(readings.root, other.id).record, folder.record)
    assert not finished(tmp_path, one)
    folder.record.write_text("{")
    assert not finished(tmp_path, one)


@pytest.mark.parametrize("content", [None, "{", "[1, 2"])
def test_a_history_that_cannot_be_read_is_one_message(readings, tmp_path, content):
    cell = readings.plan.cell("mlp", 0)
    path = cell_folder(tmp_path, cell.id).metrics
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunFolderError) as refused:
        Readings(readings.plan, tmp_path).history("mlp", 0)
    assert f"{path} cannot be read" in str(refused.value)
    assert "what is damaged is made again" in str(refused.value)


def test_what_is_shared_is_computed_once(readings):
    calls = []

    def make(asker):
        calls.append(asker)
        return object()

    assert readings.shared(make) is readings.shared(make)
    assert calls == [readings]


def test_networks_that_are_no_language_model_have_no_perplexity_reading(readings):
    assert readings.tokens("mlp", 0, "test") is None
    assert readings.tokens("vit<-cnn&mlp", 0, "test").shape == (350, 3, 10)
