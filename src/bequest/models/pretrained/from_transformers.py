"""Image classifiers of transformers, with the normalisation of their weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import MODELS
from bequest.models.pretrained.normalised import Normalised, check_input

HALF = (0.5, 0.5, 0.5)


@MODELS.register("transformers")
def transformers(
    input_shape: Sequence[int], classes: int, *, network: str = "", pretrained: bool = True
) -> nn.Module:
    """An image classifier of transformers by its name on the hub or its folder, by default with its weights.

    The head is new where the classes differ in number.

    Args:
        input_shape: (channels, height, width) of one image, in [0, 1].
        classes: Width of the logits.
        network: A name on the hub, or a folder with ``config.json``.
        pretrained: Load the weights; they are fetched if they are not there. Only safetensors.

    Raises:
        MissingExtra: If transformers is not installed.
        ModelError: If there is no such network, or it cannot be loaded.
    """
    try:
        from transformers import AutoConfig, AutoModelForImageClassification
        from transformers.image_processing_utils import ImageProcessingMixin
    except ImportError as error:
        raise MissingExtra(
            "networks of transformers need transformers",
            remedy="python -m pip install -c constraints.txt transformers",
            got=error,
        ) from error
    kind = AutoModelForImageClassification
    try:
        config = AutoConfig.from_pretrained(network, num_labels=classes)
        if pretrained:
            made = kind.from_pretrained(
                network, config=config, ignore_mismatched_sizes=True, use_safetensors=True
            )
        else:
            made = kind.from_config(config)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"transformers cannot make {network!r}", got=str(error)[:300]) from error
    try:
        known, _ = ImageProcessingMixin.get_image_processor_dict(network)
    except OSError:
        known = {}
    mean, std = tuple(known.get("image_mean", HALF)), tuple(known.get("image_std", HALF))
    check_input(input_shape, mean, network)
    return Normalised(made, mean, std)
