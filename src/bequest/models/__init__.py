"""Networks by name, their activations and their weights."""

from bequest.models.catalogue import MODELS, build_model, parameter_count
from bequest.models.cnn import cnn
from bequest.models.lstm import lstm, lstm_lm
from bequest.models.mlp import mlp
from bequest.models.resnet import load_published, resnet20, resnet32, resnet44, resnet56
from bequest.models.transformer import transformer, transformer_lm, transformer_seq, utransformer_seq

__all__ = [
    "MODELS",
    "build_model",
    "cnn",
    "load_published",
    "lstm",
    "lstm_lm",
    "mlp",
    "parameter_count",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "transformer",
    "transformer_lm",
    "transformer_seq",
    "utransformer_seq",
]
