"""Views: augmentation as a pure function of (seed, sample, view)."""

from __future__ import annotations

from bequest.data.views.geometry import (
    Crop,
    Flip,
    ResizedCrop,
    Rotate,
    Scale,
    Shear,
    Shift,
    ShiftAmong,
    ShiftEach,
)
from bequest.data.views.mixing import CutMix, Mixup
from bequest.data.views.pixels import Brightness, Contrast, Erase, Noise, Recolour
from bequest.data.views.randaugment import Randaugment
from bequest.data.views.view import Choice, Compose, Identity, Key, Mixing, Pool, View, parse_views
from bequest.data.views.words import WordDropout

__all__ = [
    "Brightness",
    "Choice",
    "Compose",
    "Contrast",
    "Crop",
    "CutMix",
    "Erase",
    "Flip",
    "Identity",
    "Key",
    "Mixing",
    "Mixup",
    "Noise",
    "Pool",
    "Randaugment",
    "Recolour",
    "ResizedCrop",
    "Rotate",
    "Scale",
    "Shear",
    "Shift",
    "ShiftAmong",
    "ShiftEach",
    "View",
    "WordDropout",
    "parse_views",
]
