"""Involution, and residual networks built from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS

IMAGE_AXES = 3
GROUP = 16
"""Channels that share a kernel."""
TOGETHER = 64
"""Samples that are summed at a time; more do not fit into the processor's cache."""
REDUCTION = 4
EXPANSION = 4


def involve(
    x: Float[Tensor, "n c h w"], kernels: Float[Tensor, "n g k2 hh ww"], *, stride: int = 1
) -> Float[Tensor, "n c hh ww"]:
    """Each pixel's neighbourhood weighted by the pixel's own kernel, which C / G channels share.

    y[n, c, i, j] = Σ_{u, v} kernels[n, ⌊c·G/C⌋, u·K + v, i, j] · x[n, c, s·i + u - ⌊K/2⌋, s·j + v - ⌊K/2⌋],
    with zeros around the image. No neighbourhoods are unfolded: memory is that of x and the kernels, forward
    and backward.

    Args:
        x: Features.
        kernels: K² weights for each of G groups and each pixel of the output; K is odd.
        stride: s; the output has ⌈H / s⌉ × ⌈W / s⌉ pixels.

    Raises:
        ModelError: If the shapes do not fit together.

    Source: Li et al. 2021, "Involution: inverting the inherence of convolution", equation 4.
    """
    size = round(kernels.shape[2] ** 0.5)
    pixels = tuple(-(-length // stride) for length in x.shape[2:])
    if size**2 != kernels.shape[2] or size % 2 == 0 or x.shape[1] % kernels.shape[1]:
        raise ModelError(
            "kernels do not fit the features",
            expected="G groups that divide the channels, of K² weights with K odd",
            got=f"{tuple(kernels.shape[1:3])} for {x.shape[1]} channels",
        )
    if tuple(kernels.shape[3:]) != pixels:
        raise ModelError(
            "involution needs a kernel for each pixel", expected=pixels, got=tuple(kernels.shape[3:])
        )
    parts = zip(torch.split(x, TOGETHER), torch.split(kernels.to(x.dtype), TOGETHER), strict=True)
    answers: list[Tensor] = [
        _Involve.apply(*part, size, stride)  # type: ignore[no-untyped-call]
        for part in parts
    ]
    return torch.cat(answers) if len(answers) > 1 else answers[0]


class _Involve(torch.autograd.Function):
    """A sum over the K² shifts, each a product of whole arrays, with the samples innermost in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, size: int, stride: int) -> Tensor:
        groups, around = kernels.shape[1], size // 2
        ctx.size, ctx.stride = size, stride
        # Samples innermost: every shift is then a strided view, and the products run over contiguous memory.
        padded = _innermost(functional.pad(x, (around,) * 4), groups)
        weights = kernels.permute(2, 1, 3, 4, 0).contiguous().unsqueeze(2)
        ctx.save_for_backward(padded, weights)
        total = padded.new_zeros((*padded.shape[:2], *weights.shape[3:]))
        for window, weight in zip(_shifts(padded, weights, size, stride), weights, strict=True):
            total.addcmul_(window, weight)
        answer: Tensor = total.flatten(0, 1).permute(3, 0, 1, 2).contiguous()
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        padded, weights = ctx.saved_tensors
        size, around = ctx.size, ctx.size // 2
        incoming = _innermost(gradients[0], len(padded))
        of_x = torch.zeros_like(padded) if ctx.needs_input_grad[0] else None
        of_weights = torch.empty_like(weights[:, :, 0]) if ctx.needs_input_grad[1] else None
        # Without a gradient of x, ``into`` is not used; any tensor of the right shape will do.
        into = _shifts(padded if of_x is None else of_x, weights, size, ctx.stride)
        for k, window in enumerate(_shifts(padded, weights, size, ctx.stride)):
            if of_x is not None:
                into[k].addcmul_(incoming, weights[k])
            if of_weights is not None:
                torch.sum(incoming * window, 1, out=of_weights[k])
        if of_x is not None:
            height, width = of_x.shape[2:4]
            of_x = of_x[:, :, around : height - around, around : width - around]
            of_x = of_x.flatten(0, 1).permute(3, 0, 1, 2)
        if of_weights is not None:
            of_weights = of_weights.permute(4, 1, 0, 2, 3)
        return of_x, of_weights, None, None


def _innermost(x: Tensor, groups: int) -> Tensor:
    """(N, C, H, W) as (G, C/G, H, W, N)."""
    count, channels, *size = x.shape
    return x.reshape(count, groups, channels // groups, *size).permute(1, 2, 3, 4, 0).contiguous()


def _shifts(padded: Tensor, weights: Tensor, size: int, stride: int) -> list[Tensor]:
    """The K² views of ``padded`` (G, C/G, H, W, N), in the order of the weights."""
    rows, columns = ((length - 1) * stride + 1 for length in weights.shape[3:5])
    return [
        padded[:, :, up : up + rows : stride, left : left + columns : stride]
        for up in range(size)
        for left in range(size)
    ]


class Involution(nn.Module):
    """Involution: each pixel generates the kernel with which its neighbourhood is summed.

    Kernels are W₁ ReLU(BN(W₀ x)), with W₀ from C to C / 4 channels and W₁ to K² · G values; with a stride, x
    is first averaged over the pixels that become one. Each of the G = C / 16 groups of channels has a kernel.

    Args:
        channels: C, a multiple of 16.
        kernel: K, odd.
        stride: How many pixels become one on each axis.

    Raises:
        ModelError: If the channels are not a multiple of 16, or the kernel is even.

    Source: Li et al. 2021, equation 6 and section 4.1.
    """

    def __init__(self, channels: int, kernel: int = 7, stride: int = 1) -> None:
        super().__init__()
        if channels % GROUP or kernel < 1 or kernel % 2 == 0:
            raise ModelError(
                "an involution cannot have these channels and this kernel",
                expected="a multiple of 16 channels and an odd kernel",
                got=(channels, kernel),
            )
        self.groups, self.stride = channels // GROUP, stride
        # Rounded up, so that there is a kernel for each pixel that ``involve`` computes.
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.reduce = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels // REDUCTION)
        self.span = nn.Conv2d(channels // REDUCTION, kernel**2 * self.groups, 1)

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c hh ww"]:
        """``x`` summed over neighbourhoods."""
        kernels = self.span(functional.relu(self.norm(self.reduce(self.pool(x)))))
        return involve(x, kernels.unflatten(1, (self.groups, -1)), stride=self.stride)


class InvolutionBlock(nn.Module):
    """1×1 convolution, involution, 1×1 convolution, each with BatchNorm; and a shortcut."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = width // EXPANSION
        self.conv1 = nn.Conv2d(width_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.involution = Involution(inner, kernel, stride)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width_in != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    @override
    def forward(self, x: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b hh ww"]:
        """The block's output."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.involution(out)))
        return functional.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


def convolution(width_in: int, width: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution with BatchNorm and ReLU that keeps the size, or divides it by ``stride``."""
    return nn.Sequential(
        nn.Conv2d(width_in, width, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


class RedNet(nn.Module):
    """A stem, stages of involution blocks, a mean over positions, a linear head.

    Args:
        stem: From images to the first stage's input.
        width_in: Channels that leave the stem.
        classes: Width of the logits.
        blocks: Blocks a stage.
        widths: Channels that leave each stage's blocks, multiples of 64.
        kernel: Of every involution.
    """

    def __init__(
        self,
        stem: nn.Module,
        width_in: int,
        classes: int,
        blocks: Sequence[int],
        widths: Sequence[int],
        kernel: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
            layers = [InvolutionBlock(width_in, width, kernel, 1 if number == 1 else 2)]
            layers += [InvolutionBlock(width, width, kernel, 1) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*layers))
            width_in = width
        self.stages = len(blocks)
        self.linear = nn.Linear(width_in, classes)

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Logits (N, C) of images (N, channels, H, W)."""
        x = self.stem(x)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


@MODELS.register("rednet")
def rednet(
    input_shape: Sequence[int],
    classes: int,
    *,
    blocks: Sequence[int] = (2, 2, 2),
    widths: Sequence[int] = (64, 128, 256),
    kernel: int = 7,
) -> RedNet:
    """Residual network of involutions for small images: the stem is a 3×3 convolution that keeps the size.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: Width of the logits.
        blocks: Blocks a stage; every stage but the first halves the size.
        widths: Channels a stage, multiples of 64 (a quarter of them is involved, in groups of 16).
        kernel: Side of every involution's kernel, odd.

    Raises:
        ModelError: If one input is not an image, or blocks, widths and kernel do not fit.
    """
    channels = _channels(input_shape)
    if len(blocks) != len(widths) or not blocks:
        raise ModelError(
            "blocks and widths differ in length", expected="one of each per stage", got=(blocks, widths)
        )
    first = widths[0] // EXPANSION
    return RedNet(convolution(channels, first, 3), first, classes, blocks, widths, kernel)


def _large(input_shape: Sequence[int], classes: int, blocks: Sequence[int]) -> RedNet:
    """The published form: a stem at a quarter of the size, four stages of 256 to 2,048 channels."""
    stem = nn.Sequential(
        convolution(_channels(input_shape), 32, 3, stride=2),
        Involution(32, 3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        convolution(32, 64, 3),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    return RedNet(stem, 64, classes, blocks, (256, 512, 1024, 2048), 7)


@MODELS.register("rednet26")
def rednet26(input_shape: Sequence[int], classes: int) -> RedNet:
    """RedNet-26 of Li et al. 2021, 9.2 M parameters for 1,000 classes."""
    return _large(input_shape, classes, (1, 2, 4, 1))


@MODELS.register("rednet50")
def rednet50(input_shape: Sequence[int], classes: int) -> RedNet:
    """RedNet-50 of Li et al. 2021, 15.5 M parameters for 1,000 classes."""
    return _large(input_shape, classes, (3, 4, 6, 3))


@MODELS.register("rednet101")
def rednet101(input_shape: Sequence[int], classes: int) -> RedNet:
    """RedNet-101 of Li et al. 2021, 25.7 M parameters for 1,000 classes."""
    return _large(input_shape, classes, (3, 4, 23, 3))


def _channels(input_shape: Sequence[int]) -> int:
    if len(input_shape) != IMAGE_AXES:
        raise ModelError("a rednet needs images", expected="inputs (C, H, W)", got=tuple(input_shape))
    return input_shape[0]
