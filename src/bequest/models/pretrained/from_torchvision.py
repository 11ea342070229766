"""Networks of torchvision, with the normalisation of their weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import MODELS
from bequest.models.pretrained.normalised import Normalised, check_input
from bequest.models.pretrained.torchvision_import import import_torchvision
from bequest.models.resnet import IMAGENET_MEAN, IMAGENET_STD
from bequest.models.taps import head_of


@MODELS.register("torchvision")
def torchvision(
    input_shape: Sequence[int], classes: int, *, network: str = "resnet18", pretrained: bool = True
) -> nn.Module:
    """A network of torchvision by its name, by default with its default weights and a new head.

    Args:
        input_shape: (3, height, width) of one image, in [0, 1].
        classes: Width of the logits.
        network: torchvision's name: ``resnet18``, ``mobilenet_v3_small``, ...
        pretrained: Load the default weights; they are downloaded if absent.

    Raises:
        MissingExtra: If torchvision is not installed.
        ModelError: If torchvision has no such network, or cannot load it.
    """
    try:
        import_torchvision()
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision for another torch
        raise MissingExtra(
            "networks of torchvision need torchvision",
            remedy="python -m pip install -c constraints.txt torchvision",
            got=error,
        ) from error
    try:
        weights = models.get_model_weights(network).DEFAULT if pretrained else None
        model = models.get_model(network, weights=weights)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"torchvision cannot make {network!r}", got=error) from error
    preset = weights.transforms() if weights is not None else None
    mean, std = tuple(getattr(preset, "mean", IMAGENET_MEAN)), tuple(getattr(preset, "std", IMAGENET_STD))
    check_input(input_shape, mean, network)
    # After loading: the weights have a head for 1,000 classes, which must fit first.
    replace_head(model, classes)
    return Normalised(model, mean, std)


def replace_head(model: nn.Module, classes: int) -> None:
    """Put a new last linear layer with ``classes`` outputs into ``model``, initialised from the global state.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1000))
    >>> replace_head(model, 3)
    >>> model[1].out_features
    3

    Raises:
        ModelError: If the model has no linear layer.
    """
    name, head = head_of(model)
    parent, _, last = name.rpartition(".")
    fresh = nn.Linear(head.in_features, classes, bias=head.bias is not None)
    setattr(model.get_submodule(parent), last, fresh)
