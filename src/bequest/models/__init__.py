"""Networks by name, their activations and their weights."""

from bequest.models.catalogue import MODELS, build_model, parameter_count, state_count
from bequest.models.cnn import cnn
from bequest.models.maxout import maxout_cnn
from bequest.models.mlp import mlp
from bequest.models.pretrained import Adoption, adopt, read_weights
from bequest.models.resnet import load_published, resnet20, resnet32, resnet44, resnet56

__all__ = [
    "MODELS",
    "Adoption",
    "adopt",
    "build_model",
    "cnn",
    "load_published",
    "maxout_cnn",
    "mlp",
    "parameter_count",
    "read_weights",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "state_count",
]
