"""Networks by name, their activations and their weights."""

from bequest.models.catalogue import MODELS, build_model, parameter_count, state_count
from bequest.models.cnn import cnn
from bequest.models.involution import Involution, involve, rednet, rednet26, rednet50, rednet101
from bequest.models.lstm import lstm, lstm_lm
from bequest.models.maxout import maxout_cnn
from bequest.models.mlp import mlp
from bequest.models.pretrained import Adoption, adopt, load_published, read_weights
from bequest.models.regnet import regnety_032, regnety_040
from bequest.models.resnet import resnet8, resnet20, resnet32, resnet44, resnet56
from bequest.models.transformer import (
    transformer,
    transformer_lm,
    transformer_mlm,
    transformer_seq,
    utransformer_seq,
)
from bequest.models.vit import deit_small, deit_tiny, vit

__all__ = [
    "MODELS",
    "Adoption",
    "Involution",
    "adopt",
    "build_model",
    "cnn",
    "deit_small",
    "deit_tiny",
    "involve",
    "load_published",
    "lstm",
    "lstm_lm",
    "maxout_cnn",
    "mlp",
    "parameter_count",
    "read_weights",
    "rednet",
    "rednet26",
    "rednet50",
    "rednet101",
    "regnety_032",
    "regnety_040",
    "resnet8",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "state_count",
    "transformer",
    "transformer_lm",
    "transformer_mlm",
    "transformer_seq",
    "utransformer_seq",
    "vit",
]
