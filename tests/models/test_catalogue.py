from __future__ import annotations

import pytest
import torch

from bequest.errors import ConfigError, ModelError, UnknownName
from bequest.models import build_model, parameter_count


def test_weights_follow_from_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = build_model("mlp", (1, 4, 4), 3, seed=0)
    assert torch.equal(torch.rand(1), expected)
    two, other = build_model("mlp", (1, 4, 4), 3, seed=0), build_model("mlp", (1, 4, 4), 3, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_models_answer_with_one_logit_a_class(name):
    model = build_model(name, (1, 12, 12), 7, seed=0)
    assert model(torch.rand(5, 1, 12, 12)).shape == (5, 7)


def test_parameter_counts_follow_from_the_layer_sizes():
    mlp = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[256, 256])
    assert parameter_count(mlp) == 144 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10
    cnn = build_model("cnn", (1, 12, 12), 10, seed=0, channels=[32, 32, 64])
    assert parameter_count(cnn) == (9 + 1) * 32 + (288 + 1) * 32 + (288 + 1) * 64 + 65 * 10


def test_a_global_maximum_makes_the_cnn_invariant_to_shifts_of_its_stride():
    model = build_model("cnn", (1, 24, 24), 10, seed=0).eval()
    x = torch.zeros(1, 1, 24, 24)
    x[..., 10:13, 10:13] = torch.rand(3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model(x), model(x.roll((2, -2), (2, 3))), atol=1e-6)
    assert not torch.allclose(model(x), model(2 * x), atol=1e-3)


def test_what_cannot_be_built_is_named():
    with pytest.raises(UnknownName, match="did you mean 'mlp'"):
        build_model("mpl", (4,), 2, seed=0)
    with pytest.raises(ConfigError, match="did you mean 'hidden'"):
        build_model("mlp", (4,), 2, seed=0, hiden=[3])
    with pytest.raises(ModelError, match="needs images"):
        build_model("cnn", (4,), 2, seed=0)
    with pytest.raises(ModelError, match="cannot be built"):
        build_model("mlp", (4,), 2, seed=0, hidden=[-3])
