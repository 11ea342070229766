"""Networks of transformers: image classifiers, text classifiers and language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import MODELS, options_from
from bequest.models.masks import call_with_mask
from bequest.models.pretrained.normalised import Normalised, check_input
from bequest.models.pretrained.torchvision_import import prepare_torchvision
from bequest.models.sequence import padded_to, words_of
from bequest.models.tokens import logits_of

HALF = (0.5, 0.5, 0.5)
IMAGE_AXES = 3
SEQUENCE_LOGITS_AXES = 3
IMAGES = "AutoModelForImageClassification"
TASKS = {
    "classify": "AutoModelForSequenceClassification",
    "next_token": "AutoModelForCausalLM",
    "masked_token": "AutoModelForMaskedLM",
}
"""The library's class of networks for tokens, by the option ``task``."""

FAILURES = (RuntimeError, OSError, ValueError, KeyError, TypeError, ImportError)


@dataclass(frozen=True)
class TransformersOptions:
    """Options of a network of transformers.

    Attributes:
        network: A name on the hub, or a folder with ``config.json``.
        pretrained: Load the weights, from safetensors only; they are downloaded if absent.
        task: For tokens: ``classify`` sentences, predict the ``next_token`` or the ``masked_token``; the
            classes of the last two are the vocabulary. Default: according to the labels of the data.
        vocabulary: Token ids; default: those of the data.
        padding: The padding token; default: that of the data. Negative: every token is a word.
        separator: The token that ends each text of a pair, for networks that distinguish the two by
            ``token_type_ids``; default: that of the data. Negative for single texts.
    """

    network: str = ""
    pretrained: bool = True
    task: str = "classify"
    vocabulary: int = 0
    padding: int = 0
    separator: int = -1


class TextNetwork(nn.Module):
    """A network of transformers for tokens (N, L), called with the attention mask of their padding."""

    def __init__(self, network: nn.Module, padding: int, separator: int) -> None:
        super().__init__()
        self.network, self.padding = network, padding
        types = getattr(network.config, "type_vocab_size", 2)
        self.separator = separator if separator >= 0 and types > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C), or (N, L, V) of a language model, of tokens (N, L); padding has no effect."""
        if self.padding < 0:
            return logits_of(self.network(x))
        words = words_of(x, self.padding)
        logits = logits_of(call_with_mask(self.network, words, self.padding, separator=self.separator))
        return padded_to(logits, x.shape[1]) if logits.ndim == SEQUENCE_LOGITS_AXES else logits


@MODELS.register("transformers")
@options_from(TransformersOptions)
def transformers(input_shape: Sequence[int], classes: int, options: TransformersOptions) -> nn.Module:
    """A network of transformers by its name on the hub or its folder, by default with its weights.

    For inputs (C, H, W) it is an image classifier, for inputs (L,) a network for tokens. The head is new if
    the number of classes differs.

    Args:
        input_shape: (channels, height, width) of one image, in [0, 1]; or (L,), tokens of one text.
        classes: Width of the logits.
        options: Each field of :class:`TransformersOptions` as a keyword.

    Raises:
        MissingExtra: If transformers is not installed.
        ModelError: If there is no such network, it cannot be loaded, or it does not fit the tokens.
    """
    if not options.network:
        raise ModelError(
            "a network of transformers needs a name",
            expected="the option network: a name on the hub, or a folder with config.json",
        )
    library = _library()
    if len(input_shape) == IMAGE_AXES:
        model = _loaded(library, IMAGES, options, num_labels=classes)
        mean, std = _normalisation(options.network)
        check_input(input_shape, mean, options.network)
        return Normalised(model, mean, std)
    return _text_network(library, input_shape, classes, options)


def named_classes(model: nn.Module) -> tuple[str, ...] | None:
    """The class names in the configuration of a network of transformers, in the order of its logits.

    None for other networks, for language models, and if the names are the library's defaults (``LABEL_0``).
    """
    network = getattr(model, "network", None)
    labels = getattr(getattr(network, "config", None), "id2label", None)
    if not isinstance(labels, dict) or not type(network).__name__.endswith("Classification"):
        return None
    names = tuple(str(labels[key]) for key in sorted(labels))
    return None if names == tuple(f"LABEL_{k}" for k in range(len(names))) else names


def _library() -> Any:
    try:
        prepare_torchvision()
        import transformers as library
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            "networks of transformers need transformers",
            remedy="python -m pip install -c constraints.txt transformers",
            got=error,
        ) from error
    return library


def _text_network(
    library: Any, input_shape: Sequence[int], classes: int, options: TransformersOptions
) -> TextNetwork:
    if options.task not in TASKS:
        raise ModelError(
            "transformers has no such task for tokens", expected=", ".join(TASKS), got=options.task
        )
    vocabulary = options.vocabulary or (classes if options.task != "classify" else 0)
    if len(input_shape) != 1 or vocabulary < 1:
        raise ModelError(
            f"{options.network} needs images or token sequences",
            expected="inputs (C, H, W), or (L,) and the size of their vocabulary",
            got=f"inputs {tuple(input_shape)}, vocabulary {vocabulary}",
        )
    padding = options.padding if options.padding >= 0 else None
    # Without a cache of keys and values: whole sequences are read at once, and the output stays small.
    sizes: dict[str, Any] = {"pad_token_id": padding, "use_cache": False}
    sizes |= {"num_labels": classes} if options.task == "classify" else {}
    sizes |= {} if options.pretrained else {"vocab_size": vocabulary}
    model = _loaded(library, TASKS[options.task], options, **sizes)
    _check_tokens(model, input_shape[0], vocabulary, options)
    return TextNetwork(model, options.padding, options.separator)


def _loaded(library: Any, kind: str, options: TransformersOptions, **sizes: Any) -> nn.Module:
    """The network in float32, whatever the dtype of its weights; code from the hub is never run."""
    network = options.network
    try:
        config = library.AutoConfig.from_pretrained(network, trust_remote_code=False)
        before = getattr(config, "pad_token_id", None)
        for name, value in sizes.items():
            setattr(config, name, value)
        padding = sizes.get("pad_token_id")
        if options.pretrained and padding is not None and before not in (None, padding):
            raise ModelError(
                f"{network} was trained with a different padding token from that of the data",
                expected=f"padding = {before}",
                got=f"padding = {padding}",
                remedy="prepare the data with the tokenizer of the network",
            )
        auto = getattr(library, kind)
        if options.pretrained:
            model = auto.from_pretrained(
                network,
                config=config,
                # A classifier's head may be new; a language model's must fit the vocabulary.
                ignore_mismatched_sizes=options.task == "classify",
                use_safetensors=True,
                trust_remote_code=False,
            )
        else:
            model = auto.from_config(config, trust_remote_code=False)
    except FAILURES as error:
        raise ModelError(
            f"transformers cannot make {network!r}",
            got=" ".join(str(error).split())[:300],
            remedy="check the name; without a network connection give the folder of its files",
        ) from error
    network_in_float32: nn.Module = model.float()
    return network_in_float32


def _check_tokens(model: nn.Module, length: int, vocabulary: int, options: TransformersOptions) -> None:
    config: Any = model.config
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and length > positions:
        raise ModelError(
            f"the texts are too long for {options.network}",
            expected=f"at most {positions} tokens",
            got=length,
            remedy="truncate the texts",
        )
    exact = options.task != "classify"
    if vocabulary > config.vocab_size or (exact and vocabulary != config.vocab_size):
        raise ModelError(
            f"the vocabulary of {options.network} is not that of the data",
            expected=f"{config.vocab_size} tokens",
            got=f"{vocabulary} tokens",
            remedy="prepare the data with the tokenizer of the network",
        )


def _normalisation(network: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation from the network's image processor; those of ViT if it has none."""
    from transformers.image_processing_utils import ImageProcessingMixin

    try:
        preset, _ = ImageProcessingMixin.get_image_processor_dict(network)
    except OSError:
        preset = {}
    return tuple(preset.get("image_mean", HALF)), tuple(preset.get("image_std", HALF))
