"""Every model on the second device: the CPU's bytes; run by ``test_second_device.py``."""

from __future__ import annotations

import pytest
import torch

from bequest.models.network_checks import check_network
from bequest.models.taps import PENULTIMATE, activations

from .test_placement import CLASSIFIERS, EVERY, LANGUAGE, built, inputs, logits

LARGE = ("rednet50", "rednet101", "regnety_032", "deit_small")
"""Their smaller siblings have the same code."""

OWN_KERNELS = ("lstm", "lstm_lm", "transformer_lm", "transformer_mlm")
"""Recurrences and attention that the CPU computes with kernels of its own: equal up to rounding."""


@pytest.mark.parametrize(("name", "options"), [each for each in EVERY if each[0] not in LARGE])
def test_a_model_answers_and_learns_with_the_bytes_of_the_cpu(name, options, twin):
    x = inputs(name, "cpu")
    x = x + torch.arange(9) if x.ndim == 2 else torch.rand(4, 3, 32, 32)
    models = [built(name, options).to(device) for device in ("cpu", twin)]
    gradients, answers = [], []
    for model in models:
        placed = x.to(next(model.parameters()).device)
        torch.manual_seed(1)
        answer = logits(model.train()(placed))
        answer.square().mean().backward()
        answers.append([answer.detach(), logits(model.eval()(placed)).detach()])
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    tolerance = {"atol": 1e-6, "rtol": 1e-4} if name in OWN_KERNELS else {"atol": 0.0, "rtol": 0.0}
    for here, there in (*zip(*answers, strict=True), *zip(*gradients, strict=True)):
        assert there.device == twin
        assert torch.allclose(here, there.cpu(), **tolerance)
    check_network(models[1], x.to(twin), classes=answers[0][0].shape[-1], learns=True)
    if name not in CLASSIFIERS + LANGUAGE:
        caught = [activations(model, x)[PENULTIMATE] for model in models]
        assert caught[1].device.type == "cpu"
        assert torch.equal(*caught)
