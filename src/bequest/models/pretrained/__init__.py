"""Pretrained weights from any source, and networks of other libraries."""

from bequest.models.pretrained import efficientnet_lite, from_timm, from_torchvision, from_transformers
from bequest.models.pretrained.adoption import Adoption, adopt
from bequest.models.pretrained.normalised import Normalised
from bequest.models.pretrained.published import load_published
from bequest.models.pretrained.weights_file import PretrainedWeights, read_weights

__all__ = [
    "Adoption",
    "Normalised",
    "PretrainedWeights",
    "adopt",
    "efficientnet_lite",
    "from_timm",
    "from_torchvision",
    "from_transformers",
    "load_published",
    "read_weights",
]
