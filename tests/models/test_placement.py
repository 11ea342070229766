"""Models on another device: the meta device finds what stays on the CPU, forward and backward.

Where there is a GPU, it must give the answers of the CPU.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bequest.models.catalogue import MODELS, build_model
from bequest.models.masks import attention_mask, token_types
from bequest.models.pretrained.normalised import Normalised
from bequest.models.tokens import Tokens

CLASSIFIERS = ("lstm", "transformer", "transformer_seq", "utransformer_seq")
LANGUAGE = ("lstm_lm", "transformer_lm", "transformer_mlm")
LIBRARIES = ("timm", "torchvision", "transformers", "efficientnet_lite")
WORDS = 30
VARIED = [("vit", {"form": form}) for form in ("distilled", "advised")] + [
    ("mlp", {"tokens": 3}),
    ("vit", {"drop_path": 0.5}),
    ("resnet8", {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}),
]
EVERY = [(name, {}) for name in MODELS if name not in LIBRARIES] + VARIED


def built(name, options):
    if name in CLASSIFIERS:
        return build_model(name, (9,), 5, seed=0, vocabulary=WORDS, width=16, layers=2, **options)
    if name in LANGUAGE:
        return build_model(name, (9,), WORDS, seed=0, width=16, layers=2, **options)
    return build_model(name, (3, 32, 32), 5, seed=0, **options)


def inputs(name, device):
    if name in CLASSIFIERS + LANGUAGE:
        return torch.ones(4, 9, dtype=torch.int64, device=device)
    return torch.empty(4, 3, 32, 32, device=device)


def logits(answer):
    return answer.tokens if isinstance(answer, Tokens) else answer


class OneDevice(TorchDispatchMode):
    """Refuses every operation that reads or writes a tensor on another device than ``meta``.

    PyTorch itself refuses most mixtures, but not all: an index on the CPU passes, and so does a number.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, answer)) if isinstance(each, torch.Tensor)]
        elsewhere = {str(each.device) for each in tensors} - {"meta"}
        if elsewhere:
            raise AssertionError(f"{func} has a tensor on {', '.join(elsewhere)}")
        return answer


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_a_model_on_another_device_answers_and_learns_there(name, options):
    with torch.device("meta"):
        model = built(name, options)
    assert {value.device.type for value in (*model.parameters(), *model.buffers())} == {"meta"}
    x = inputs(name, "meta")
    with OneDevice():
        answer = logits(model.train()(x))
        answer.square().mean().backward()
        logits(model.eval()(x))
    assert {value.grad.device.type for value in model.parameters() if value.grad is not None} == {"meta"}


def test_masks_are_made_on_the_device_of_the_tokens():
    with OneDevice():
        x = inputs("lstm", "meta")
        assert attention_mask(x, 0).device.type == token_types(x, 0, 2).device.type == "meta"


def test_a_normalised_network_is_moved_as_a_whole():
    model = Normalised(nn.Flatten(), (0.5,) * 3, (0.2,) * 3).to("meta")
    with OneDevice():
        assert model(inputs("cnn", "meta")).device.type == "meta"


@pytest.mark.parametrize(
    "forgets",
    [
        lambda x: x + torch.arange(32),
        lambda x: x + torch.tensor(1.0),
        lambda x: x[torch.arange(2)],
        lambda x: x.gather(0, torch.zeros(1, 3, 32, 32, dtype=torch.int64)),
        lambda x: x + torch.arange(32).to(x.device),
    ],
)
def test_a_tensor_that_stays_behind_is_noticed(forgets):
    with pytest.raises((AssertionError, RuntimeError), match=r"device|has a tensor on cpu"), OneDevice():
        forgets(inputs("cnn", "meta"))


@pytest.mark.parametrize("name", CLASSIFIERS + LANGUAGE)
def test_columns_of_padding_are_cut_on_the_cpu_and_change_nothing_elsewhere(name, monkeypatch):
    """The uncut path is the one of accelerators."""
    model, x = built(name, {}).eval(), torch.tensor([[3, 4, 0, 0, 0], [5, 6, 7, 0, 0]])
    cut = model(x)
    monkeypatch.setattr(inspect.getmodule(type(model)), "words_of", lambda x, padding: x)
    words = x != 0 if name in LANGUAGE else slice(None)
    assert torch.allclose(model(x)[words], cut[words], atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("name", "options"), EVERY)
def test_a_gpu_gives_the_answers_of_the_cpu(name, options):
    model = built(name, options).eval()
    x = inputs(name, "cpu") if name in CLASSIFIERS + LANGUAGE else torch.rand(4, 3, 32, 32)
    expected = logits(model(x))
    answer = logits(model.cuda()(x.cuda())).cpu()
    assert torch.allclose(answer, expected, atol=1e-3, rtol=1e-3)
