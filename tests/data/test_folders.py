"""Folders and lists of images: every kind of file, splits, few-shot subsets, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from bequest.data.datasets import load_dataset
from bequest.data.folders import few_shot, subset
from bequest.data.image_file import Shape, decode
from bequest.data.images import cache_folder
from bequest.errors import ConfigError, DataError

RED = (255, 0, 0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """Two classes of 6 images each, of several sizes."""
    root = tmp_path / "photos"
    for k, colour in enumerate((RED, (0, 0, 255))):
        place = root / f"class{k}"
        place.mkdir(parents=True)
        for index in range(6):
            Image.new("RGB", (10 + index, 20 - index), colour).save(place / f"{index}.png")
    return root


def test_a_folder_becomes_splits_of_pixels(photos):
    data = load_dataset(f"folder:{photos}", size=8)
    assert data.classes == ("class0", "class1")
    assert data.input_shape == (3, 8, 8)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 8, "validation": 2, "test": 2
    }  # fmt: skip
    first = data["train"].x[data["train"].y == 0]
    assert torch.equal(first, torch.tensor(RED).view(1, 3, 1, 1).expand(4, 3, 8, 8) / 255)
    together = torch.cat([split.ids for split in data.splits.values()])
    assert len(torch.unique(together)) == 12


def test_an_id_follows_from_the_path_alone(photos):
    before = load_dataset(f"folder:{photos}", size=4)
    ids = set(torch.cat([split.ids for split in before.splits.values()]).tolist())
    Image.new("RGB", (5, 5), RED).save(photos / "class0" / "00.png")
    after = load_dataset(f"folder:{photos}", size=8)
    assert ids < set(torch.cat([split.ids for split in after.splits.values()]).tolist())


def test_split_folders_are_found_and_can_be_named(photos, tmp_path):
    root = tmp_path / "split"
    root.mkdir()
    for name in ("train", "val"):
        shutil.copytree(photos, root / name)
    found = load_dataset(f"folder:{root}", size=4, test=0.4)
    assert {name: len(split) for name, split in found.splits.items()} == {
        "train": 7, "validation": 12, "test": 5
    }  # fmt: skip
    named = load_dataset(f"folder:{root}", size=4, splits={"train": "train", "test": "val"})
    assert len(named["test"]) == 12
    for k in range(10):
        (root / f"z{k}").mkdir()
    assert (
        "folders that are not splits were left out: z0, z1" in load_dataset(f"folder:{root}", size=4).notes[0]
    )
    with pytest.raises(DataError, match="no such split") as caught:
        load_dataset(f"folder:{root}", splits={"train": "trian"})
    assert "folders train, val, z0, z1, z2, z3, z4, z5, and 4 more" in str(caught.value)


def _saved(image, path):
    image.save(path)
    return decode(path, Shape(2))


def test_every_kind_of_pixels_becomes_eight_bit_colour(tmp_path):
    grey = _saved(Image.new("L", (2, 2), 100), tmp_path / "grey.png")
    assert (grey == 100).all()
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert (_saved(clear, tmp_path / "clear.png") == 255).all()
    deep = Image.fromarray(np.full((2, 2), 65535 // 3, np.uint16))
    assert (_saved(deep, tmp_path / "deep.png") == 85).all()
    palette = Image.new("P", (2, 2))
    palette.putpalette(RED)
    assert _saved(palette, tmp_path / "palette.png")[:, 0, 0].tolist() == list(RED)
    cmyk = _saved(Image.new("CMYK", (2, 2), (0, 0, 0, 0)), tmp_path / "cmyk.tif")
    assert (cmyk == 255).all()
    real = _saved(Image.fromarray(np.full((2, 2), 0.2, np.float32)), tmp_path / "real.tif")
    assert (real == 51).all()
    assert decode(tmp_path / "grey.png", Shape(2, channels=1)).shape == (1, 2, 2)


def test_pixels_without_a_known_range_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 7.0, np.float32)).save(tmp_path / "odd.tif")
    with pytest.raises(DataError, match="expected 0 to 1"):
        decode(tmp_path / "odd.tif", Shape(2))


def test_the_three_ways_to_fit(tmp_path):
    wide = Image.new("RGB", (40, 20), RED)
    wide.paste((0, 255, 0), (0, 0, 10, 20))
    wide.save(tmp_path / "wide.png")
    middle = decode(tmp_path / "wide.png", Shape(20, fit="crop"))
    assert (middle[1] == 0).all()
    padded = decode(tmp_path / "wide.png", Shape(20, fit="pad"))
    assert (padded[:, 0] == 0).all()
    stretched = decode(tmp_path / "wide.png", Shape(20, fit="stretch"))
    assert stretched[1, 10, 0] == 255
    assert stretched[0, 10, 19] == 255


def test_a_photo_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = Image.new("RGB", (4, 8), RED)
    tall.paste((0, 0, 255), (0, 0, 4, 4))
    tall.save(tmp_path / "turned.png", exif=exif)
    upright = decode(tmp_path / "turned.png", Shape(4, fit="stretch"))
    assert upright[2, 2, 3] == 255
    assert upright[2, 2, 0] == 0


def test_corrupt_files_are_named_and_left_out_only_when_asked(photos):
    whole = (photos / "class0" / "0.png").read_bytes()
    (photos / "class0" / "cut.png").write_bytes(whole[:-30])
    (photos / "class1" / "text.jpg").write_text("no image")
    with pytest.raises(DataError) as refused:
        load_dataset(f"folder:{photos}", size=4)
    assert "2 files" in str(refused.value)
    assert "cut.png" in str(refused.value)
    assert "text.jpg" in str(refused.value)
    assert "skip_unreadable" in str(refused.value)
    data = load_dataset(f"folder:{photos}", size=4, skip_unreadable=True)
    assert sum(map(len, data.splits.values())) == 12
    assert data.notes[0].startswith("2 unreadable files were left out")


def test_one_image_classes_are_refused_with_their_names(photos):
    lonely = photos / "lonely"
    lonely.mkdir()
    Image.new("RGB", (4, 4)).save(lonely / "a.png")
    with pytest.raises(DataError, match=r"lonely \(1\)"):
        load_dataset(f"folder:{photos}", size=4)
    data = load_dataset(f"folder:{photos}", size=4, classes=["class1", "class0"])
    assert data.classes == ("class1", "class0")


def test_classes_of_the_splits_must_be_those_of_training(photos, tmp_path):
    root = tmp_path / "split"
    root.mkdir()
    (root / "train").symlink_to(photos)
    (root / "val" / "other").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(root / "val" / "other" / "a.png")
    with pytest.raises(DataError, match="validation has classes that train lacks: other"):
        load_dataset(f"folder:{root}", size=4)
    with pytest.raises(DataError, match="there is no class 'daisy'"):
        load_dataset(f"folder:{root}", size=4, classes=["daisy"])


def test_few_shot_subsets_grow_and_follow_the_seed(photos):
    labels = torch.arange(60) % 3
    few, more = (few_shot(labels, count, seed=1) for count in (4, 9))
    assert torch.bincount(labels[few]).tolist() == [4, 4, 4]
    assert set(few.tolist()) < set(more.tolist())
    assert not torch.equal(few, few_shot(labels, 4, seed=2))
    with pytest.raises(DataError, match="at least 1"):
        few_shot(labels, 0, seed=0)
    data = load_dataset(f"folder:{photos}", size=4, per_class=2)
    assert len(data["train"]) == 4
    assert len(data["validation"]) == 2
    assert len(subset(data["train"], 1, seed=0)) == 2


def test_the_cache_has_the_same_pixels_and_sees_a_changed_file(photos):
    first = load_dataset(f"folder:{photos}", size=8)
    assert len(list(cache_folder().glob("*.npz"))) == 3
    assert load_dataset(f"folder:{photos}", size=8).digest == first.digest
    assert load_dataset(f"folder:{photos}", size=8, cache=False).digest == first.digest
    for damaged in cache_folder().glob("*.npz"):
        damaged.write_bytes(b"damaged")
    assert load_dataset(f"folder:{photos}", size=8).digest == first.digest
    for file in photos.rglob("*.png"):
        Image.new("RGB", (9, 9)).save(file)
    assert load_dataset(f"folder:{photos}", size=8).digest != first.digest


def test_only_what_is_used_is_decoded(photos):
    (photos / "class0" / "cut.png").write_bytes(b"damaged")
    rows = range(40)
    seeds = []
    for seed in rows:
        try:
            load_dataset(f"folder:{photos}", size=4, per_class=1, validation=0.1, test=0.1, seed=seed)
            seeds.append(seed)
        except DataError:
            continue
    assert 0 < len(seeds) < len(rows)


def test_a_list_of_files(photos):
    lines = ["file,label,split"]
    lines += [f"class{k}/{i}.png,{'ab'[k]},{'train' if i < 4 else 'val'}" for k in (0, 1) for i in range(6)]
    table = photos / "list.csv"
    table.write_text("\n".join(lines))
    data = load_dataset(f"csv:{table}", size=4, test=0.25)
    assert data.classes == ("a", "b")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 6, "validation": 4, "test": 2
    }  # fmt: skip
    table.write_text("file,label\nclass0/none.png,a\nclass0/0.png,\n")
    with pytest.raises(DataError) as refused:
        load_dataset(f"csv:{table}")
    assert "line 2: class0/none.png does not exist; line 3: no file or no label" in str(refused.value)
    table.write_text("file,kind\na.png,b\n")
    with pytest.raises(DataError, match="lacks a column"):
        load_dataset(f"csv:{table}")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_dataset("folder:/nowhere/at/all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        load_dataset(f"folder:{tmp_path / 'empty'}")
    with pytest.raises(ConfigError, match="sise: unknown key; did you mean 'size'"):
        load_dataset(f"folder:{tmp_path}", sise=3)
    with pytest.raises(DataError, match="wrong options for the dataset"):
        load_dataset("digits:somewhere")
