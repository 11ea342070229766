from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.data.batches import UNLABELLED
from bequest.data.datasets import Split
from bequest.distill.score import predict, score
from bequest.errors import DataError


def test_scores_are_those_of_their_definitions(network, toy):
    model, split = network(batch_norm=True, dropout=0.5), toy["test"]
    model.train()
    probabilities = torch.softmax(model.eval()(split.x).detach(), -1)
    chances = probabilities[torch.arange(20), split.y]
    model.train()
    scores = score(model, split)
    assert scores["accuracy"] == pytest.approx(float((probabilities.argmax(1) == split.y).float().mean()))
    assert scores["nll"] == pytest.approx(float(-chances.log().mean()), rel=1e-5)
    assert model.training


def test_predictions_do_not_depend_on_how_many_are_made_at_once(network, toy):
    model, x = network(batch_norm=True), toy["test"].x
    assert torch.allclose(predict(model, x, batch=3), predict(model, x), atol=1e-6)
    assert not predict(model, x).requires_grad
    half = predict(lambda rows: model.eval()(rows).bfloat16(), x)
    assert half.dtype == torch.float32


def test_sequences_are_scored_alike_however_many_come_at_once(monkeypatch):
    words, x = nn.Embedding(5, 5), torch.randint(1, 5, (7, 4))
    y = x.roll(-1, 1)
    y[:, 3] = UNLABELLED
    whole = score(words, Split(x, y, torch.arange(7)))
    monkeypatch.setattr("bequest.distill.score.SEQUENCES", 2)
    pieces = score(words, Split(x, y, torch.arange(7)))
    assert pieces == pytest.approx(whole)


def test_positions_without_a_label_are_left_out():
    words = nn.Embedding(5, 3)
    x = torch.tensor([[1, 2, 0], [3, 0, 0]])
    y = torch.tensor([[0, 1, UNLABELLED], [2, UNLABELLED, UNLABELLED]])
    logits = words(x[x > 0]).detach()
    expected = -torch.log_softmax(logits, -1)[torch.arange(3), torch.tensor([0, 1, 2])].mean()
    scores = score(words, Split(x, y, torch.arange(2)))
    assert scores["nll"] == pytest.approx(float(expected), rel=1e-6)
    right = (logits.argmax(-1) == torch.tensor([0, 1, 2])).float().mean()
    assert scores["accuracy"] == pytest.approx(float(right))


def test_a_split_without_labels_cannot_be_scored(network, toy):
    for y in (None, torch.full((20,), UNLABELLED)):
        split = Split(toy["test"].x, y, toy["test"].ids)
        with pytest.raises(DataError, match="a split without labels cannot be scored"):
            score(network(), split)
