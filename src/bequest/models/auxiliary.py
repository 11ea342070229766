"""Auxiliary outputs next to those of the classes, without labels: a student can imitate them regardless."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from bequest.errors import ModelError

OPTION = "auxiliary"
"""The option of every model in the catalogue with the number of its auxiliary outputs."""


class AuxiliaryLogits(NamedTuple):
    """The output of a network with auxiliary outputs.

    Attributes:
        logits: Of the classes, (N, C) or (N, L, C).
        auxiliary: The outputs without labels, (N, K) or (N, L, K).
    """

    logits: Tensor
    auxiliary: Tensor


class WithAuxiliary(nn.Module):
    """A network whose last outputs have no label.

    All outputs come from one head: the auxiliary ones read the same features as the classes, with other
    weights. A loss on the labels alone leaves those weights at their initial values.

    Named activations of it are ``auxiliary``, the auxiliary outputs, and ``network``, all outputs.

    Args:
        network: A network with C + K outputs.
        classes: C.
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes
        self.auxiliary = nn.Identity()  # gives these outputs a name, by which an objective can read them

    def forward(self, x: Tensor) -> AuxiliaryLogits:
        """Logits of the classes, and the auxiliary outputs.

        Raises:
            ModelError: If the network does not answer with one tensor of logits.
        """
        outputs = self.network(x)
        if not isinstance(outputs, Tensor) or outputs.shape[-1] <= self.classes:
            raise ModelError(
                "the network has no room for auxiliary outputs",
                expected=f"one tensor of more than {self.classes} outputs",
                got=tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__,
                remedy="use a network with a single head",
            )
        return AuxiliaryLogits(outputs[..., : self.classes], self.auxiliary(outputs[..., self.classes :]))


def auxiliary_of(output: object) -> Tensor:
    """The auxiliary outputs in a network's output.

    Raises:
        ModelError: If it has none.
    """
    if isinstance(output, AuxiliaryLogits):
        return output.auxiliary
    raise ModelError(
        "the network has no auxiliary outputs",
        expected=f"a network built with {OPTION} = K",
        got=type(output).__name__,
        remedy=f"add {OPTION} to the options of the model",
    )
