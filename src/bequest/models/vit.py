"""Vision transformers: with a class token, with DeiT's distillation token, and as in Co-advise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS, options_from
from bequest.models.involution import Involution, convolution
from bequest.models.tokens import Tokens

IMAGE_AXES = 3
DEVIATION = 0.02
"""Standard deviation of the initial tokens, and of DeiT's initial positions and linear layers."""
TOKENS: dict[str, tuple[str, ...]] = {
    "class": ("class",),
    "distilled": ("class", "distillation"),
    "advised": ("class", "convolution", "involution"),
}
"""The tokens of each form that have a head, in the order of the heads."""


def _small(module: nn.Module) -> None:
    """Initialise linear layers as DeiT does; convolutions keep PyTorch's initialisation."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)


def _xavier(module: nn.Module) -> None:
    """Initialise linear layers so that they keep the scale of their input at any width."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


WEIGHT_INITS: dict[str, Callable[[nn.Module], None]] = {"trunc_normal": _small, "xavier": _xavier}
"""How the initial weights of linear layers are drawn."""


class Attention(nn.Module):
    """Multi-head self-attention; the weights of all heads are the output of the submodule ``weights``.

    They are softmax(QKᵀ / √d), (N, heads, L, L), rows summing to 1 over the positions attended to.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        # A module, not the function, so that taps can read the attention weights by name.
        self.weights = nn.Softmax(dim=-1)
        self.out = nn.Linear(width, width)

    @override
    def forward(self, x: Float[Tensor, "n l d"]) -> Float[Tensor, "n l d"]:
        """The attended values at each position."""
        count, length, width = x.shape
        query, key, value = self.qkv(x).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = self.weights(query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5)
        mixed: Tensor = self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return mixed


class DropPath(nn.Module):
    """In training, drops a branch for a share ``rate`` of the samples, and scales it up for the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    @override
    def forward(self, x: Float[Tensor, "n l d"]) -> Float[Tensor, "n l d"]:
        """``x``, with zeros for some samples in training."""
        if not self.training or self.rate == 0:
            return x
        survives = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.rate
        return x * survives / (1 - self.rate)


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, mlp: float, drop_path: float) -> None:
        super().__init__()
        # DeiT's eps; PyTorch's default of 1e-5 would change the answers of its weights.
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        inner = round(width * mlp)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.drop = DropPath(drop_path)

    @override
    def forward(self, x: Float[Tensor, "n l d"]) -> Float[Tensor, "n l d"]:
        """The block's output."""
        x = x + self.drop(self.attention(self.norm1(x)))
        answer: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return answer


class Patches(nn.Module):
    """Linear patch embedding, with learned tokens before the patches."""

    def __init__(self, channels: int, width: int, patch: int, form: str) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, width, patch, stride=patch)
        self.tokens = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(1, 1, width)) for name in TOKENS[form]}
        )

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l d"]:
        """Tokens first, then patches row by row."""
        patches = _rows(self.projection(x))
        return torch.cat([*(t.expand(x.shape[0], -1, -1) for t in self.tokens.values()), patches], 1)


class TwoStems(nn.Module):
    """Patches from a stem of convolutions plus patches from one with an involution.

    The class token is learned; the convolution token is the mean of the first stem's patches, the involution
    token that of the second's. Each stem halves the image if the patch's side is even, and a convolution with
    the rest of that side makes the tokens. The published form has patches of 16 and 64 channels; for patches
    under 8 the first convolution is 3×3 instead of 7×7.

    Source: Ren et al. 2022, "Co-advise: cross inductive bias distillation", section 3.3, and its
    released code.
    """

    def __init__(self, channels: int, width: int, patch: int, inner: int) -> None:
        super().__init__()
        half = inner // 2
        first, rest = (2, patch // 2) if patch % 2 == 0 else (1, patch)
        size = 7 if patch >= 8 else 3
        self.convolution = nn.Sequential(
            convolution(channels, inner, size, stride=first),
            convolution(inner, inner, 3),
            convolution(inner, inner, 3),
            nn.Conv2d(inner, width, rest, stride=rest),
        )
        self.involution = nn.Sequential(
            nn.Conv2d(channels, half, 3, stride=first, padding=1, bias=False),
            Involution(half, 3),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, inner, 3, padding=1, bias=False),
            nn.Conv2d(inner, width, rest, stride=rest),
        )
        self.tokens = nn.ParameterDict({"class": nn.Parameter(torch.zeros(1, 1, width))})

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l d"]:
        """Class token, convolution token, involution token, patches row by row."""
        by_convolution, by_involution = _rows(self.convolution(x)), _rows(self.involution(x))
        means = [stem.mean(1, keepdim=True) for stem in (by_convolution, by_involution)]
        first = [token.expand(x.shape[0], -1, -1) for token in self.tokens.values()]
        return torch.cat([*first, *means, by_convolution + by_involution], 1)


AS_DEIT: dict[str, Any] = {"weight_init": "trunc_normal", "position_std": DEVIATION}
"""DeiT's initialisation; that of :func:`vit` lets narrow transformers learn too."""


@dataclass(frozen=True)
class VitOptions:
    """Options of a vision transformer.

    Attributes:
        form: ``class``: one token, one head (Dosovitskiy et al. 2021). ``distilled``: DeiT's distillation
            token with a head of its own besides. ``advised``: Co-advise's two stems, with a token for a
            convolutional and one for an involutional teacher.
        width: Features per token.
        depth: Blocks.
        heads: Heads of attention; they divide the width.
        patch: Side of a patch in pixels; it divides the image's sides.
        mlp: Hidden width of a block's perceptron, as a multiple of ``width``.
        drop_path: Share of the samples for which the last block's branches are dropped in training; the
            rates of earlier blocks grow linearly from 0.
        stem: Channels inside the stems of the form ``advised``; a multiple of 32.
        weight_init: Initial weights of the linear layers. ``xavier``: uniform in ±√(6 / (in + out)), which
            keeps the scale at every width. ``trunc_normal``: normal with deviation 0.02 at any width, as in
            DeiT; narrow transformers then hardly learn in their first hundreds of steps.
        position_std: Deviation of the initial positions, normal; DeiT's is 0.02.
    """

    form: str = "class"
    width: int = 96
    depth: int = 4
    heads: int = 4
    patch: int = 4
    mlp: float = 4.0
    drop_path: float = 0.0
    stem: int = 64
    weight_init: str = "xavier"
    position_std: float = 0.3


class VisionTransformer(nn.Module):
    """Tokens and patches with positions, transformer blocks, a norm, a linear head per token.

    With one token the output is its logits, else :class:`~bequest.models.tokens.Tokens`, whose logits are the
    mean of the heads'. ``extra`` is the number of positions before those of the patches, which lie on
    ``grid`` (rows, columns) of squares of ``patch`` pixels. The class token's head is the last linear layer,
    so that its features are the ``penultimate`` activation.
    """

    def __init__(
        self, embedding: Patches | TwoStems, grid: tuple[int, int], classes: int, options: VitOptions
    ) -> None:
        super().__init__()
        width, depth = options.width, options.depth
        self.extra, self.grid, self.patch = len(TOKENS[options.form]), grid, options.patch
        self.embedding = embedding
        self.positions = nn.Parameter(torch.zeros(1, self.extra + grid[0] * grid[1], width))
        # As in DeiT, a branch is dropped the more often the deeper it is.
        rates = [options.drop_path * k / max(1, depth - 1) for k in range(depth)]
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, options.heads, options.mlp, rate) for rate in rates)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.ModuleList(nn.Linear(width, classes) for _ in range(self.extra))
        self.apply(WEIGHT_INITS[options.weight_init])
        for token in embedding.tokens.values():
            nn.init.trunc_normal_(token, std=DEVIATION)
        if options.position_std > 0:  # at 0 PyTorch would divide by it; they are zeros already
            nn.init.trunc_normal_(self.positions, std=options.position_std)

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Tensor | Tokens:
        """Logits, or those of every token and their mean."""
        tokens = self.norm(self.blocks(self.embedding(x) + self.positions))
        # Heads are in reverse order of tokens: the class token's, the last module, defines "penultimate".
        logits: list[Tensor] = [head(tokens[:, self.extra - 1 - k]) for k, head in enumerate(self.heads)]
        logits.reverse()
        if self.extra == 1:
            return logits[0]
        every = torch.stack(logits, 1)
        return Tokens(every.mean(1), every)


@MODELS.register("vit")
@options_from(VitOptions)
def vit(input_shape: Sequence[int], classes: int, options: VitOptions) -> VisionTransformer:
    """Vision transformer.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: Width of each head's logits.
        options: Each field of :class:`VitOptions` as a keyword.

    Raises:
        ModelError: If one input is not an image, or the sizes do not divide each other.
    """
    return vision_transformer(input_shape, classes, options)


@MODELS.register("deit_tiny")
def deit_tiny(
    input_shape: Sequence[int], classes: int, *, form: str = "class", drop_path: float = 0.1
) -> VisionTransformer:
    """DeiT-Ti/16 of Touvron et al. 2021, 5.7 M parameters for 1,000 classes; see :func:`vit`."""
    options = VitOptions(form, width=192, depth=12, heads=3, patch=16, drop_path=drop_path, **AS_DEIT)
    return vision_transformer(input_shape, classes, options)


@MODELS.register("deit_small")
def deit_small(
    input_shape: Sequence[int], classes: int, *, form: str = "class", drop_path: float = 0.1
) -> VisionTransformer:
    """DeiT-S/16 of Touvron et al. 2021, 22 M parameters for 1,000 classes; see :func:`vit`."""
    options = VitOptions(form, width=384, depth=12, heads=6, patch=16, drop_path=drop_path, **AS_DEIT)
    return vision_transformer(input_shape, classes, options)


def vision_transformer(input_shape: Sequence[int], classes: int, options: VitOptions) -> VisionTransformer:
    """Vision transformer of any size; see :func:`vit`."""
    _check_sizes(input_shape, options)
    _check_start(options)
    channels, height, across = input_shape
    width, patch = options.width, options.patch
    embedding = (
        TwoStems(channels, width, patch, options.stem)
        if options.form == "advised"
        else Patches(channels, width, patch, options.form)
    )
    return VisionTransformer(embedding, (height // patch, across // patch), classes, options)


def _check_start(options: VitOptions) -> None:
    if options.weight_init not in WEIGHT_INITS:
        raise ModelError(
            f"a vit has no weight_init {options.weight_init!r}",
            expected=", ".join(WEIGHT_INITS),
            got=options.weight_init,
        )
    if options.position_std < 0:
        raise ModelError("position_std is out of range", expected="0 or more", got=options.position_std)
    if not 0 <= options.drop_path < 1:
        raise ModelError("drop_path is out of range", expected="in [0, 1)", got=options.drop_path)


def _check_sizes(input_shape: Sequence[int], options: VitOptions) -> None:
    form, width, heads, patch = options.form, options.width, options.heads, options.patch
    if form not in TOKENS:
        raise ModelError(f"a vit has no form {form!r}", expected=", ".join(TOKENS), got=form)
    if patch < 1 or len(input_shape) != IMAGE_AXES or any(side % patch for side in input_shape[1:]):
        raise ModelError(
            "a vit needs images that divide into patches",
            expected=f"inputs (C, H, W), H and W multiples of {patch}",
            got=tuple(input_shape),
        )
    if width < 1 or options.depth < 1:
        raise ModelError(
            "a vit needs at least one block",
            expected="width and depth of 1 or more",
            got=(width, options.depth),
        )
    if not round(width * options.mlp) >= 1:
        raise ModelError(
            "each block of a vit needs hidden units", expected="width · mlp of 1 or more", got=options.mlp
        )
    if heads < 1 or width % heads:
        raise ModelError("heads must divide the width", expected=f"a multiple of {heads}", got=width)


def _rows(maps: Float[Tensor, "n d h w"]) -> Float[Tensor, "n l d"]:
    """Positions row by row."""
    return maps.flatten(2).transpose(1, 2)
