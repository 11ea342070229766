"""Image files as pixels: any size and mode, decoded when they are needed, kept resized."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from bequest.data.compressed import read_npz
from bequest.errors import DataError, RunFolderError
from bequest.files import write_bytes

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Files whose names end so are images."""

RARE_SUFFIXES = frozenset({"", ".avif", ".jfif", ".jp2", ".jpe"})
"""Files whose names end so are images if their content is."""

Fit = Literal["crop", "pad", "stretch"]
Channels = Literal[1, 3]
SIXTEEN_BITS = 65535.0
BRIGHTEST = 255
WHITE = (255, 255, 255, 255)
FORMAT = 2
"""Part of every name in the cache: raise it when the same file comes to mean other pixels."""

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
"""What sets an image upright, by its EXIF orientation (EXIF 2.3, table 6)."""


@dataclass(frozen=True)
class Shape:
    """What every image is made into.

    Attributes:
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fit: ``crop``: the shorter side becomes ``size`` and the middle is kept; ``pad``: the longer side
            does, and black fills up; ``stretch``: both do.

    Raises:
        DataError: If one of them is not possible.
    """

    size: int
    channels: Channels = 3
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise DataError("images cannot have this size", expected="size ≥ 1 in pixels", got=self.size)
        if self.channels not in get_args(Channels):
            raise DataError(
                "images cannot have so many channels", expected="channels 1 or 3", got=self.channels
            )
        if self.fit not in get_args(Fit):
            raise DataError(
                "there is no such way to fit images", expected=" or ".join(get_args(Fit)), got=self.fit
            )


@dataclass(frozen=True)
class Decoded:
    """Images as pixels.

    Attributes:
        x: uint8 (M, C, S, S), of the files that could be read, in their order.
        readable: Which files these are, int64 (M,).
        unreadable: The other files, each with the reason.
    """

    x: Tensor
    readable: Tensor
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
                return pixels_of(opened, shape)
    except Exception as error:  # Pillow's plugins raise whatever the damaged bytes lead to
        raise DataError(f"{path} cannot be read as an image", got=_reason(error)) from error


def pixels_of(image: Image.Image, shape: Shape) -> UInt8[np.ndarray, "c s s"]:
    """An image of Pillow's as pixels; see :func:`decode`, which turns its errors into ours."""
    converted = _eight_bits(_upright(image)).convert("RGB" if shape.channels == 3 else "L")
    pixels = np.asarray(_fitted(converted, shape), dtype=np.uint8)
    return pixels.transpose(2, 0, 1).copy() if shape.channels == 3 else pixels[None].copy()


def is_image(path: Path) -> bool:
    """Whether a file's content begins as an image does, whatever its name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path):
                return True
    except Exception:  # see decode
        return False


def decode_all(paths: Sequence[Path], shape: Shape, *, cache: Path | None = None) -> Decoded:
    """Many image files as pixels; what a cache has is not decoded again.

    Args:
        paths: The files.
        shape: What they are made into.
        cache: A folder in which the result is kept under a name that follows from the files' paths, sizes
            and times of change; None to keep nothing.
    """
    cache_path = None if cache is None else cache / f"{_identity(paths, shape)}.npz"
    cached = _from_cache(cache_path, len(paths), shape)
    if cached is not None:
        return cached
    images, readable, unreadable = [], [], []
    for row, path in enumerate(paths):
        try:
            images.append(decode(path, shape))
            readable.append(row)
        except DataError as error:
            unreadable.append(f"{path}: {error.got}")
    blank = np.empty((0, shape.channels, shape.size, shape.size), np.uint8)
    stacked = np.stack(images) if images else blank
    decoded = Decoded(torch.from_numpy(stacked), torch.tensor(readable, dtype=torch.int64), tuple(unreadable))
    _to_cache(cache_path, decoded)
    return decoded


def cache_folder() -> Path:
    """Where resized images are kept: the user's cache folder (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bequest" / "images"


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF or XMP orientation says.

    Not ``ImageOps.exif_transpose``: that writes all metadata again, and fails on tags of the wrong type. An
    orientation that cannot be read counts as none, as image viewers have it.
    """
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # metadata is parsed when it is asked for, with any error
        turn = None
    return image if turn is None else image.transpose(turn)


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


def _from_cache(path: Path | None, count: int, shape: Shape) -> Decoded | None:
    """The cached pixels of ``count`` files; a cache file that is absent or damaged is ignored."""
    if path is None or not path.exists():
        return None
    try:
        arrays = read_npz(path, ("x", "readable", "unreadable"))
    except DataError:
        return None
    x, readable, unreadable = arrays["x"], arrays["readable"], arrays["unreadable"]
    whole = (
        x.dtype == np.uint8
        and x.shape == (len(readable), shape.channels, shape.size, shape.size)
        and readable.dtype == np.int64
        and len(readable) + len(unreadable) == count
    )
    if not whole:
        return None
    return Decoded(torch.from_numpy(x), torch.from_numpy(readable), tuple(str(each) for each in unreadable))


def _to_cache(path: Path | None, decoded: Decoded) -> None:
    if path is None:
        return
    buffer = io.BytesIO()
    unreadable = np.array(decoded.unreadable, dtype=np.str_)
    np.savez(buffer, x=decoded.x.numpy(), readable=decoded.readable.numpy(), unreadable=unreadable)
    try:
        write_bytes(path, buffer.getvalue())
    except RunFolderError:  # a cache that cannot be written costs time, nothing else
        return


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
