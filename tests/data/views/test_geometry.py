from __future__ import annotations

import pytest
import torch
from scipy import stats

from bequest.data.affine import affine, translate
from bequest.data.views import (
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
from bequest.errors import ConfigError, DataError

X = torch.rand(4000, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.01
IDS = torch.arange(4000)


def test_shift_takes_every_offset_equally_often():
    got = Shift(1)(X, IDS, 0, seed=0)
    offsets = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    counts = [int((got == translate(X, dx, dy)).flatten(1).all(1).sum()) for dx, dy in offsets]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-3
    assert torch.equal(Shift(0)(X, IDS, 0, seed=0), X)


def test_shift_each_takes_the_moves_one_after_another():
    every = ShiftEach(pixels=1)
    assert len(every.every_move) == len(set(every.every_move)) == 8
    assert (0, 0) not in every.every_move
    for view, move in enumerate(every.every_move):
        assert torch.equal(every(X, IDS, view, seed=0), translate(X, *move))
        assert torch.equal(every(X[5:9], IDS[5:9], view + 8, seed=1), translate(X[5:9], *move))
    few = ShiftEach(moves=[[2, 0], [0, -1]], fill="edge")
    assert torch.equal(few(X, IDS, 3, seed=0), translate(X, 0, -1, fill="edge"))
    assert len(ShiftEach(pixels=2).every_move) == 24
    assert ShiftEach(**{key: value for key, value in few.spec().items() if key != "name"}) == few


@pytest.mark.parametrize("options", [{}, {"pixels": 1, "moves": [[1, 0]]}, {"moves": []}])
def test_shift_each_has_one_list_of_moves(options):
    with pytest.raises(ConfigError, match="give pixels, or a list of moves"):
        ShiftEach(**options)


@pytest.mark.parametrize(
    "view",
    [Shift(4), ShiftEach(moves=[[0, -4]]), ShiftAmong(moves=[[1, 0], [4, 1]])],
    ids=lambda view: view.name,
)
def test_a_view_that_may_leave_nothing_is_refused(view):
    with pytest.raises(DataError, match="a move takes every pixel out of the image"):
        view(X, IDS, 0, seed=0)


def test_shift_fills_as_it_is_told():
    for fill in ("edge", "reflect", "wrap"):
        assert float(Shift(2, fill)(X, IDS, 0, seed=0).min()) > 0
    assert float(Shift(2)(X, IDS, 0, seed=0).min()) == 0


def test_crop_is_padding_and_cutting_at_a_random_place():
    got = Crop(2)(X, IDS, 0, seed=0)
    padded = torch.nn.functional.pad(X, (2, 2, 2, 2))
    windows = padded.unfold(2, 4, 1).unfold(3, 4, 1).flatten(2, 3)[:, 0]
    hits = (windows == got.view(4000, 1, 4, 4)).flatten(2).all(2)
    assert bool((hits.sum(1) >= 1).all())
    assert bool((hits.sum(0) > 0).all())


def test_flip_mirrors_its_share():
    got = Flip(0.25)(X, IDS, 0, seed=0)
    flipped = int((got == X.flip(3)).flatten(1).all(1).sum())
    assert 890 < flipped < 1110  # four standard deviations of a binomial
    assert torch.equal(Flip(1.0)(X, IDS, 0, seed=0), X.flip(3))


@pytest.mark.parametrize(
    ("view", "name", "bounds", "undo"),
    [
        (Rotate(30), "rotate", (-30, 30), lambda x, v: affine(x, angle=v)),
        (Scale(0.5, 2), "scale", (0.5, 2), lambda x, v: affine(x, scale=v)),
        (Shear(0.3), "shear", (-0.3, 0.3), lambda x, v: affine(x, shear=v)),
    ],
)
def test_affine_views_draw_uniformly_and_use_the_affine_sampler(view, name, bounds, undo):
    from bequest.seeding import uniform

    low, high = bounds
    numbers = uniform(5, name, IDS, 2, 1)[:, 0]
    expected = undo(X[:50], (low + (high - low) * numbers)[:50])
    torch.testing.assert_close(view(X[:50], IDS[:50], 2, seed=5), expected, atol=1e-4, rtol=1e-4)


def test_resized_crops_are_windows_of_the_image():
    """On a ramp, a window's first and last pixels tell where it lies."""
    size = 16
    ramp = torch.arange(size, dtype=torch.float32)
    x = torch.stack([ramp[None, :].expand(size, size), ramp[:, None].expand(size, size)])[None].expand(
        2000, -1, -1, -1
    )
    got = ResizedCrop(0.25, 4 / 3)(x, torch.arange(2000), 0, seed=0)
    assert float(got.min()) >= 0
    assert float(got.max()) <= size - 1 + 1e-5
    inner = slice(1, -1)  # border pixels may be cut by the edge
    width = got[:, 0, 8, inner].diff(dim=1)
    height = got[:, 1, inner, 8].diff(dim=1)
    share = width.median(1).values * height.median(1).values
    assert 0.24 < float(share.min()) < 0.3
    assert float(share.max()) <= 1.0001
    ratio = height.median(1).values / width.median(1).values
    assert 0.74 < float(ratio.min()) < 0.8
    assert 1.25 < float(ratio.max()) < 1.34
    whole = ResizedCrop(1.0, 1.0)(x[:5], IDS[:5], 0, seed=0)
    torch.testing.assert_close(whole, x[:5], atol=1e-5, rtol=0)


def test_wrong_configurations():
    with pytest.raises(ConfigError, match="low must not exceed high, got 2 and 1"):
        Scale(2, 1)
    with pytest.raises(ConfigError, match="degrees: input should be less than or equal to 180"):
        Rotate(200)
    with pytest.raises(ConfigError, match="smallest: input should be greater than 0"):
        ResizedCrop(0)


@pytest.mark.parametrize("view", [Shift(1), Crop(1), Flip(), Rotate(10), ResizedCrop()])
def test_tokens_are_no_images(view):
    with pytest.raises(DataError, match="this view needs images"):
        view(torch.zeros(3, 4, dtype=torch.int64), IDS[:3], 0, seed=0)
