"""Published weights of a catalogue network, loaded with their head."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from bequest.errors import ModelError
from bequest.models.pretrained.weights_file import NORMALISE
from bequest.models.weight_formats import read_state, without_wrappers


def load_published(path: str | Path, model: nn.Module) -> nn.Module:
    """Fill ``model`` from a file of published weights, which is opened as data only and cannot run code.

    A nested state dict is unpacked, and a wrapper's prefix is removed from the names. If the file lacks the
    model's normalisation, it keeps its values; every other name and shape must fit.

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
