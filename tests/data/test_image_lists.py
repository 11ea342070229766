"""Which files are images of which split: folders as people name them, and what is left out is named."""

from __future__ import annotations

import errno
import io
import os
import struct

import numpy as np
import pytest
from PIL import Image

from bequest.data import load_dataset
from bequest.data.image_file import Shape, decode
from bequest.data.image_lists import folder_listings, read_rows, split_of
from bequest.data.images import decode_all
from bequest.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


@pytest.fixture
def tree(tmp_path):
    """Makes a folder of small JPEG files and (with a slash at the end) empty folders."""

    def make(*paths):
        for path in paths:
            if path.endswith("/"):
                (tmp_path / path).mkdir(parents=True)
                continue
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = RNG.integers(0, 255, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / path, format="JPEG")
        return tmp_path

    return make


def many(name, count=6, ending=".jpg", at=""):
    return [f"{at}{name}/{k}{ending}" for k in range(count)]


def load(root, **options):
    return load_dataset(f"folder:{root}", size=4, cache=False, **options)


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("Training", "Testing"), ("training_set", "test_set"), ("TRAIN-data", "tests")],
)
def test_splits_by_the_names_people_use(tree, train, test):
    root = tree(*(f for c in ("cat", "dog") for at in (train, test) for f in many(c, at=f"{at}/")))
    if test == "tests":
        assert split_of(test) is None
        return
    data = load(root)
    assert data.classes == ("cat", "dog")
    assert len(data["test"]) == 12


def test_two_folders_for_one_split_are_refused(tree):
    root = tree(*many("cat", at="train/"), *many("cat", at="Training/"))
    with pytest.raises(DataError, match="two folders for the split train"):
        load(root)


def test_splits_without_training_images_are_refused(tree):
    root = tree(*(f for c in ("cat", "dog") for at in ("test/", "val/") for f in many(c, at=at)))
    with pytest.raises(DataError, match="no folder of training images"):
        load(root)
    with pytest.raises(DataError, match="no folder of training images"):
        load(root, splits={"test": "val"})


@pytest.mark.parametrize("at", ["", "train/"])
def test_an_empty_class_folder_is_named(tree, at):
    root = tree(*many("cat", at=at), *many("dog", at=at), f"{at}fox/")
    with pytest.raises(DataError, match="class folders without images") as refused:
        load(root)
    assert "fox" in str(refused.value)
    assert load(root, classes=["cat", "dog"]).classes == ("cat", "dog")


def test_files_that_are_no_images_are_named(tree):
    root = tree(*many("cat"), *many("dog"))
    (root / "cat" / "notes.txt").write_text("text")
    assert load(root).notes == ("train: 1 file that is not an image was left out: cat/notes.txt",)
    (root / "fox").mkdir()
    (root / "fox" / "0.npy").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'fox' \(1 file that is not an image\)"):
        load(root)


@pytest.mark.parametrize("ending", [".jfif", ""])
def test_images_with_other_names_are_read_by_their_content(tree, ending):
    root = tree(*many("cat"), *many("dog", ending=ending))
    data = load(root)
    assert data.classes == ("cat", "dog")
    assert data.notes[0].startswith("train: 6 files are images by their content, not by name: dog/0")
    (root / "dog" / "README").write_text("text")
    assert "dog/README" in load(root).notes[0]


def test_a_root_one_folder_too_high_is_refused(tree):
    root = tree(*many("cat", at="photos/"), *many("dog", at="photos/"), *many("x", at="extra/"))
    with pytest.raises(DataError, match="they lie in subfolders") as refused:
        load(root)
    assert "nested = true" in str(refused.value)
    assert load(root, nested=True).classes == ("extra", "photos")


def test_one_file_in_two_splits_is_refused_by_folder_and_by_list(tree):
    root = tree(*(f for c in ("cat", "dog") for f in many(c, at="train/")), *many("cat", 2, at="test/"))
    (root / "test" / "cat" / "again.jpg").hardlink_to(root / "train" / "cat" / "0.jpg")
    with pytest.raises(DataError, match="1 file is in two splits"):
        load(root)
    rows = [f"train/{c}/{k}.jpg,{c},train" for c in ("cat", "dog") for k in range(6)]
    listing = root / "list.csv"
    listing.write_text("\n".join(["file,label,split", *rows, "train/../train/cat/0.jpg,cat,test"]))
    with pytest.raises(DataError, match=r"line 14: train/\.\./train/cat/0\.jpg was listed in line 2"):
        load_dataset(f"csv:{listing}", size=4, cache=False)
    listing.write_text("\n".join(["file,label,split", *rows, "test/cat/again.jpg,cat,test"]))
    with pytest.raises(DataError, match=r"test/cat/again.jpg is in train \(as train/cat/0.jpg\) and test"):
        load_dataset(f"csv:{listing}", size=4, cache=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size"), ({"channels": 4}, "channels"), ({"fit": "squash"}, "fit"),
        ({"classes": ["cat", "cat"]}, "named twice"), ({"validation": 1.5}, "shares to hold out"),
    ],
)  # fmt: skip
def test_options_that_are_not_possible(tree, options, message):
    root = tree(*many("cat"), *many("dog"))
    with pytest.raises((ConfigError, DataError), match=message):
        load_dataset(f"folder:{root}", **{"size": 4, "cache": False, **options})


def test_shapes_that_are_not_possible():
    def unchecked(size, channels, fit):  # without the type checks that run under pytest alone
        shape = object.__new__(Shape)
        for name, value in (("size", size), ("channels", channels), ("fit", fit)):
            object.__setattr__(shape, name, value)
        shape.__post_init__()

    with pytest.raises(DataError, match="size must be at least 1 pixel"):
        unchecked(0, 3, "crop")
    with pytest.raises(DataError, match="channels must be 1 or 3"):
        unchecked(4, 4, "crop")
    with pytest.raises(DataError, match="unknown fit"):
        unchecked(4, 3, "squash")


def tiff(entries):
    """EXIF data of these (tag, type, count, value) entries, little-endian."""
    place = 8 + 2 + 12 * len(entries) + 4
    body, out = b"", struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        out += struct.pack("<HHI", tag, kind, count)
        if isinstance(value, bytes) and len(value) > 4:
            out += struct.pack("<I", place + len(body))
            body += value
        else:
            out += (value if isinstance(value, bytes) else struct.pack("<I", value)).ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + out + b"\0\0\0\0" + body


TURNED = (0x112, 3, 1, 6)
ODD = {
    "resolution as a byte": [TURNED, (0x11B, 1, 1, b"\0")],
    "width as text": [TURNED, (0x100, 2, 6, b"maker\0")],
    "resolution as text": [TURNED, (0x11A, 2, 3, b"72\0")],
    "unit as text": [TURNED, (0x128, 2, 2, b"2\0")],
    "0/0 resolution": [TURNED, (0x11A, 5, 1, struct.pack("<II", 0, 0))],
    "not-a-number resolution": [TURNED, (0x11A, 11, 1, struct.pack("<f", float("nan")))],
}


@pytest.mark.parametrize("name", ODD)
def test_a_photo_with_odd_metadata_is_read_and_turned(name, tmp_path):
    tall = Image.new("RGB", (4, 8), (255, 0, 0))
    tall.paste((0, 0, 255), (0, 0, 4, 4))
    buffer = io.BytesIO()
    tall.save(buffer, "JPEG", quality=95, exif=b"Exif\0\0" + tiff(ODD[name]))
    (tmp_path / "p.jpg").write_bytes(buffer.getvalue())
    upright = decode(tmp_path / "p.jpg", Shape(4, fit="stretch"))
    assert upright[2, 2, 3] > 200  # the upper, blue half has become the right one
    assert upright[0, 2, 0] > 200


def test_whatever_pillow_raises_is_an_unreadable_file(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for error in (
        struct.error("odd"),
        TypeError("odd"),
        ZeroDivisionError("odd"),
        RuntimeError("odd"),
        KeyError("odd"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("bequest.data.image_file._upright", fail)
        decoded = decode_all([tmp_path / "a.png"], Shape(4))
        assert len(decoded.unreadable) == 1
        assert len(decoded.x) == 0


def test_a_header_of_200_000_columns_is_read_at_once(tmp_path):
    """Comparing each name with each other would take minutes."""
    names = [f"c{place}" for place in range(200_000)]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join("1" * len(names)) + "\n")
    (row,) = read_rows(tmp_path / "wide.csv")
    assert list(row) == names


def test_a_folder_that_may_not_be_read_is_named_and_not_left_out(tree, monkeypatch):
    root = tree("cat/1.jpg", "cat/more/2.jpg", "dog/1.jpg")
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("more"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"cat/more cannot be read") as caught:
        folder_listings(root, None)
    assert caught.value.got == "Permission denied"
