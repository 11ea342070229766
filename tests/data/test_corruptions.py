from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, stats

from bequest import seeding
from bequest.data.corruptions import CORRUPTIONS, FAMILIES, MNIST_C, corrupt
from bequest.data.corruptions.blur import smooth
from bequest.data.corruptions.weather import plasma
from bequest.data.views import Key
from bequest.errors import DataError, UnknownName

NAMES = sorted(CORRUPTIONS)


def digits(n: int = 6, size: int = 28, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Bright strokes on black: a smooth random field, cut off."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(n, channels, size, size)), (0, 0, 2.5, 2.5))
    return torch.from_numpy(np.clip(field / np.abs(field).max() * 3, 0, 1)).float()


def key(name: str, ids: torch.Tensor, seed: int = 0) -> Key:
    return Key(ids, 0, seeding.derive(seed, "corruption", name))


def one(name: str, image: np.ndarray | torch.Tensor, level: int | None = None, index: int = 0) -> np.ndarray:
    x = torch.as_tensor(np.asarray(image), dtype=torch.float32)[None, None]
    return corrupt(name, x, torch.tensor([index]), level)[0, 0].double().numpy()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_nothing_but_its_own_id_level_and_seed(name):
    x, ids = digits(9), torch.tensor([5, 3, 900, 4, 0, 77, 78, 79, 2**40])
    whole = corrupt(name, x, ids, 1, seed=3)
    assert whole.shape == x.shape
    assert whole.dtype == torch.float32
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    for rows in (torch.tensor([4]), torch.tensor([8, 2, 5]), torch.randperm(9)):
        assert torch.equal(corrupt(name, x[rows], ids[rows], 1, seed=3), whole[rows])
    assert torch.equal(corrupt(name, x, ids, 1, seed=3), whole)


RANDOM = [n for n in NAMES if n not in {"brightness", "stripe", "scale", "canny_edges", "contrast"}]
RANDOM = [n for n in RANDOM if n not in {"gaussian_blur", "jpeg", "pixelate"}]


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_ids_matter_where_there_is_chance_and_nowhere_else(name):
    x = digits(1).repeat(12, 1, 1, 1)
    found = corrupt(name, x, torch.arange(12), seed=0, level=1)
    again = corrupt(name, x, torch.arange(12), seed=1, level=1)
    assert (len({image.numpy().tobytes() for image in found}) > 1) == (name in RANDOM)
    assert (not torch.equal(found, again)) == (name in RANDOM)


@pytest.mark.parametrize("corruption", FAMILIES, ids=lambda c: c.name)
def test_families_grow_with_their_five_levels(corruption):
    x = digits(40, seed=1)
    off = [float((corruption(x, torch.arange(40), level) - x).abs().mean()) for level in range(1, 6)]
    assert len(corruption.levels) == 5
    # The numbers of some do not grow together, and 28 pixels halve better than they shrink to .6 (pixelate).
    assert off[0] < off[4]
    if corruption.name not in {"glass_blur", "motion_blur", "spatter", "fog", "pixelate"}:
        assert off == sorted(off)


@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_any_number_of_channels(name):
    for shape in ((2, 3, 17, 23), (1, 1, 8, 8), (1, 4, 40, 33)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        assert corrupt(name, x, torch.arange(shape[0]), 1).shape == shape
    nothing = torch.zeros(0, 1, 8, 8)
    assert corrupt(name, nothing, torch.arange(0), 1).shape == nothing.shape


def test_the_fifteen_of_mnist_c_have_their_published_levels():
    # Default severities of the published generator; those without a severity have one level.
    published = {
        "shot_noise": (5, 3),
        "impulse_noise": (4, 0.17),
        "glass_blur": (1, (0.7, 1, 2)),
        "motion_blur": (1, (10, 3)),
        "shear": (2, 0.4),
        "scale": (3, 0.7),
        "rotate": (2, 0.4),
        "brightness": (5, 0.5),
        "translate": (3, 3),
        "fog": (5, (3.0, 1.4)),
        "spatter": (4, (0.65, 0.3, 1.0, 0.65, 1.5)),
    }
    assert len(MNIST_C) == 15
    for corruption in MNIST_C:
        level, parameter = published.get(corruption.name, (1, None))
        assert (corruption.published, corruption.levels[level - 1]) == (level, parameter)
        x = digits(2)
        assert torch.equal(corruption(x, torch.arange(2)), corruption(x, torch.arange(2), level))


@pytest.mark.parametrize("photons", [3, 60])
def test_shot_noise_is_poisson_cut_at_white(photons):
    level = {3: 5, 60: 1}[photons]
    for shade in (0.1, 0.6):
        x = torch.full((40, 1, 28, 28), shade)
        counts = (corrupt("shot_noise", x, torch.arange(40), level) * photons).round().long().flatten()
        seen = np.bincount(counts.numpy(), minlength=photons + 1)
        chance = stats.poisson.pmf(np.arange(photons + 1), float(x[0, 0, 0, 0]) * photons)
        chance[-1] = 1 - chance[:-1].sum()
        often = chance * counts.numel() >= 5
        rest = [[a[often].sum()] for a in (seen, chance)]
        seen = np.append(seen[often], counts.numel() - rest[0][0])
        expected = np.append(chance[often], 1 - rest[1][0]) * counts.numel()
        held = expected > 1e-9
        assert stats.chisquare(seen[held], expected[held]).pvalue > 1e-4
    assert float(corrupt("shot_noise", torch.zeros(1, 1, 28, 28), torch.tensor([0])).max()) == 0


def test_impulses_are_black_and_white_alike():
    x = torch.full((50, 1, 28, 28), 0.5)
    y = corrupt("impulse_noise", x, torch.arange(50))
    n, white, black = y.numel(), int((y == 1).sum()), int((y == 0).sum())
    for count in (white, black):
        assert stats.binomtest(count, n, 0.17 / 2).pvalue > 1e-4
    assert white + black + int((y == 0.5).sum()) == n


def test_gaussian_noise_has_its_deviation():
    y = corrupt("gaussian_noise", torch.full((50, 1, 28, 28), 0.5), torch.arange(50), 1).flatten() - 0.5
    # The standard error of a standard deviation over 39,200 values is .36 %; four of them.
    assert float(y.std()) == pytest.approx(0.08, rel=4 * 0.0036)
    assert stats.kstest(y.numpy() / 0.08, "norm").pvalue > 1e-4


@pytest.mark.parametrize("deviation", [0.7, 1.0, 2.3])
@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("black", "constant")])
def test_smoothing_equals_scipys_gaussian(deviation, border, mode):
    x = torch.rand(3, 2, 11, 13, dtype=torch.float64)
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, deviation, deviation), mode=mode)
    np.testing.assert_allclose(smooth(x, deviation, border=border).numpy(), expected, atol=1e-12)


def inverse_of(name: str, sign: float) -> np.ndarray:
    """Output (row, column) from the centre -> where it is taken from, at the published level."""
    cos, sin = math.cos(0.4), math.sin(0.4 * sign)
    return {
        "rotate": np.array([[cos, sin], [-sin, cos]]),
        "shear": np.array([[cos, 0], [-sin, 1]]),
        "scale": np.eye(2) / 0.7,
    }[name]


@pytest.mark.parametrize("name", ["rotate", "shear", "scale"])
@pytest.mark.parametrize("size", [(28, 28), (20, 31)])
def test_turning_shearing_and_scaling_equal_scipys_bilinear_warp(name, size):
    x = torch.rand(8, 1, *size, generator=torch.Generator().manual_seed(1))
    found = corrupt(name, x, torch.arange(8))
    matched = set()
    for image, result in zip(x[:, 0].numpy(), found[:, 0].numpy(), strict=True):
        centre = (np.array(size) - 1) / 2
        candidates = {}
        for sign in (1, -1):
            back = inverse_of(name, sign)
            candidates[sign] = ndimage.affine_transform(
                image.astype(np.float64), back, centre - back @ centre, order=1, mode="grid-constant"
            )
        sign = min(candidates, key=lambda s: np.abs(candidates[s] - result).max())
        np.testing.assert_allclose(result, candidates[sign], atol=2e-5)
        matched.add(sign)
    assert name == "scale" or matched == {1, -1}


def test_translation_moves_three_pixels_to_all_four_sides():
    x = digits(60, size=28) * 0
    x[:, 0, 14, 14] = 1
    y = corrupt("translate", x, torch.arange(60))
    places = {tuple(int(v) for v in image[0].nonzero()[0]) for image in y}
    assert places == {(11, 11), (11, 17), (17, 11), (17, 17)}
    assert float(y.sum()) == 60
    wide = torch.zeros(1, 1, 56, 12)
    wide[0, 0, 28, 6] = 1
    row, column = (
        corrupt("translate", wide, torch.tensor([0]), 1)[0, 0].nonzero()[0] - torch.tensor([28, 6])
    ).abs()
    assert (int(row), int(column)) == (2, 1)


def test_glass_is_a_sequence_of_exchanges():
    image, index = digits(1)[0, 0].numpy(), 31
    for level, (deviation, reach, rounds) in enumerate(CORRUPTIONS["glass_blur"].levels, 1):
        mixed = ndimage.gaussian_filter(image.astype(np.float64), (deviation, 0), mode="nearest")
        places = [(i, j) for i in range(28 - reach, reach, -1) for j in range(28 - reach, reach, -1)]
        span = 2 * reach
        drawn = key("glass_blur", torch.tensor([index])).integers(
            "swap", len(places) * rounds, low=0, high=2 * span**2 - 1
        )[0]
        for (i, j), number in zip(places * rounds, drawn.tolist(), strict=True):
            coin, down, right = number // span**2, number % span - reach, number // span % span - reach
            if coin == 0:
                k, l = i + down, j + right
                mixed[i, j], mixed[k, l] = mixed[k, l], mixed[i, j]
        expected = ndimage.gaussian_filter(mixed, (deviation, 0), mode="nearest")
        np.testing.assert_allclose(one("glass_blur", image, level, index), expected, atol=1e-6)


def test_motion_is_half_a_gaussian_along_a_line():
    image = digits(1)[0, 0].numpy()
    for index in range(4):
        angle = (float(key("motion_blur", torch.tensor([index])).uniform("angle", 1)) - 0.5) * math.pi / 2
        weights = stats.norm.pdf(np.arange(21) / 3)
        expected = np.zeros((28, 28))
        for i in range(28):
            for j in range(28):
                for k, weight in enumerate(weights / weights.sum()):
                    down, right = math.ceil(k * math.sin(angle) - 0.5), math.ceil(k * math.cos(angle) - 0.5)
                    row, column = np.clip([i + down, j + right], 0, 27)
                    expected[i, j] += weight * image[row, column]
        np.testing.assert_allclose(one("motion_blur", image, index=index), expected, atol=1e-5)


def test_brightness_is_the_value_of_hsv():
    x = digits(1)
    assert torch.allclose(corrupt("brightness", x, torch.tensor([0])), (x + 0.5).clamp(max=1), atol=1e-6)
    colour = torch.tensor([0.4, 0.2, 0.1]).view(1, 3, 1, 1)
    assert corrupt("brightness", colour, torch.tensor([0]), 2).flatten().tolist() == pytest.approx(
        [0.6, 0.3, 0.15]
    )


def test_stripes_invert_the_outer_quarters():
    y = one("stripe", np.zeros((28, 28)))
    assert y[:, :7].all()
    assert y[:, 21:].all()
    assert not y[:, 7:21].any()


def whole_cloud(rng: np.random.Generator, decay: float) -> np.ndarray:
    """Diamond-square over all 256 × 256 points, with loops over steps and a generator of its own."""
    size, wibble, step = 256, 100.0, 256
    cloud = np.zeros((size, size))
    while step >= 2:
        half = step // 2
        rows = np.arange(0, size, step)
        a = cloud[np.ix_(rows, rows)]
        mean = (a + np.roll(a, -1, 0) + np.roll(a, -1, 1) + np.roll(a, (-1, -1), (0, 1))) / 4
        cloud[np.ix_(rows + half, rows + half)] = mean + wibble * rng.uniform(-wibble, wibble, mean.shape)
        for i, j in ((rows, rows + half), (rows + half, rows)):
            grid_i, grid_j = np.meshgrid(i, j, indexing="ij")
            near = [(half, 0), (-half, 0), (0, half), (0, -half)]
            mean = sum(cloud[(grid_i + di) % size, (grid_j + dj) % size] for di, dj in near) / 4
            cloud[grid_i, grid_j] = mean + wibble * rng.uniform(-wibble, wibble, mean.shape)
        step, wibble = half, wibble / decay
    return (cloud - cloud.min()) / (cloud.max() - cloud.min())


def test_plasma_has_the_statistics_of_the_whole_cloud():
    rng = np.random.default_rng(0)
    whole = np.stack([whole_cloud(rng, 1.4)[:28, :28] for _ in range(400)])
    corner = plasma(key("fog", torch.arange(400)), 28, 28, 1.4).double().numpy()
    for statistic in (
        lambda c: c.mean((1, 2)),
        lambda c: c.std((1, 2)),
        lambda c: np.abs(np.diff(c, axis=1)).mean((1, 2)),
        lambda c: np.abs(np.diff(c, n=2, axis=2)).mean((1, 2)),
    ):
        assert stats.ks_2samp(statistic(whole), statistic(corner)).pvalue > 1e-3


def test_fog_keeps_white_white_where_the_cloud_is_thickest():
    x = digits(5)
    y = corrupt("fog", x, torch.arange(5))
    cloud = plasma(key("fog", torch.arange(5)), 28, 28, 1.4)[:, None]
    brightest = x.amax((1, 2, 3), keepdim=True)
    np.testing.assert_allclose(y.numpy(), ((x + 3 * cloud) * brightest / (brightest + 3)).numpy(), atol=1e-6)
    assert float(cloud.min()) >= 0
    assert float(cloud.max()) <= 1


def test_spatter_equals_its_definition_with_scipys_gaussian():
    image = digits(1)[0, 0].double().numpy()
    noise = 0.65 + 0.3 * key("spatter", torch.tensor([9])).normal("liquid", 784)[0].double().numpy()
    liquid = ndimage.gaussian_filter(noise.reshape(28, 28), 1, mode="nearest")
    cover = ndimage.gaussian_filter((liquid > 0.65).astype(float), 1.5, mode="nearest")
    sure = np.abs(liquid - 0.65).min() > 1e-6
    assert sure
    cover[cover < 0.8] = 0
    np.testing.assert_allclose(
        one("spatter", image, index=9), image * (1 - cover) + 63 / 255 * cover, atol=1e-5
    )


def line_by_hand(c0: float, r0: float, c1: float, r1: float) -> np.ndarray:
    drawn = np.zeros((28, 28))
    for i in range(28):
        for j in range(math.floor(c0), min(math.ceil(c1), 28)):
            away = abs(i - (r0 + (r1 - r0) / (c1 - c0) * (j - c0)))
            if away < 2.3:
                drawn[i, j] = max(1 + math.log(1 - away / 2.3), 0)
    return drawn


@pytest.mark.parametrize("index", range(5))
def test_dotted_lines_are_drawn_two_columns_on_two_off(index):
    ends = key("dotted_line", torch.tensor([index])).integers("ends", 2, low=0, high=26)[0].tolist()
    expected = line_by_hand(0, ends[0], 27, ends[1])
    expected[:, [j for j in range(28) if j % 4 < 2]] = 0
    np.testing.assert_allclose(one("dotted_line", np.zeros((28, 28)), index=index), expected, atol=1e-5)
    assert expected.any()


@pytest.mark.parametrize("index", range(8))
def test_zigzags_turn_every_four_pixels(index):
    drawn = key("zigzag", torch.tensor([index]))
    r0 = int(drawn.integers("start", 1, low=0, high=26))
    rise = int(drawn.integers("rise", 1, low=-5, high=4))
    theta = math.atan2(rise, 23)
    length = 23 / math.cos(theta)
    corners = [
        (0, 0),
        (2, 2),
        (6, -2),
        (10, 2),
        (14, -2),
        (18, 2),
        (22, -2),
        (length, -2 / (2 * (length - 20))),
    ]
    turned = [
        (2 + c * math.cos(theta) - r * math.sin(theta), r0 + c * math.sin(theta) + r * math.cos(theta))
        for c, r in corners
    ]
    expected = sum(line_by_hand(*a, *b) for a, b in itertools.pairwise(turned))
    np.testing.assert_allclose(
        one("zigzag", np.zeros((28, 28)), index=index), np.clip(expected, 0, 1), atol=2e-4
    )


def canny_by_hand(image: np.ndarray) -> np.ndarray:
    """Canny pixel by pixel: the slope, an interpolated neighbour on either side, SciPy's labels."""
    inside = ndimage.gaussian_filter(np.ones_like(image), 1, mode="constant")
    soft = ndimage.gaussian_filter(image, 1, mode="constant") / inside
    down, right = ndimage.sobel(soft, 0, mode="nearest"), ndimage.sobel(soft, 1, mode="nearest")
    height = np.hypot(down, right)
    ridge = np.zeros_like(image, dtype=bool)
    for i in range(1, image.shape[0] - 1):
        for j in range(1, image.shape[1] - 1):
            if height[i, j] == 0:
                continue
            # Walk along the slope until a row or a column away; the value there lies between two pixels.
            di, dj = np.array([down[i, j], right[i, j]]) / max(abs(down[i, j]), abs(right[i, j]))
            there = ndimage.map_coordinates(height, [[i + di, i - di], [j + dj, j - dj]], order=1)
            ridge[i, j] = (there <= height[i, j] * (1 + 1e-12)).all()
    labels, _ = ndimage.label(ridge & (height >= 0.1), np.ones((3, 3)))
    strong = np.unique(labels[ridge & (height >= 0.2)])
    return np.isin(labels, strong[strong > 0]).astype(float)


@pytest.mark.parametrize("index", range(3))
def test_canny_equals_its_definition(index):
    image = digits(3, seed=5)[index, 0].double().numpy()
    found = one("canny_edges", image.astype(np.float32))
    expected = canny_by_hand(image.astype(np.float32).astype(np.float64))
    assert expected.any()
    assert np.array_equal(found, expected)


def test_canny_of_nothing_is_nothing():
    for shade in (0.0, 0.7):
        assert not one("canny_edges", np.full((28, 28), shade)).any()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_jpeg_goes_through_pillow(channels):
    x = digits(2, channels=channels)
    y = corrupt("jpeg", x, torch.arange(2), 3)
    pixels = (x[1] * 255).round().byte().numpy()
    pixels = pixels[:1] if channels == 2 else pixels
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[0]) if channels < 3 else Image.fromarray(pixels.transpose(1, 2, 0))
    image.save(buffer, "JPEG", quality=15)
    expected = np.asarray(Image.open(buffer)) / np.float32(255)
    got = y[1, 0] if channels < 3 else y[1].permute(1, 2, 0)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


def test_pixelation_averages_and_repeats():
    x = torch.rand(2, 1, 28, 28)
    y = corrupt("pixelate", x, torch.arange(2), 2)
    blocks = x.view(2, 1, 14, 2, 14, 2).mean((3, 5))
    assert torch.allclose(y, blocks.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_contrast_keeps_the_mean():
    x = digits(3, channels=2)
    y = corrupt("contrast", x, torch.arange(3), 4)
    assert torch.allclose(y.mean((2, 3)), x.mean((2, 3)), atol=1e-6)
    assert torch.allclose(y.std((2, 3)), 0.1 * x.std((2, 3)), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10_000))
def test_occlusion_hides_one_square_and_nothing_else(level, index):
    x = torch.ones(1, 1, 20, 30)
    hidden = corrupt("occlusion", x, torch.tensor([index]), level)[0, 0] == 0.5
    share = CORRUPTIONS["occlusion"].levels[level - 1]
    rows, columns = hidden.any(1).nonzero().flatten(), hidden.any(0).nonzero().flatten()
    assert (len(rows), len(columns)) == (round(share * 20), round(share * 30))
    assert int(hidden.sum()) == len(rows) * len(columns)
    assert int(rows[-1] - rows[0]) == len(rows) - 1


@pytest.mark.parametrize(
    ("x", "ids", "level", "message"),
    [
        (torch.zeros(2, 28, 28), 2, 1, "corruptions need images"),
        (torch.zeros(2, 1, 8, 8).double(), 2, 1, "corruptions need images"),
        (torch.zeros(2, 1, 8, 8), 3, 1, "a corruption needs one id per sample"),
        (torch.full((2, 1, 8, 8), 1.5), 2, 1, r"images are outside of \[0, 1\]"),
        (torch.full((2, 1, 8, 8), math.nan), 2, 1, r"images are outside of \[0, 1\]"),
        (torch.zeros(2, 1, 8, 8), 2, 6, "the corruption 'fog' has no such level"),
        (torch.zeros(2, 1, 8, 8), 2, 0, "the corruption 'fog' has no such level"),
    ],
)
def test_wrong_input_is_named(x, ids, level, message):
    with pytest.raises(DataError, match=message):
        corrupt("fog", x, torch.arange(ids), level)


def test_unknown_names_and_missing_levels_are_named():
    with pytest.raises(UnknownName, match="did you mean 'fog'"):
        corrupt("fogg", torch.zeros(1, 1, 8, 8), torch.arange(1))
    with pytest.raises(DataError, match=r"expected: 1\.\.5"):
        corrupt("jpeg", torch.zeros(1, 1, 8, 8), torch.arange(1))
    assert repr(CORRUPTIONS["fog"]) == "<corruption 'fog', 5 levels>"
    assert CORRUPTIONS.summary("stripe") == "The outer quarters of the columns are inverted."
