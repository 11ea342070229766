"""How a trained network is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bequest.distill.score import predict, tokens_of
from bequest.evidence.reading import (
    Activations,
    Answers,
    AttentionDistances,
    LayerActivations,
    Network,
    Perplexity,
    Severity,
    answers_on,
    as_plain_arrays,
    penultimate,
    probe_activations,
    probe_split,
)
from bequest.models import build_model
from bequest.models.taps import PENULTIMATE, activations
from bequest.runs.planning import planned
from bequest.studies.spec import DataSpec, SplitSpec

DIGITS = DataSpec(name="digits")
FOUR = SplitSpec(description="", variants=[{"name": "translate", "dx": dx} for dx in (1, 0, -1, 2)])


def network_of(module, tiny, readings=()):
    """A cell's network whose weights are those of ``module``."""
    network = Network(planned(tiny).cell("mlp", 0), Path("nowhere"), readings)
    network.__dict__["trained"] = module
    return network


@pytest.fixture
def vit():
    return build_model(
        "vit", (1, 12, 12), 10, seed=0, form="advised", width=32, depth=1, heads=2, patch=4, stem=32
    )


def test_one_pass_gives_what_two_give_and_a_network_is_asked_once_a_chunk(vit, tiny):
    asked = (Answers(data=DIGITS, split=FOUR), Activations(data=DIGITS, split=FOUR))
    samples = asked[0].samples
    assert len(samples) == 1400
    sizes = []
    network = network_of(vit, tiny, asked)
    vit.register_forward_hook(lambda module, inputs, answer: sizes.append(len(inputs[0])))
    logits = asked[0].read(network)["logits"]
    features = asked[1].read(network)["penultimate"]
    assert sizes == [500, 500, 400]
    assert torch.equal(logits, predict(vit, samples.x))
    assert torch.equal(features, activations(vit, samples.x)[PENULTIMATE])
    assert vit.training
    alone = network_of(vit, tiny)
    assert torch.equal(asked[0].read(alone)["logits"], logits)
    assert torch.equal(asked[1].read(alone)["penultimate"], features)
    assert torch.equal(penultimate(vit, samples.x, next_token=False), features)


def test_answers_have_labels_ids_and_tokens_where_there_are_several(vit, tiny):
    plain = Answers(data=DIGITS, split=SplitSpec(description=""))
    arrays = plain.read(network_of(vit, tiny))
    assert set(arrays) == {"ids", "labels", "logits"}
    assert torch.equal(arrays["labels"], plain.samples.y)
    tokens = Answers(data=DIGITS, split=SplitSpec(description=""), tokens=True)
    assert torch.equal(tokens.read(network_of(vit, tiny))["tokens"], tokens_of(vit, plain.samples.x))
    mlp = build_model("mlp", (1, 12, 12), 10, seed=0)
    assert "tokens" not in tokens.read(network_of(mlp, tiny))


def test_an_id_follows_from_the_question_and_the_cell_and_not_from_descriptions(tiny):
    study = planned(tiny).study
    tiny["splits"]["moved"]["description"] = "in other words"
    again = planned(tiny).study
    assert answers_on(study, "moved") == answers_on(again, "moved")
    questions = [
        answers_on(study, "moved"),
        answers_on(study, "test"),
        answers_on(study, "moved", trained=False),
        probe_activations(study),
        Perplexity(),
    ]
    assert len({question.id_for("cell") for question in questions}) == 5
    assert questions[0].id_for("cell") != questions[0].id_for("other")


def test_a_model_with_splits_of_its_own_is_read_on_its_data_and_the_others_are_not(tiny):
    plain = planned(tiny).study
    tiny["arms"] = {name: {"student": name} for name in ("cnn", "mlp")}
    del tiny["answer"], tiny["claims"]
    tiny["datasets"] = {"bare": {"name": "digits", "options": {"border": 0}}}
    tiny["models"]["cnn"] |= {"data": "bare", "own_splits": True}
    study = planned(tiny).study
    assert answers_on(study, "moved", arm="mlp") == answers_on(plain, "moved")
    for question in (answers_on(study, "moved", arm="cnn"), probe_activations(study, arm="cnn")):
        assert question.data == study.datasets["bare"]
    shapes = [answers_on(study, "test", arm=arm).samples.x.shape[1:] for arm in ("cnn", "mlp")]
    assert shapes == [(1, 8, 8), (1, 12, 12)]
    assert study.tested_data("mlp") == study.data


def test_the_probe_is_the_test_split_of_the_study_or_of_its_data(tiny):
    tiny["splits"]["test"] = {"description": "moved", "variants": [{"name": "translate", "dx": 1}]}
    assert len(probe_split(planned(tiny).study).variants) == 1
    del tiny["splits"]["test"]
    assert probe_split(planned(tiny).study) == SplitSpec(description="", of="test")


def test_layers_are_means_over_positions(tiny):
    cnn = build_model("cnn", (1, 12, 12), 10, seed=0, channels=[4], pool_after=[1])
    question = LayerActivations(data=DIGITS, split=SplitSpec(description=""), layers=("0", "4"), first=7)
    arrays = question.read(network_of(cnn, tiny))
    maps = activations(cnn, question.samples.x[:7], ["0", "4"])
    assert torch.equal(arrays["0"], maps["0"].mean((2, 3)))
    assert torch.equal(arrays["4"], maps["4"])
    assert arrays["0"].shape == (7, 4)


def test_networks_without_attention_or_language_have_empty_answers(tiny):
    mlp = network_of(build_model("mlp", (1, 12, 12), 10, seed=0), tiny)
    question = AttentionDistances(data=DIGITS, split=SplitSpec(description=""), first=5)
    assert question.read(mlp)["distances"].shape == (0,)
    assert Perplexity().read(mlp) == {}


def test_severity_begins_with_clean_images(tiny):
    network = build_model("mlp", (1, 12, 12), 10, seed=0)
    question = Severity(data=DIGITS, split=SplitSpec(description=""), family="contrast")
    accuracy = question.read(network_of(network, tiny))["accuracy"]
    test = question.samples
    assert accuracy[0] == pytest.approx(float((predict(network, test.x).argmax(1) == test.y).double().mean()))
    few = question.model_copy(update={"chosen": 9}).read(network_of(network, tiny))["accuracy"]
    assert np.allclose(np.asarray(few) * 9, np.round(np.asarray(few) * 9))


def test_arrays_are_plain_and_on_the_cpu():
    arrays = as_plain_arrays({"a": torch.ones(2), "b": np.zeros(3)})
    assert {name: type(x) for name, x in arrays.items()} == {"a": np.ndarray, "b": np.ndarray}
