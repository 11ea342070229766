"""Published weights of a catalogue network, loaded whole, head and all."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from bequest.errors import ModelError
from bequest.models.pretrained.weights_file import NORMALISE
from bequest.models.weight_formats import read_state, without_wrappers


def load_published(path: str | Path, model: nn.Module) -> nn.Module:
    """Fill ``model`` from a file of published weights; opened as data only, so that it runs no code.

    A nested state dict is opened and a wrapper's prefix before the names is taken off. The normalisation of
    the model, where the file lacks it, stays as it is; every other name and shape must fit.

    Raises:
        ModelError: If the file is absent or damaged, or does not fit the model.
    """
    state = without_wrappers(read_state(Path(path)))
    normalisation = {n: v for n, v in model.state_dict().items() if n.startswith(NORMALISE)}
    try:
        model.load_state_dict({**normalisation, **state})
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the model", got=error) from error
    return model
