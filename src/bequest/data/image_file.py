"""An image file as pixels: any size and mode; see :mod:`bequest.data.images` for many."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from bequest.errors import DataError

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of image files."""

RARE_SUFFIXES = frozenset({"", ".avif", ".jfif", ".jp2", ".jpe"})
"""Suffixes of files that are images if their content is one."""

Fit = Literal["crop", "pad", "stretch"]
Channels = Literal[1, 3]
SIXTEEN_BITS = 65535.0
BRIGHTEST = 255
WHITE = (255, 255, 255, 255)
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that sets an image upright, by its EXIF orientation (EXIF 2.3, table 6)."""


@dataclass(frozen=True)
class Shape:
    """The size, channels and fit of every image.

    Attributes:
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fit: ``crop``: the shorter side becomes ``size`` and the middle is kept; ``pad``: the longer side
            does, with black borders; ``stretch``: both do.

    Raises:
        DataError: If one of them is not possible.
    """

    size: int
    channels: Channels = 3
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise DataError("size must be at least 1 pixel", expected="1 or more, in pixels", got=self.size)
        if self.channels not in get_args(Channels):
            raise DataError("channels must be 1 or 3", expected="1 or 3", got=self.channels)
        if self.fit not in get_args(Fit):
            raise DataError(f"unknown fit {self.fit!r}", expected=" or ".join(get_args(Fit)), got=self.fit)


def decode(path: Path, shape: Shape) -> UInt8[np.ndarray, "c s s"]:
    """One image file as pixels.

    It is turned according to its EXIF tag. Transparent pixels are placed on white; palettes and CMYK become
    RGB; 16-bit greys and floating-point greys in [0, 1] become 8-bit ones. Animations give their first frame.

    Raises:
        DataError: If the file is damaged, cut off, not an image, or its pixels have no known range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd metadata; unreadable files raise
            with Image.open(path) as opened:
                return pixels_of(opened, shape)
    except Exception as error:  # Pillow's plugins raise whatever the damaged bytes lead to
        raise DataError(f"{path} cannot be read as an image", got=_reason(error)) from error


def pixels_of(image: Image.Image, shape: Shape) -> UInt8[np.ndarray, "c s s"]:
    """A Pillow image as pixels; see :func:`decode`, which turns its exceptions into DataErrors."""
    converted = _eight_bits(_upright(image)).convert("RGB" if shape.channels == 3 else "L")
    pixels = np.asarray(_fitted(converted, shape), dtype=np.uint8)
    return pixels.transpose(2, 0, 1).copy() if shape.channels == 3 else pixels[None].copy()


def is_image(path: Path) -> bool:
    """Whether a file's content begins like an image, regardless of its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path):
                return True
    except Exception:  # see decode
        return False


def _upright(image: Image.Image) -> Image.Image:
    """The image turned according to its EXIF or XMP orientation.

    Not ``ImageOps.exif_transpose``, which rewrites all metadata and fails on tags of the wrong type. An
    orientation that cannot be read is ignored, as image viewers do.
    """
    # Decoded first: with a damaged image, the error should be about its pixels, not its metadata.
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # metadata is parsed here, and may raise anything
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel and without transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        most = 1.0 if image.mode == "F" else SIXTEEN_BITS
        if not (low >= 0 and high <= most):
            raise ValueError(f"pixels of mode {image.mode} from {low:g} to {high:g}; expected 0 to {most:g}")
        return Image.fromarray(np.round(values / most * BRIGHTEST).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, WHITE), coloured)
    return image


def _fitted(image: Image.Image, shape: Shape) -> Image.Image:
    size = (shape.size, shape.size)
    if image.size == size:
        return image
    if shape.fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    if shape.fit == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BICUBIC)
    return image.resize(size, Image.Resampling.BICUBIC)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
