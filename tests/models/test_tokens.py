from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bequest.errors import ModelError
from bequest.models.tokens import Tokens, full_precision, logits_of

LOGITS = torch.rand(2, 3)


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        Tokens(LOGITS, torch.rand(2, 2, 3)),
        SimpleNamespace(logits=LOGITS, loss=None),
        {"logits": LOGITS},
    ],
)
def test_logits_are_found(output):
    assert logits_of(output) is LOGITS


@pytest.mark.parametrize("output", [(LOGITS,), {"scores": LOGITS}, SimpleNamespace(logits=[1.0]), None])
def test_other_outputs_are_refused(output):
    with pytest.raises(ModelError, match="the model does not answer with logits") as caught:
        logits_of(output)
    assert "remedy:   wrap the model in a module that returns its logits" in str(caught.value)


def test_half_precision_is_made_whole():
    assert full_precision(LOGITS) is LOGITS
    assert full_precision(LOGITS.double()).dtype == torch.float64
    assert full_precision(LOGITS.bfloat16()).dtype == torch.float32
    assert full_precision(LOGITS.half()).dtype == torch.float32
