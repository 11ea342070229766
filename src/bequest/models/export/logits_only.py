"""Networks for exporters: one output tensor, and parameter names that are valid in Python."""

from __future__ import annotations

import copy
import keyword

from torch import Tensor, nn

from bequest.models.tokens import logits_of


class LogitsOnly(nn.Module):
    """A network that answers with its logits alone, as exported programs do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        return logits_of(self.network(x))


def exportable(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in eval mode that answers with its logits alone.

    Exporters write the network as Python code, in which a parameter cannot be named ``tokens.class``.
    """
    network = copy.deepcopy(model)
    for module in network.modules():
        if isinstance(module, nn.ParameterDict) and any(keyword.iskeyword(key) for key in module):
            parameters = {key + "_" * keyword.iskeyword(key): value for key, value in module.items()}
            module.clear()
            module.update(parameters)
    return LogitsOnly(network).eval()
