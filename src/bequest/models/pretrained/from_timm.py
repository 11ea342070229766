"""Networks of timm, with the normalisation of their weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import MODELS
from bequest.models.pretrained.normalised import Normalised, check_input
from bequest.models.pretrained.torchvision_import import prepare_torchvision


@MODELS.register("timm")
def timm(
    input_shape: Sequence[int], classes: int, *, network: str = "resnet18", pretrained: bool = True
) -> nn.Module:
    """A network of timm by its name, by default with its weights and a new head.

    Args:
        input_shape: (channels, height, width) of one image, in [0, 1].
        classes: Width of the logits.
        network: timm's name: ``resnet18.a1_in1k``, ``local-dir:FOLDER``, ...
        pretrained: Load timm's weights; they are downloaded if absent.

    Raises:
        MissingExtra: If timm is not installed.
        ModelError: If timm has no such network, or cannot load it.
    """
    try:
        # timm imports torchvision, which fails beside a CPU build of PyTorch unless it is prepared.
        prepare_torchvision()
        import timm as library
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision for another torch
        raise MissingExtra(
            "networks of timm need timm", remedy="python -m pip install -c constraints.txt timm", got=error
        ) from error
    try:
        model = library.create_model(network, pretrained=pretrained, num_classes=classes)
    except (RuntimeError, OSError, ValueError, KeyError, AssertionError) as error:
        raise ModelError(
            f"timm cannot make {network!r}", got=error, remedy="see timm.list_models()"
        ) from error
    mean, std = tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])
    check_input(input_shape, mean, network)
    return Normalised(model, mean, std)
