"""LSTMs and Transformers over tokens: sizes as published, padding without effect, causality, ties."""

from __future__ import annotations

import pytest
import torch

from bequest.data.agreement import agreement
from bequest.errors import ModelError
from bequest.models.catalogue import build_for, build_model, parameter_count, state_count
from bequest.models.taps import activations, head_of
from bequest.models.weights import load_weights, save_weights, weights_digest

WORDS = 10_030
"""Ten thousand words, the tags that stand for rarer ones, and four tokens that are no words."""

PUBLISHED = [
    ("lstm", {"width": 256, "layers": 2}, 3.62e6),
    ("transformer", {"width": 128, "layers": 6, "heads": 8}, 2.61e6),
    ("transformer_seq", {"width": 128, "layers": 6, "heads": 8}, 2.61e6),
    ("utransformer_seq", {"width": 256, "layers": 6, "heads": 8}, 3.62e6),
    ("lstm_lm", {"width": 1024, "layers": 2}, 28.1e6),
    ("lstm_lm", {"width": 512, "layers": 2}, 9.6e6),
    ("transformer_lm", {"width": 512, "layers": 6, "heads": 8}, 24.6e6),
    ("transformer_lm", {"width": 256, "layers": 6, "heads": 8}, 7.6e6),
]
CLASSIFIERS = ("lstm", "transformer", "transformer_seq", "utransformer_seq")
CAUSAL = ("lstm_lm", "transformer_lm")
LANGUAGE = (*CAUSAL, "transformer_mlm")
TINY = {"width": 16, "layers": 2}


def built(name, *, classes=2, **options):
    if name in LANGUAGE:
        return build_model(name, (9,), 30, seed=0, **{**TINY, **options}).eval()
    return build_model(name, (9,), classes, seed=0, vocabulary=30, **{**TINY, **options}).eval()


def sequences(rows=8, length=9):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, 30, (rows, length), generator=generator)
    for row in range(rows):
        x[row, row % length + 1 :] = 0
    return x


@pytest.mark.parametrize(("name", "options", "count"), PUBLISHED)
def test_parameters_are_those_of_the_papers_table_within_one_percent(name, options, count):
    given = {} if name in LANGUAGE else {"vocabulary": WORDS}
    classes = WORDS if name in LANGUAGE else 2
    with torch.device("meta"):
        model = build_model(name, (50,), classes, seed=0, **given, **options)
    assert parameter_count(model) == pytest.approx(count, rel=0.01)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_padding_cannot_change_an_answer(name):
    model, x = built(name), sequences()
    whole = model(x)
    for row in range(len(x)):
        alone = x[row : row + 1, : row % 9 + 1]
        assert torch.allclose(model(alone), whole[row : row + 1], atol=1e-5)
    wider = torch.nn.functional.pad(x, (0, 20))
    assert torch.equal(model(wider), whole)
    with torch.no_grad():
        model.embedding.weight[0] += 100.0
    assert torch.equal(model(x), whole)


@pytest.mark.parametrize("name", CAUSAL)
def test_padding_and_later_words_cannot_change_a_next_token(name):
    model, x = built(name), sequences()
    whole = model(x)
    assert whole.shape == (8, 9, 30)
    for row in range(len(x)):
        alone = model(x[row : row + 1, : row % 9 + 1])
        assert torch.allclose(alone, whole[row : row + 1, : row % 9 + 1], atol=1e-5)
    assert model(torch.nn.functional.pad(x, (0, 5))).shape == (8, 14, 30)


def test_the_bidirectional_one_sees_what_the_causal_one_cannot():
    both, causal = built("transformer"), built("transformer_seq")
    states = {}
    for name, model in (("both", both), ("causal", causal)):
        x = torch.arange(1, 9)[None]
        found = [activations(model, row, ["blocks.1"])["blocks.1"] for row in (x, x.flip(1).roll(1, 1))]
        first = 1 if name == "both" else 0
        states[name] = [state[0, first] for state in found]
    x, y = torch.arange(1, 9)[None], torch.arange(1, 9)[None]
    y[0, -1] = 20
    changed = (
        activations(causal, y, ["blocks.1"])["blocks.1"] - activations(causal, x, ["blocks.1"])["blocks.1"]
    )
    assert not changed[0, :-1].any()
    assert changed[0, -1].any()
    changed = activations(both, y, ["blocks.1"])["blocks.1"] - activations(both, x, ["blocks.1"])["blocks.1"]
    assert changed[0].any(1).all()


def test_a_hidden_token_is_answered_with_the_words_on_both_sides_and_without_padding():
    model, x = built("transformer_mlm"), sequences()
    whole = model(x)
    assert torch.equal(model(torch.nn.functional.pad(x, (0, 9)))[:, :9], whole)
    with torch.no_grad():
        model.embedding.weight[0] += 100.0
    words = x != 0
    assert torch.allclose(
        model(x)[words][:, 1:], whole[words][:, 1:], atol=1e-5
    )  # but the padding's own logit
    later = x.clone()
    later[8 - 1, 7] = 1 + x[8 - 1, 7] % 29
    assert not torch.equal(model(later)[7, 0], model(x)[7, 0])


def test_the_shared_block_is_one_block_and_passes_count():
    deep, once = built("utransformer_seq", layers=4), built("utransformer_seq", layers=1)
    assert parameter_count(deep) == parameter_count(once)
    once.load_state_dict(deep.state_dict())
    assert not torch.allclose(deep(sequences()), once(sequences()))


@pytest.mark.parametrize("name", LANGUAGE)
def test_the_head_is_the_embedding_and_stays_it(name, tmp_path):
    model = built(name)
    assert head_of(model)[1].weight is model.embedding.weight
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(sequences()).logsumexp(-1).sum().backward()
    optimizer.step()
    assert head_of(model)[1].weight is model.embedding.weight
    save_weights(tmp_path / "w.safetensors", model)
    again = load_weights(tmp_path / "w.safetensors", built(name))
    assert weights_digest(again) == weights_digest(model)
    assert head_of(again)[1].weight is again.embedding.weight
    assert state_count(model) == parameter_count(model)


@pytest.mark.parametrize("name", [*CLASSIFIERS, *LANGUAGE])
def test_every_parameter_learns(name):
    model = built(name).train()
    model(sequences()).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_network_is_told_of_the_datas_vocabulary():
    data = agreement(train=8, validation=2, test=2, far=2, queries=2)
    assert build_for("lstm", data, seed=0).embedding.num_embeddings == len(data.vocabulary)
    with pytest.raises(ModelError, match="needs token sequences"):
        build_model("lstm", (1, 8, 8), 2, seed=0, vocabulary=10)
    with pytest.raises(ModelError, match="needs token sequences"):
        build_model("transformer", (8,), 2, seed=0)


def test_sequences_and_heads_that_do_not_fit():
    with pytest.raises(ModelError, match="too long"):
        built("transformer", positions=4)(sequences())
    with pytest.raises(ModelError, match="heads must divide"):
        built("transformer", heads=3)


def test_an_empty_row_is_answered_too():
    for name in CLASSIFIERS:
        assert torch.isfinite(built(name)(torch.zeros(2, 9, dtype=torch.int64))).all()
