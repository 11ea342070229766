"""Colours: the hexcone against the standard library, views and transforms, and data with a shortcut."""

from __future__ import annotations

import colorsys

import pytest
import torch

from bequest.data.colour import intensity, rgb, tinted
from bequest.data.content import content_digest
from bequest.data.datasets import load_dataset
from bequest.data.outline import outline_of, splits_of
from bequest.data.transforms import Tint, parse_transform
from bequest.data.views import Recolour, parse_views
from bequest.errors import ConfigError, DataError

X = torch.rand(6, 3, 5, 4, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(6)


@pytest.mark.parametrize("saturation", [0.0, 0.3, 1.0])
def test_hues_are_those_of_the_standard_library(saturation):
    hues = torch.linspace(0, 1, 50)
    expected = torch.tensor([colorsys.hsv_to_rgb(float(hue), saturation, 1.0) for hue in hues])
    assert torch.allclose(rgb(hues, saturation), expected, atol=1e-5)


def test_a_tint_keeps_the_brightest_channel_and_forgets_the_colour():
    hue = torch.rand(6)
    once = tinted(X, hue)
    assert torch.allclose(intensity(once), intensity(X))
    assert torch.allclose(tinted(once, hue.flip(0)), tinted(X, hue.flip(0)))
    grey = tinted(X[:, :1], hue, 0.0)
    assert torch.equal(grey, X[:, :1].expand(-1, 3, -1, -1))


def test_what_is_no_image_with_a_colour_is_refused():
    with pytest.raises(DataError, match="grey and RGB"):
        tinted(torch.rand(2, 4, 3, 3), torch.zeros(2))
    with pytest.raises(DataError):
        tinted(torch.rand(2, 3), torch.zeros(2))
    with pytest.raises(DataError, match="keeps the shape"):
        Recolour()(X[:, :1], IDS, 0, seed=0)


def test_the_view_draws_each_of_its_hues_and_no_other():
    ids = torch.arange(400)
    white = torch.ones(400, 3, 1, 1)
    shown = Recolour((0.0, 1 / 3))(white, ids, 0, seed=0)[:, :, 0, 0]
    red, green = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    is_red = torch.isclose(shown, red, atol=1e-6).all(1)
    assert torch.equal(~is_red, torch.isclose(shown, green, atol=1e-6).all(1))
    assert 140 < int(is_red.sum()) < 260
    anything = Recolour()(white, ids, 0, seed=0)[:, :, 0, 0]
    assert len(torch.unique(anything, dim=0)) > 350
    assert torch.equal(parse_views({"name": "recolour", "saturation": 0.0})(white, ids, 0, seed=0), white)


def test_the_transform_is_the_view_of_one_hue():
    assert torch.equal(Tint(0.2)(X), Recolour((0.2,))(X, IDS, 0, seed=0))
    with pytest.raises(ConfigError, match="saturation"):
        parse_transform({"name": "tint", "saturation": 2.0})


def test_in_training_the_colour_tells_the_class_as_often_as_it_says():
    data = load_dataset("coloured", aligned=0.9, options={"border": 0})
    train, grey = data["train"], load_dataset("digits", border=0)["train"]
    own = train.about["shortcut"] == train.y
    assert torch.equal(own.long(), train.about["aligned"])
    assert 0.87 < float(own.float().mean()) < 0.93
    assert torch.equal(train.ids, grey.ids)
    assert torch.allclose(intensity(train.x), grey.x)
    hues = train.about["shortcut"] / 10
    assert torch.equal(train.x, tinted(grey.x, hues))
    others = train.about["shortcut"][~own]
    assert len(others.unique()) == 10


def test_the_test_split_has_each_image_in_its_colour_and_in_another():
    test = load_dataset("coloured", options={"border": 0})["test"]
    grey = load_dataset("digits", border=0)["test"]
    own = test.about["aligned"] == 1
    assert sorted(test.ids[own].tolist()) == sorted((2 * grey.ids).tolist())
    assert sorted(test.ids[~own].tolist()) == sorted((2 * grey.ids + 1).tolist())
    assert torch.equal(test.about["group"], 2 * test.y + test.about["aligned"])
    assert torch.equal(test.about["shortcut"] == test.y, own)


def test_any_images_can_be_coloured_and_the_outline_says_their_size():
    few = load_dataset("coloured", of="digits", options={"classes": [3, 8], "border": 1})
    assert len(few.classes) == 2
    assert few.input_shape == (3, 10, 10)
    assert not few["test"].about["shortcut"].gt(1).any()
    outline = outline_of("coloured", {"of": "digits", "options": {"border": 1}})
    assert (outline.input_shape, outline.samples) == ((3, 10, 10), len(load_dataset("digits")["train"]))
    assert splits_of("coloured", {}) == ("train", "validation", "test")
    assert content_digest("coloured", {}) is None
    with pytest.raises(DataError, match="between 0 and 1"):
        load_dataset("coloured", aligned=1.5)
