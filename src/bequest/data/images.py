"""Image files as pixels: any size and mode, decoded when they are needed, kept resized."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from bequest.errors import DataError, RunFolderError
from bequest.files import write_bytes

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Files whose names end so are images."""

Fit = Literal["crop", "pad", "stretch"]
Channels = Literal[1, 3]
SIXTEEN_BITS = 65535.0
BRIGHTEST = 255
WHITE = (255, 255, 255, 255)
FORMAT = 1
"""Part of every name in the cache: raise it when the same file comes to mean other pixels."""

UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    SyntaxError,
    ValueError,
    EOFError,
)
"""What Pillow raises on files that are damaged, cut off, or no images."""


@dataclass(frozen=True)
class Shape:
    """What every image is made into.

    Attributes:
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fit: ``crop``: the shorter side becomes ``size`` and the middle is kept; ``pad``: the longer side
            does, and black fills up; ``stretch``: both do.
    """

    size: int
    channels: Channels = 3
    fit: Fit = "crop"


@dataclass(frozen=True)
class Decoded:
    """Images as pixels.

    Attributes:
        x: uint8 (M, C, S, S), of the files that could be read, in their order.
        kept: Which files these are, int64 (M,).
        unreadable: The other files, each with the reason.
    """

    x: Tensor
    kept: Tensor
    unreadable: tuple[str, ...]


def decode(path: Path, shape: Shape) -> UInt8[np.ndarray, "c s s"]:
    """One image file as pixels.

    Turned as its EXIF tag says. Transparent pixels lie on white; palettes and CMYK become RGB; 16-bit
    greys become 8-bit ones, and so do floating-point greys in [0, 1]. Of an animation the first frame counts.

    Raises:
        DataError: If the file is damaged, cut off, no image, or of pixels without a known range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's on odd metadata; what cannot be read raises
            with Image.open(path) as opened:
                upright = ImageOps.exif_transpose(opened)
                image = _eight_bits(upright).convert("RGB" if shape.channels == 3 else "L")
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as an image", got=_reason(error)) from error
    pixels = np.asarray(_fitted(image, shape), dtype=np.uint8)
    return pixels.transpose(2, 0, 1).copy() if shape.channels == 3 else pixels[None].copy()


def decode_all(paths: Sequence[Path], shape: Shape, *, cache: Path | None = None) -> Decoded:
    """Many image files as pixels; what a cache has is not decoded again.

    Args:
        paths: The files.
        shape: What they are made into.
        cache: A folder in which the result is kept under a name that follows from the files' paths, sizes
            and times of change; None to keep nothing.
    """
    kept_at = None if cache is None else cache / f"{_identity(paths, shape)}.npz"
    found = _from_cache(kept_at)
    if found is not None:
        return found
    images, kept, unreadable = [], [], []
    for row, path in enumerate(paths):
        try:
            images.append(decode(path, shape))
            kept.append(row)
        except DataError as error:
            unreadable.append(f"{path}: {error.got}")
    blank = np.empty((0, shape.channels, shape.size, shape.size), np.uint8)
    stacked = np.stack(images) if images else blank
    decoded = Decoded(torch.from_numpy(stacked), torch.tensor(kept, dtype=torch.int64), tuple(unreadable))
    _to_cache(kept_at, decoded)
    return decoded


def cache_folder() -> Path:
    """Where resized images are kept: the user's cache folder (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bequest" / "images"


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with 8 bits a channel and nothing behind it."""
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


def _identity(paths: Sequence[Path], shape: Shape) -> str:
    """What tells lists of files apart, and versions of the same file."""
    state = hashlib.sha256(f"{FORMAT} {shape}".encode())
    for path in paths:
        facts = path.stat()
        state.update(f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}\n".encode())
    return state.hexdigest()[:32]


def _from_cache(path: Path | None) -> Decoded | None:
    """What was kept; a file that is absent or damaged counts as none."""
    if path is None or not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            x, kept, unreadable = file["x"], file["kept"], file["unreadable"]
    except (OSError, ValueError, EOFError, KeyError):
        return None
    return Decoded(torch.from_numpy(x), torch.from_numpy(kept), tuple(str(each) for each in unreadable))


def _to_cache(path: Path | None, decoded: Decoded) -> None:
    if path is None:
        return
    buffer = io.BytesIO()
    unreadable = np.array(decoded.unreadable, dtype=np.str_)
    np.savez(buffer, x=decoded.x.numpy(), kept=decoded.kept.numpy(), unreadable=unreadable)
    try:
        write_bytes(path, buffer.getvalue())
    except RunFolderError:  # a cache that cannot be written costs time, nothing else
        return


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
