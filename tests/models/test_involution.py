"""Involution against its definition, and the sizes of the networks made of it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bequest.errors import ModelError
from bequest.models import build_model, parameter_count
from bequest.models.involution import Involution, involve

SHAPE = (3, 224, 224)


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_definition(x: torch.Tensor, kernels: torch.Tensor, stride: int) -> torch.Tensor:
    """Equation 4 of Li et al. 2021, one product at a time."""
    (n, channels, height, width), groups = x.shape, kernels.shape[1]
    size = round(kernels.shape[2] ** 0.5)
    rows, columns = kernels.shape[3:]
    out = torch.zeros(n, channels, rows, columns, dtype=x.dtype)
    for b in range(n):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    total = x.new_zeros(())
                    for u in range(size):
                        for v in range(size):
                            up, left = stride * i + u - size // 2, stride * j + v - size // 2
                            if 0 <= up < height and 0 <= left < width:
                                weight = kernels[b, c * groups // channels, u * size + v, i, j]
                                total = total + weight * x[b, c, up, left]
                    out[b, c, i, j] = total
    return out


@pytest.mark.parametrize(
    ("shape", "groups", "size", "stride"),
    [((2, 4, 5, 4), 2, 3, 1), ((1, 2, 5, 6), 1, 5, 2), ((2, 6, 3, 3), 3, 1, 1), ((1, 2, 4, 4), 2, 7, 3)],
)
def test_values_and_gradients_are_those_of_the_definition(shape, groups, size, stride) -> None:
    pixels = [-(-length // stride) for length in shape[2:]]
    ours, theirs = ((randn(0, *shape), randn(1, shape[0], groups, size**2, *pixels)) for _ in range(2))
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    found, expected = involve(*ours, stride=stride), by_definition(*theirs, stride)
    torch.testing.assert_close(found, expected)
    incoming = randn(2, *found.shape)
    found.backward(incoming)
    expected.backward(incoming)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_gradients_are_those_of_finite_differences() -> None:
    x, kernels = randn(0, 2, 4, 4, 3), randn(1, 2, 2, 9, 2, 2)
    assert torch.autograd.gradcheck(
        lambda a, b: involve(a, b, stride=2), (x.requires_grad_(), kernels.requires_grad_())
    )


def test_one_kernel_for_all_pixels_is_a_depthwise_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(2, 6, 9, 8, generator=generator), torch.randn(3, 49, generator=generator)
    found = involve(x, kernel[None, :, :, None, None].expand(2, 3, 49, 9, 8))
    weight = kernel.view(3, 1, 7, 7).repeat_interleave(2, 0)
    torch.testing.assert_close(found, functional.conv2d(x, weight, padding=3, groups=6))


def test_the_layer_makes_its_kernels_from_the_pixel_itself() -> None:
    """Changing one pixel changes its own output and that of its neighbourhood, and no other."""
    layer = Involution(32, 3).eval()
    x = torch.randn(1, 32, 7, 7, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[0, :, 3, 3] += 1
    changed = (layer(x) != layer(other)).any(1)[0]
    assert changed[2:5, 2:5].all()
    changed[2:5, 2:5] = False
    assert not changed.any()
    kernels = layer.span(functional.relu(layer.norm(layer.reduce(x)))).view(1, 2, 9, 7, 7)
    torch.testing.assert_close(layer(x), by_definition(x, kernels, 1))


@pytest.mark.parametrize("size", [8, 7])
def test_a_stride_halves_the_size(size: int) -> None:
    x = torch.randn(2, 16, size, size)
    assert Involution(16, 7, stride=2)(x).shape == (2, 16, 4, 4)


@pytest.mark.parametrize(("name", "millions"), [("rednet26", 9.2), ("rednet50", 15.5), ("rednet101", 25.7)])
def test_sizes_are_those_of_the_paper(name: str, millions: float) -> None:
    """Li et al. 2021, table 1."""
    with torch.device("meta"):
        model = build_model(name, SHAPE, 1000, seed=0)
    assert round(parameter_count(model) / 1e6, 1) == millions


def test_a_published_network_answers_on_images_of_any_size() -> None:
    model = build_model("rednet26", (3, 64, 64), 5, seed=0).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": [1]}, "blocks and widths differ in length"),
        ({"widths": [48, 96, 192]}, "multiple of 16"),
        ({"kernel": 4}, "an involution cannot have these channels and this kernel.*\n.*odd kernel"),
    ],
)
def test_what_does_not_fit_is_refused(options, text) -> None:
    with pytest.raises(ModelError, match=text):
        build_model("rednet", (1, 12, 12), 10, seed=0, **options)


def test_inputs_and_kernels_that_do_not_fit_are_refused() -> None:
    x = torch.rand(1, 4, 6, 6)
    with pytest.raises(ModelError, match="a rednet needs images"):
        build_model("rednet", (144,), 10, seed=0)
    with pytest.raises(ModelError, match="do not fit the features"):
        involve(x, torch.rand(1, 3, 9, 6, 6))
    with pytest.raises(ModelError, match="a kernel for each pixel"):
        involve(x, torch.rand(1, 2, 9, 3, 3))
