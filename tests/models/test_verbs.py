"""A language model read where the verb is due."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bequest.data.agreement import agreement
from bequest.data.lexicon import PADDING, START
from bequest.errors import DataError
from bequest.models.catalogue import build_for
from bequest.models.verbs import verb_logits, verb_states

SMALL = {"train": 20, "validation": 4, "test": 10, "far": 12, "queries": 4}


@pytest.fixture(scope="module")
def split():
    return agreement(**SMALL)["far"]


@pytest.fixture(scope="module", params=["lstm_lm", "transformer_lm"])
def model(request):
    return build_for(request.param, agreement(form="language", **SMALL), seed=0, width=16, layers=1)


def test_scores_are_those_of_the_two_forms_after_the_last_word(model, split):
    found = verb_logits(model, split, batch=5)
    model.eval()
    for row in range(len(split)):
        words = [token for token in split.x[row].tolist() if token != PADDING][:-1]
        logits = model(torch.tensor([[START, *words]]))[0, -1]
        forms = [split.about[name][row] for name in ("singular", "plural")]
        assert torch.allclose(found[row], logits[torch.stack(forms)], atol=1e-5)
    assert torch.allclose(verb_logits(model, split, batch=200), found, atol=1e-6)


def test_states_are_what_enters_the_head_there(model, split):
    states = verb_states(model, split.x, batch=5)
    head = model.head.tokens
    forms = torch.stack([split.about["singular"], split.about["plural"]], 1)
    assert torch.allclose(head(states).gather(1, forms), verb_logits(model, split), atol=1e-5)


def test_a_verb_with_a_form_outside_the_vocabulary_counts_as_wrong(model, split):
    plural = split.about["plural"].clone()
    plural[:3] = -1
    lacking = replace(split, about={**split.about, "plural": plural})
    answers = verb_logits(model, lacking).argmax(1)
    assert (answers[:3] != split.y[:3]).all()
    assert torch.equal(answers[3:], verb_logits(model, split).argmax(1)[3:])


def test_forms_must_be_known(model, split):
    with pytest.raises(DataError, match="do not say which forms"):
        verb_logits(model, replace(split, about={}))
