from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.measure import (
    Place,
    Symmetry,
    check_symmetries,
    heads,
    permuted,
    recurrent_units,
    symmetries_of,
)
from bequest.models import build_model


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build()
        # Fresh biases, norms and statistics are often constant, which would hide a forgotten place.
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.data = (
                    0.5 * torch.randn(tensor.shape) if tensor.ndim > 1 else torch.rand(tensor.shape) + 0.1
                )
        return model


class Attending(nn.Module):
    """Attention of torch.nn inside a module with a forward of its own."""

    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True, **options)
        self.head = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 3))

    def forward(self, x):
        y, _ = self.attention(x, x[..., : self.attention.kdim], x[..., : self.attention.vdim])
        return self.head(y.mean(1))


IMAGE, FLAT, WORDS = (2, 3, 8, 8), (2, 192), (2, 5, 8)
MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 5)), IMAGE, 1),
    "mlp with everything": (
        lambda: nn.Sequential(
            nn.Linear(192, 7), nn.GELU(), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.Linear(7, 6, bias=False),
            nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 4),
        ),
        FLAT,
        2,
    ),
    "cnn with global pool": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5),
            nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(5, 4),
        ),
        IMAGE,
        2,
    ),
    "cnn flattened with pixels": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.AvgPool2d(2), nn.Flatten(), nn.BatchNorm1d(36),
            nn.Linear(36, 6), nn.ReLU(), nn.Linear(6, 2),
        ),
        IMAGE,
        2,
    ),
    "tokens flattened": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Flatten(), nn.Linear(30, 3)), WORDS, 1
    ),
    "attention": (Attending, WORDS, 2),
    "attention with other widths": (lambda: Attending(kdim=6, vdim=5, add_bias_kv=True), WORDS, 2),
    "transformer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True),
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, bias=False),
            nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3),
        ),
        WORDS,
        5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_derived_symmetries_leave_the_function_as_it_is(name):
    build, shape, count = MODELS[name]
    model, x = seeded(build), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = symmetries_of(model)
    assert len(found) == count
    assert len({symmetry.name for symmetry in found}) == count
    check_symmetries(model, found, x)
    orders = {s.name: torch.randperm(s.size, generator=torch.Generator().manual_seed(s.size)) for s in found}
    changed = permuted(model, found, orders)
    assert torch.allclose(changed.eval()(x), model.eval()(x), rtol=1e-4, atol=1e-5)
    moved = {place.tensor for symmetry in found for place in symmetry.places if symmetry.size > 2}
    assert not any(torch.equal(changed.state_dict()[name], model.state_dict()[name]) for name in moved)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("mlp", {"hidden": [9, 7]}, 2),
        ("mlp", {"hidden": [9], "batch_norm": True, "dropout": 0.2}, 1),
        ("cnn", {"channels": [4, 6], "pool_after": [1], "dropout": 0.2}, 2),
    ],
)
def test_the_catalogues_chains_are_understood(name, options, count):
    model = build_model(name, (1, 8, 8), 3, seed=0, **options)
    found = symmetries_of(model)
    assert len(found) == count
    check_symmetries(model, found, torch.rand(4, 1, 8, 8))


def test_permuting_moves_units_as_said():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    changed = permuted(model, symmetries_of(model), {"0": torch.tensor([2, 0, 1])})
    assert torch.equal(changed[0].weight, model[0].weight[[2, 0, 1]])
    assert torch.equal(changed[2].weight, model[2].weight[:, [2, 0, 1]])
    assert torch.equal(permuted(model, symmetries_of(model), {})[0].weight, model[0].weight)


class Maxout(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1, 2).amax(2)


def twice():
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.ReLU(), shared)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Sequential(nn.Linear(4, 6), Maxout(), nn.Linear(3, 2)),
        lambda: nn.Sequential(nn.Linear(4, 6), nn.MaxPool1d(2), nn.Linear(3, 2)),
        lambda: nn.Sequential(nn.Linear(4, 6), nn.Softmax(1), nn.Linear(6, 2)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(2), nn.Linear(16, 2)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1)),
        lambda: nn.Sequential(nn.Conv2d(4, 6, 1), nn.LayerNorm(6), nn.Conv2d(6, 4, 1)),
        twice,
        lambda: nn.Linear(3, 2),
    ],
)
def test_what_does_not_follow_from_the_modules_is_left_alone(build):
    with pytest.raises(ModelError, match=r"no symmetry of .* follows from its modules"):
        symmetries_of(build())


def test_what_is_no_symmetry_is_refused():
    model, x = seeded(MODELS["mlp"][0]), torch.randn(IMAGE)
    forgotten = Symmetry("hidden", 7, (Place("1.weight", 0), Place("3.weight", 1)))
    with pytest.raises(ModelError, match="the symmetry 'hidden' changes what the network computes"):
        check_symmetries(model, [forgotten], x)
    for place, got in ((Place("2.weight", 0), "no such tensor"), (Place("1.weight", 1), r"shape \(7, 192\)")):
        with pytest.raises(ModelError, match=f"does not fit the model(.|\n)*{got}"):
            permuted(model, [Symmetry("hidden", 7, (place,))], {})


def test_heads_written_by_hand_are_those_of_torch():
    model = Attending()
    written = heads(
        "attention", 4, 2, stacked=("attention.in_proj_weight", "attention.in_proj_bias"),
        output="attention.out_proj.weight",
    )  # fmt: skip
    assert written == symmetries_of(model)[0]


class Halved(nn.Sequential):
    def forward(self, x):
        return super().forward(x)[:, :2]


class Weighted(nn.Sequential):
    """Weighs the hidden units by their place: no two of them can change places."""

    def forward(self, x):
        hidden = self[1](self[0](x))
        return self[2](hidden * torch.arange(1.0, 7.0))


class Sorted(nn.ReLU):
    def forward(self, x):
        return x.sort(dim=-1).values


@pytest.mark.parametrize(
    "model",
    [
        Weighted(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)),
        nn.Sequential(Weighted(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 6), Sorted(), nn.Linear(6, 3)),
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))),
    ],
    ids=["chain", "nested chain", "activation", "parametrised weight"],
)
def test_a_subclass_with_a_forward_of_its_own_is_not_taken_for_its_parent(model):
    with pytest.raises(ModelError, match="no symmetry of"):
        symmetries_of(model)


def test_matching_keeps_the_function_where_a_forward_is_replaced():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    model.forward = lambda x: x
    with pytest.raises(ModelError, match="no symmetry of"):
        symmetries_of(model)


def test_chains_inside_a_subclass_keep_their_symmetries():
    model = Halved(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    (inner,) = symmetries_of(model)
    assert inner.name == "0.0"
    check_symmetries(model, [inner], torch.randn(5, 4))


class Recurrent(nn.Module):
    """Recurrent layers whose last state a head reads."""

    def __init__(self, kind, **options):
        super().__init__()
        self.states = kind(5, 7, 2, batch_first=True, **options)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.states(x)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_units_of_recurrent_layers_change_places_through_all_gates(kind, bias):
    model = seeded(lambda: Recurrent(kind, bias=bias))
    found = recurrent_units("states", model.states, [Place("head.weight", 1)])
    assert [s.size for s in found] == [7, 7]
    check_symmetries(model, found, torch.randn(4, 6, 5))
    for symmetry in found:
        for place in symmetry.places:
            fewer = tuple(other for other in symmetry.places if other != place)
            with pytest.raises(ModelError, match="changes what the network computes"):
                check_symmetries(model, [Symmetry("fewer", 7, fewer)], torch.randn(4, 6, 5))


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"proj_size": 3}])
def test_projected_and_bidirectional_layers_are_refused(options):
    with pytest.raises(ModelError, match="these recurrent layers have other symmetries"):
        recurrent_units("states", nn.LSTM(5, 7, 2, **options), [])
