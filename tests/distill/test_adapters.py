from __future__ import annotations

import pytest
import torch

from bequest.distill.adapters import Channels, Normalise, Resize, parse_adapter
from bequest.errors import ConfigError, ModelError

GREY = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
COLOUR = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_normalised_pixels_have_the_stated_mean_and_spread():
    mean, std = COLOUR.mean((0, 2, 3)).tolist(), COLOUR.std((0, 2, 3)).tolist()
    normal = Normalise(mean, std)(COLOUR)
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normal.std((0, 2, 3)), torch.ones(3), atol=1e-5)
    assert torch.allclose(Normalise([0.5], [2.0])(COLOUR), (COLOUR - 0.5) / 2)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_sizes_change_and_flat_images_stay_flat(mode):
    flat = torch.full((1, 3, 8, 8), 0.3)
    for height, width in ((16, None), (4, None), (5, 9)):
        found = Resize(height, width, mode)(flat)
        assert found.shape == (1, 3, height, width or height)
        assert torch.allclose(found, torch.full_like(found, 0.3), atol=1e-6)
    assert torch.allclose(Resize(8, mode=mode)(COLOUR), COLOUR, atol=1e-6)


def test_halving_averages_blocks():
    blocks = GREY.view(2, 1, 4, 2, 4, 2)
    means = blocks.mean((3, 5))
    found = Resize(4)(GREY)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert float((found - means)[inner].abs().mean()) < float(
        (GREY[..., ::2, ::2] - means)[inner].abs().mean()
    )


def test_channels_are_repeated_or_merged():
    assert torch.equal(Channels(3)(GREY), torch.cat([GREY] * 3, 1))
    assert torch.allclose(Channels(1)(COLOUR), COLOUR.mean(1, keepdim=True))
    assert Channels(3)(COLOUR) is COLOUR


def test_adapters_are_applied_in_order():
    adapter = parse_adapter(["channels", {"name": "resize", "height": 16}, Normalise([0.5] * 3, [0.5] * 3)])
    assert torch.allclose(adapter(GREY), (Resize(16)(torch.cat([GREY] * 3, 1)) - 0.5) / 0.5)
    assert parse_adapter(adapter.spec()) == adapter
    assert parse_adapter(["channels"]) == Channels()


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(
        ModelError, match="the normalisation of the teacher's inputs does not fit them"
    ) as caught:
        Normalise([0.0] * 3, [1.0] * 3)(GREY)
    assert "expected: 3 channels\n  got:      1 channels" in str(caught.value)
    with pytest.raises(ModelError, match="2 channels cannot become 3"):
        Channels(3)(torch.rand(1, 2, 4, 4))
    with pytest.raises(ModelError, match="the adapter 'resize' needs images"):
        Resize(4)(torch.zeros(3, 5, dtype=torch.int64))
    with pytest.raises(ConfigError, match="2 means need as many standard deviations, not 1"):
        Normalise([0.0, 1.0], [1.0])
    with pytest.raises(ConfigError, match=r"std\.0: input should be greater than 0"):
        Normalise([0.0], [0.0])
