"""Vision transformers: sizes, tokens, attention that can be tapped, stems."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from bequest.errors import ModelError
from bequest.models import build_model, parameter_count
from bequest.models.taps import PENULTIMATE, activations
from bequest.models.tokens import Tokens
from bequest.models.vit import Attention, DropPath, vit

SHAPE = (3, 16, 16)


@pytest.mark.parametrize(
    ("name", "form", "millions"),
    [
        ("deit_tiny", "class", 5.7),
        ("deit_tiny", "distilled", 5.9),
        ("deit_small", "class", 22.1),
        ("deit_small", "distilled", 22.4),
    ],
)
def test_sizes_are_those_of_the_paper(name, form, millions) -> None:
    """Touvron et al. 2021, table 1 (5 M and 22 M) and the counts that its released models have."""
    with torch.device("meta"):
        model = build_model(name, (3, 224, 224), 1000, seed=0, form=form)
    assert round(parameter_count(model) / 1e6, 1) == millions


def test_the_class_form_has_the_count_that_its_formula_gives() -> None:
    width, depth, classes, patches = 24, 3, 10, 16
    model = vit(SHAPE, classes, width=width, depth=depth, heads=2)
    linear = 3 * (width + 1) * width + (width + 1) * width + (width + 1) * 4 * width + (4 * width + 1) * width
    block = linear + 4 * width
    rest = (3 * 16 + 1) * width + width + (patches + 1) * width + 2 * width + (width + 1) * classes
    assert parameter_count(model) == depth * block + rest


def test_attention_is_that_of_torch_and_its_weights_can_be_tapped() -> None:
    ours, theirs = Attention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(0))
    expected, weights = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(activations(ours, x, ["weights"])["weights"], weights.detach())


@pytest.mark.parametrize(("form", "tokens"), [("class", 1), ("distilled", 2), ("advised", 3)])
def test_each_token_has_a_head_and_the_answer_is_their_mean(form, tokens) -> None:
    model = build_model("vit", SHAPE, 7, seed=0, form=form, width=32, depth=2, stem=32).eval()
    out = model(torch.rand(4, *SHAPE))
    assert model.positions.shape == (1, tokens + 16, 32)
    if tokens == 1:
        assert out.shape == (4, 7)
        return
    assert isinstance(out, Tokens)
    assert out.tokens.shape == (4, tokens, 7)
    torch.testing.assert_close(out.logits, out.tokens.mean(1))


@pytest.mark.parametrize("form", ["class", "distilled", "advised"])
def test_a_head_reads_its_own_token_and_penultimate_is_the_class_token(form) -> None:
    model = build_model("vit", SHAPE, 7, seed=0, form=form, width=32, depth=1, stem=32).eval()
    x = torch.rand(2, *SHAPE)
    tokens = model.norm(model.blocks(model.embedding(x) + model.positions))
    out = model(x)
    logits = out.tokens if isinstance(out, Tokens) else out[:, None]
    for k, head in enumerate(reversed(model.heads)):
        torch.testing.assert_close(logits[:, k], head(tokens[:, k]))
    torch.testing.assert_close(activations(model, x)[PENULTIMATE], tokens[:, 0].detach())


def test_tokens_of_the_stems_are_their_means_and_patches_their_sum() -> None:
    model = vit(SHAPE, 10, form="advised", width=32, stem=32).eval()
    stems = model.embedding
    x = torch.rand(2, *SHAPE)
    found = stems(x)
    maps = [stem(x) for stem in (stems.convolution, stems.involution)]
    for k, each in enumerate(maps, 1):
        torch.testing.assert_close(found[:, k], each.mean((2, 3)))
    torch.testing.assert_close(found[:, 3 + 4 * 2 + 1], (maps[0] + maps[1])[:, :, 2, 1])


def test_the_published_stems_cut_patches_of_16() -> None:
    model = build_model("deit_tiny", (3, 32, 48), 10, seed=0, form="advised").eval()
    assert model(torch.rand(1, 3, 32, 48)).tokens.shape == (1, 3, 10)
    assert model.positions.shape[1] == 3 + 2 * 3
    shapes = [
        tuple(m.weight.shape) for m in model.embedding.convolution.modules() if isinstance(m, nn.Conv2d)
    ]
    assert shapes == [(64, 3, 7, 7), (64, 64, 3, 3), (64, 64, 3, 3), (192, 64, 8, 8)]


def test_patches_are_cut_row_by_row() -> None:
    model = vit(SHAPE, 10, width=8, heads=2)
    x = torch.rand(1, *SHAPE)
    found = model.embedding(x)[:, 1:]
    cut = functional.unfold(x, 4, stride=4).transpose(1, 2)
    projection = model.embedding.projection
    expected = cut @ projection.weight.view(8, -1).T + projection.bias
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weight_init", ["xavier", "trunc_normal"])
def test_initial_weights_have_the_deviation_that_is_told(weight_init) -> None:
    options = {"weight_init": weight_init, "position_std": 0.1}
    model = build_model("vit", SHAPE, 10, seed=0, width=96, depth=1, **options)
    layer = model.blocks[0].mlp[0]
    expected = (2 / (layer.in_features + layer.out_features)) ** 0.5 if weight_init == "xavier" else 0.02
    assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.03)
    assert not layer.bias.any()
    assert float(model.positions.detach().std()) == pytest.approx(0.1, rel=0.1)


def test_published_sizes_start_as_published() -> None:
    model = build_model("deit_tiny", (3, 32, 32), 10, seed=0)
    for values in (model.blocks[0].mlp[0].weight, model.positions):
        assert float(values.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_drop_path_leaves_whole_samples_out_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer, x = DropPath(0.25), torch.ones(4000, 2, 3)
    out = layer(x)
    values = out.view(4000, -1)
    assert torch.equal(values.amax(1), values.amin(1))
    torch.testing.assert_close(values[:, 0].unique(), torch.tensor([0.0, 4 / 3]))
    assert abs(float(values[:, 0].mean()) - 1) < 5 * (0.25 / 0.75 / 4000) ** 0.5
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize(
    ("shape", "options", "text"),
    [
        ((256,), {}, "needs images that divide into patches"),
        ((3, 18, 16), {}, "multiples of 4"),
        (SHAPE, {"width": 30, "heads": 4}, "heads must divide the width"),
        (SHAPE, {"form": "advice"}, "a vit has no form 'advice'"),
        (SHAPE, {"weight_init": "he"}, "a vit has no weight_init 'he'"),
        (SHAPE, {"position_std": -0.1}, "position_std is out of range"),
        (SHAPE, {"form": "advised", "stem": 24}, "multiple of 16 channels"),
    ],
)
def test_what_does_not_fit_is_refused(shape, options, text) -> None:
    with pytest.raises(ModelError, match=text):
        build_model("vit", shape, 10, seed=0, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_path": 1.0}, "drop_path is out of range"),
        ({"depth": -1}, "a vit needs at least one block"),
        ({"mlp": 0.0}, "each block of a vit needs hidden units"),
        ({"patch": 0}, "into patches"),
    ],
)
def test_sizes_and_shares_out_of_range_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        vit((3, 8, 8), 2, **options)


def test_positions_without_deviation_are_zeros():
    assert not vit((3, 8, 8), 2, position_std=0.0).positions.any()
