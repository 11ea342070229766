"""A network that cannot be trained or asked: one message before the first step, and nothing changed."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from bequest.errors import BequestError, ModelError
from bequest.models.catalogue import build_model
from bequest.models.network_checks import check_network, explained
from bequest.models.pretrained import PretrainedWeights, adopt
from bequest.models.taps import activations
from bequest.models.tokens import Tokens
from bequest.models.weights import load_weights, save_weights, weights_digest
from bequest.models.workload import workload_of

from .odd_networks import ODD, batch_norm, plain

X = torch.ones(4, 4)
ASKED = {
    "meta": "meta device",
    "lazy": "the network is lazy: .* has no shape yet",
    "exported": "exported program",
    "half": "differ in dtype",
    "double": "differ in dtype",
    "other shape": "does not take these inputs",
    "sparse": "does not take these inputs",
}
TRAINED = ASKED | {
    "extra state": "cannot be stored",
    "sparse": "cannot be stored|no parameters",
    "compressed": "cannot be stored",
    "quantised": "no parameters to train",
    "no parameters": "no parameters to train",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("learns", [False, True])
def test_each_kind_is_taken_or_refused_by_name(kind, learns):
    message = (TRAINED if learns else ASKED).get(kind)
    if message is None:
        check_network(ODD[kind](), X, learns=learns)
        return
    with pytest.raises(ModelError, match=message):
        check_network(ODD[kind](), X, learns=learns)


@pytest.mark.parametrize("kind", ODD)
def test_no_entrance_ends_in_a_traceback(kind, tmp_path):
    """Whatever the kind: the digest, files, pretrained weights, activations and the workload."""
    weights = PretrainedWeights(dict(plain().state_dict()), "weights")
    path = save_weights(tmp_path / "plain.safetensors", plain())
    for use in (
        weights_digest,
        lambda model: save_weights(tmp_path / "w.safetensors", model),
        lambda model: load_weights(path, model),
        lambda model: activations(model, X),
        lambda model: activations(model, X, ["0"]),
        lambda model: workload_of(model, X),
        lambda model: workload_of(model, X[:1]),
        lambda model: adopt(model, weights),
    ):
        with contextlib.suppress(BequestError):
            use(ODD[kind]())


def test_a_check_leaves_the_network_as_it_was():
    model = nn.Sequential(batch_norm(), nn.Dropout()).train()
    model[0].eval()
    before, modes = weights_digest(model), [m.training for m in model.modules()]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    check_network(model, X, classes=3, learns=True)
    assert torch.equal(torch.rand(1), expected)
    assert weights_digest(model) == before
    assert [m.training for m in model.modules()] == modes


def test_batch_norm_needs_two_rows_in_training():
    model = batch_norm()
    before = weights_digest(model)
    check_network(model, X, learns=True)
    check_network(model, X, learns=False, rows=1)
    with pytest.raises(ModelError, match="BatchNorm cannot normalise a single row"):
        check_network(model, X, learns=True, rows=1)
    # In images every position counts, so that one row is enough.
    images = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 3))
    digest = weights_digest(images)
    check_network(images, torch.ones(2, 1, 4, 4), learns=True, rows=1)
    assert (weights_digest(model), weights_digest(images)) == (before, digest)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear, "not an nn.Module"),
        ("mlp", "not an nn.Module"),
        (plain(), "wrong shape"),
        (nn.Sequential(plain(), nn.Flatten(0)), "wrong shape"),
        (nn.LSTM(4, 3), "does not answer with logits"),
    ],
)
def test_what_does_not_answer_with_logits_of_the_classes(model, message):
    with pytest.raises(ModelError, match=message):
        check_network(model, X, classes=5)


def test_other_forms_of_answers_are_taken():
    check_network(build_model("mlp", (4,), 5, seed=0, tokens=2), X, classes=5, learns=True)
    language = build_model("lstm_lm", (4,), 9, seed=0)
    check_network(language, torch.ones(3, 4, dtype=torch.int64), classes=9, learns=True)
    assert isinstance(build_model("mlp", (4,), 5, seed=0, tokens=2)(X), Tokens)
    check_network(plain(), X[:0], classes=3)


def test_class_indices_are_not_logits():
    class Decides(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 3, dtype=torch.int64)

    with pytest.raises(ModelError, match="not real numbers"):
        check_network(Decides(), X)


def test_an_error_of_ours_and_a_lack_of_memory_pass_unchanged():
    for error in (BequestError("ours"), torch.OutOfMemoryError("full")):
        with pytest.raises(type(error)) as raised, explained(plain(), X):
            raise error
        assert raised.value is error


@pytest.mark.parametrize(("kind", "message"), [("sparse", "is sparse"), ("meta", "on the meta device")])
def test_networks_and_weights_without_dense_values_are_refused(kind, message):
    with pytest.raises(ModelError, match=message):
        adopt(ODD[kind](), PretrainedWeights(dict(plain().state_dict()), "there"))
    with pytest.raises(ModelError, match=message):
        adopt(plain(), PretrainedWeights(dict(ODD[kind]().state_dict()), "there"))
