"""Networks of unusual kinds, by name, that each entrance must take or refuse with one message."""

from __future__ import annotations

import warnings

import torch
from torch import nn


def plain():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


class ExtraState(nn.Module):
    """Keeps a dictionary in its state dict."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.extra = {"steps": 1}

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def forward(self, x):
        return self.layer(x)


def sparse(layout=torch.sparse_coo):
    model = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compressed layouts are in beta
        weight = model[0].weight.detach().to_sparse(layout=layout)
    model[0].weight = nn.Parameter(weight, requires_grad=False)
    return model


def meta():
    with torch.device("meta"):
        return plain()


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao is on its way out, but networks made by it are around
        from torch.ao.quantization import quantize_dynamic

        return quantize_dynamic(plain(), {nn.Linear}, dtype=torch.qint8)


def lazy():
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))


def script():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(plain())


def exported():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.compiler.reset()  # PyTorch 2.6 counts earlier exports of the class against a limit
        return torch.export.export(plain(), (torch.ones(2, 4),)).module()


def batch_norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


ODD = {
    "extra state": ExtraState,
    "sparse": sparse,
    "compressed": lambda: sparse(torch.sparse_csr),
    "meta": meta,
    "quantised": quantised,
    "lazy": lazy,
    "script": script,
    "exported": exported,
    "no parameters": nn.Flatten,
    "half": lambda: plain().half(),
    "double": lambda: plain().double(),
    "other shape": lambda: nn.Linear(5, 3),
    "batch norm": batch_norm,
}
