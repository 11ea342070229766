"""Masks and token types by signature; padding twice as long changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models.catalogue import build_model
from bequest.models.masks import attention_mask, call_with_mask, takes, token_types

X = torch.tensor([[3, 4, 5, 0, 0], [6, 0, 0, 0, 0], [7, 8, 7, 8, 9], [0, 0, 0, 0, 0]])


class Asks(nn.Module):
    """Attention of one head over embeddings, with the masks that transformers models take."""

    def __init__(self):
        super().__init__()
        self.embedding, self.kind = nn.Embedding(10, 4), nn.Embedding(2, 4)
        self.seen = {}

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        self.seen = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        states = self.embedding(input_ids)
        if token_type_ids is not None:
            states = states + self.kind(token_type_ids)
        scores = states @ states.transpose(1, 2)
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask[:, None] == 0, -torch.inf)
        return (scores.softmax(-1) @ states)[:, 0]


def test_the_mask_is_one_at_words_and_at_the_first_column_of_an_empty_row():
    mask = attention_mask(X, 0)
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1] * 5, [1, 0, 0, 0, 0]]
    assert mask.dtype == X.dtype
    assert attention_mask(torch.tensor([[0, 0, 4]]), 0).tolist() == [[0, 0, 1]]  # padding on the left


def test_twice_the_padding_changes_nothing_where_the_mask_is_passed():
    model = Asks()
    doubled = nn.functional.pad(X, (0, X.shape[1]))
    expected = call_with_mask(model, X, 0)
    assert torch.isfinite(expected).all()
    assert torch.allclose(call_with_mask(model, doubled, 0), expected, atol=1e-6)
    # Without the mask the padding is read as words: the test would see it.
    assert not torch.allclose(model(doubled), model(X), atol=1e-3)


@pytest.mark.parametrize("name", ["lstm", "transformer", "transformer_seq", "utransformer_seq"])
def test_twice_the_padding_changes_nothing_in_classifiers_of_the_catalogue(name):
    model = build_model(name, (5,), 3, seed=0, vocabulary=10, padding=0).eval()
    doubled = nn.functional.pad(X, (0, X.shape[1]))
    assert torch.equal(call_with_mask(model, doubled, 0), call_with_mask(model, X, 0))


@pytest.mark.parametrize("name", ["lstm_lm", "transformer_lm", "transformer_mlm"])
def test_twice_the_padding_changes_no_word_of_a_language_model(name):
    model = build_model(name, (5,), 10, seed=0, padding=0).eval()
    doubled = nn.functional.pad(X, (0, X.shape[1]))
    logits = call_with_mask(model, doubled, 0)[:, : X.shape[1]]
    assert torch.equal(logits[X != 0], call_with_mask(model, X, 0)[X != 0])


def test_pairs_are_told_apart_by_the_separator():
    pairs = torch.tensor([[1, 5, 6, 2, 7, 2, 0], [1, 5, 2, 7, 8, 9, 2]])
    assert token_types(pairs, 0, 2).tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]
    model = Asks()
    call_with_mask(model, pairs, 0)
    assert model.seen["token_type_ids"] is None
    call_with_mask(model, pairs, 0, separator=2)
    assert torch.equal(model.seen["token_type_ids"], token_types(pairs, 0, 2))


def test_wrapped_networks_are_asked_for_the_signature_of_the_network_inside():
    assert takes(Asks(), "attention_mask")
    assert takes(nn.DataParallel(Asks()), "attention_mask")
    assert not takes(nn.Linear(1, 1), "attention_mask")
    patched = nn.Identity()
    patched.forward = lambda x, attention_mask: attention_mask
    assert takes(patched, "attention_mask")
    assert call_with_mask(patched, X, 0).tolist() == attention_mask(X, 0).tolist()


def test_inputs_that_are_no_padded_tokens_go_to_the_network_alone():
    model = Asks()
    call_with_mask(model, X, None)
    assert model.seen["attention_mask"] is None
    images = torch.rand(2, 1, 3, 3)
    assert call_with_mask(nn.Flatten(), images, 0).shape == (2, 9)
    assert call_with_mask(nn.Linear(4, 3), torch.rand(2, 4), 0).shape == (2, 3)


def test_two_tokens_for_padding_are_refused():
    model = build_model("lstm", (5,), 3, seed=0, vocabulary=10, padding=1)
    with pytest.raises(ModelError, match="a different padding token") as refused:
        call_with_mask(model, X, 0)
    assert (refused.value.expected, refused.value.got) == ("padding = 0", "padding = 1")
