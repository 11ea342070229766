from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bequest.data.affine import affine, check_move, interpolate, mirror, pick, translate
from bequest.errors import DataError

PAD = {"zeros": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}
FILLS = st.sampled_from(list(PAD))


def images(n=3, c=2, h=6, w=5, seed=0):
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed))


def moved(image: np.ndarray, dx: int, dy: int, fill: str) -> np.ndarray:
    """Pad generously with NumPy, cut the window out."""
    height, width = image.shape[-2:]
    by = 3
    padded = np.pad(image, ((0, 0), (by, by), (by, by)), mode=PAD[fill])
    return padded[:, by - dy : by - dy + height, by - dx : by - dx + width]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=3), FILLS)
def test_translation_equals_padding_and_cutting(by, fill):
    x = images()
    dx, dy = torch.tensor(by).T
    got = translate(x, dx, dy, fill=fill)
    for k, (right, down) in enumerate(by):
        np.testing.assert_array_equal(got[k].numpy(), moved(x[k].numpy(), right, down, fill))


@pytest.mark.parametrize("fill", ["zeros", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("move", [(5, 0), (-5, 0), (0, 6), (0, -99)])
def test_a_move_is_refused_exactly_if_nothing_of_an_image_is_left(move, fill):
    x = images(h=6, w=5)
    nearest = tuple(min(max(by, 1 - size), size - 1) for by, size in zip(move, (5, 6), strict=True))
    check_move(x, *nearest, fill)
    left = np.isin(translate(x, *move, fill=fill).numpy()[:, :, 1:-1, 1:-1], x.numpy()[:, :, 1:-1, 1:-1])
    if fill in ("zeros", "edge"):
        assert not left.any()
        with pytest.raises(DataError, match="a move takes every pixel out of the image"):
            check_move(x, *move, fill)
    else:
        assert left.any()
        check_move(x, *move, fill)


def test_one_number_moves_every_sample_and_far_away_is_black():
    x = images()
    assert torch.equal(translate(x, 1, -2), translate(x, torch.full((3,), 1), torch.full((3,), -2)))
    assert torch.equal(translate(x, 5, 0), torch.zeros_like(x))


def test_black_covers_what_is_not_a_number():
    x = torch.full((1, 1, 2, 2), float("nan"))
    assert translate(x, 2, 0).tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


@settings(deadline=None, max_examples=30)
@given(st.integers(-3, 3), st.integers(-3, 3), FILLS)
def test_whole_pixel_affine_moves_equal_translation(dx, dy, fill):
    x = images()
    assert torch.equal(affine(x, dx=float(dx), dy=float(dy), fill=fill), translate(x, dx, dy, fill=fill))


def test_nothing_asked_changes_nothing():
    x = images().double()
    assert torch.equal(affine(x), x)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_counter_clockwise(quarter):
    x = images(h=7, w=7)
    torch.testing.assert_close(
        affine(x, angle=90.0 * quarter), torch.rot90(x, quarter, (2, 3)), atol=2e-6, rtol=0
    )


@settings(deadline=None, max_examples=25)
@given(
    st.floats(-180, 180), st.floats(0.3, 3), st.floats(-0.5, 0.5), st.floats(-3, 3), st.floats(-3, 3), FILLS
)
def test_affine_equals_scipy_on_the_written_formula(angle, scale, shear, dx, dy, fill):
    x = images(n=1, c=1, h=9, w=8).double()
    got = affine(x, angle=angle, scale=scale, shear=shear, dx=dx, dy=dy, fill=fill)[0, 0].numpy()
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    forward = rotation @ np.array([[1, shear], [0, 1]]) * scale
    back = np.linalg.inv(forward)[::-1, ::-1]
    centre = (np.array([9, 8]) - 1) / 2
    offset = centre - back @ (centre + np.array([dy, dx]))
    mode = {"zeros": "constant", "edge": "nearest", "reflect": "mirror", "wrap": "grid-wrap"}[fill]
    padded = np.pad(x[0, 0].numpy(), 1) if fill == "zeros" else x[0, 0].numpy()
    if fill == "zeros":
        offset = offset + 1
    expected = ndimage.affine_transform(
        padded, back, offset, order=1, mode=mode, output_shape=(9, 8), prefilter=False
    )
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_each_sample_has_its_own_parameters():
    x = images()
    angle, scale = torch.tensor([0.0, 30.0, -60.0]), torch.tensor([1.0, 0.8, 1.5])
    whole = affine(x, angle=angle, scale=scale)
    for k in range(3):
        alone = affine(x[k : k + 1], angle=angle[k : k + 1], scale=scale[k : k + 1])
        assert torch.equal(whole[k : k + 1], alone)


def test_shrinking_leaves_the_centre_and_a_black_border():
    x = torch.ones(1, 1, 9, 9)
    small = affine(x, scale=0.5)[0, 0]
    assert small[4, 4] == 1
    assert small[0].sum() == small[:, 0].sum() == 0


def test_mirror_flips_the_chosen_only():
    x = images()
    got = mirror(x, torch.tensor([True, False, True]))
    assert torch.equal(got[0], x[0].flip(-1))
    assert torch.equal(got[1], x[1])


def test_pick_and_interpolate_agree_on_whole_pixels_and_keep_the_type():
    x = images().to(torch.bfloat16)
    rows, columns = torch.tensor([[0, 2, 5]]), torch.tensor([[4, 1]])
    picked = pick(x, rows, columns, fill="edge")
    grid = torch.meshgrid(rows[0].float(), columns[0].float(), indexing="ij")
    sampled = interpolate(x, *(part.expand(3, -1, -1) for part in grid), fill="edge")
    assert torch.equal(picked, sampled)
    assert sampled.dtype == torch.bfloat16


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.zeros(2, 1, 3, 3, dtype=torch.int64)])
def test_what_is_not_an_image_is_refused(x):
    with pytest.raises(DataError, match="this view needs images"):
        translate(x, 1, 1)
