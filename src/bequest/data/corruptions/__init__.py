"""Corruptions of images in steps of severity: the 15 of MNIST-C, and families for any images."""

from __future__ import annotations

from bequest.data.corruptions.blur import gaussian_blur, glass_blur, jpeg, motion_blur, pixelate
from bequest.data.corruptions.corruption import CORRUPTIONS, Corruption, corrupt
from bequest.data.corruptions.degrade import Degrade
from bequest.data.corruptions.geometry import rotate, scale, shear, translate
from bequest.data.corruptions.lines import canny_edges, dotted_line, zigzag
from bequest.data.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from bequest.data.corruptions.tone import brightness, contrast, occlusion, stripe
from bequest.data.corruptions.weather import fog, spatter

MNIST_C = (
    shot_noise,
    impulse_noise,
    glass_blur,
    motion_blur,
    shear,
    scale,
    rotate,
    brightness,
    translate,
    stripe,
    fog,
    spatter,
    dotted_line,
    zigzag,
    canny_edges,
)
"""The corruptions of MNIST-C (Mu & Gilmer 2019), in its order."""

FAMILIES = (
    translate,
    scale,
    rotate,
    shear,
    gaussian_noise,
    shot_noise,
    impulse_noise,
    gaussian_blur,
    glass_blur,
    motion_blur,
    jpeg,
    pixelate,
    contrast,
    brightness,
    occlusion,
    fog,
    spatter,
)
"""Those with five levels, for curves."""

__all__ = ["CORRUPTIONS", "FAMILIES", "MNIST_C", "Corruption", "Degrade", "corrupt"]
