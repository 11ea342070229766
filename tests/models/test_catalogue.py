from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from bequest.data.outline import Outline
from bequest.errors import ConfigError, InputError, ModelError, UnknownName
from bequest.models import MODELS, build_model, parameter_count, state_count, vit
from bequest.models.catalogue import token_options
from bequest.models.maxout import Maxout
from bequest.models.option_types import type_faults


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
    with pytest.raises(ModelError, match="a cnn needs images"):
        build_model("cnn", (4,), 2, seed=0)
    with pytest.raises(ModelError, match="cannot be built"):
        build_model("mlp", (4,), 2, seed=0, hidden=[-3])
    with pytest.raises(ModelError, match="cannot be built"):
        build_model("lstm", (4,), 2, seed=0, vocabulary=9, width=0)
    with pytest.raises(ModelError, match="input_shape has a size below 1"):
        build_model("mlp", (0, 4), 2, seed=0)
    with pytest.raises(ModelError, match="needs one class or more"):
        build_model("mlp", (4,), 0, seed=0)
    with pytest.raises(ModelError, match="names a convolution that a cnn does not have"):
        build_model("cnn", (1, 8, 8), 2, seed=0, channels=[4], pool_after=[2])
    with pytest.raises(ModelError, match="a Transformer needs at least one block"):
        build_model("transformer", (4,), 2, seed=0, vocabulary=9, layers=-1)


def test_the_published_counts_of_abnar_2020_hold_exactly():
    """They include the running statistics, as in Keras: two numbers a normalised unit."""
    options = {"hidden": [512, 128, 32], "batch_norm": True, "dropout": 0.1}
    mlp = build_model("mlp", (1, 28, 28), 10, seed=0, **options)
    cnn = build_model("maxout_cnn", (1, 28, 28), 10, seed=0)
    assert (state_count(mlp), state_count(cnn)) == (474_730, 113_002)
    assert parameter_count(mlp) == 474_730 - 2 * (512 + 128 + 32)
    assert parameter_count(cnn) == 113_002 - 2 * (128 + 64 + 16)


def test_maxout_keeps_the_largest_of_neighbouring_channels():
    x = torch.arange(6.0).view(1, 6, 1, 1).flip(1)
    assert Maxout(3)(x).flatten().tolist() == [5.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((784,), {}, "a maxout_cnn needs images"),
        ((1, 28, 28), {"pools": [2]}, "do not fit each other"),
        ((1, 28, 28), {"maxout": 7}, "do not fit each other"),
        ((1, 12, 12), {"pools": [2, 2, 2]}, "too small for so many pools"),
    ],
)
def test_a_maxout_cnn_that_cannot_be_is_refused(shape, options, said):
    with pytest.raises(ModelError, match=said):
        build_model("maxout_cnn", shape, 10, seed=0, **options)


def test_fields_of_an_options_class_are_the_options_of_a_factory():
    tokens, packed = Outline((9,), "int64", 2, 5, 30, 0), Outline((9,), "int64", 30, 5, 30, task="next_token")
    assert token_options("lstm", tokens, 30) == {"vocabulary": 30, "padding": 0}
    assert token_options("lstm_lm", tokens, 30) == {"padding": 0}
    assert token_options("lstm_lm", packed, 30) == {"padding": -1}
    assert token_options("transformers", packed, 30) == {
        "vocabulary": 30,
        "padding": -1,
        "task": "next_token",
    }
    assert token_options("transformers", tokens, 0) == {}
    assert inspect.signature(MODELS["vit"]).parameters["position_std"].default == 0.3
    assert (vit.__name__, MODELS.summary("vit")) == ("vit", "Vision transformer.")
    with pytest.raises(ConfigError, match="did you mean 'attention_dropout'"):
        build_model("transformer", (9,), 2, seed=0, vocabulary=9, attention_droput=0.1)


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("mlp", {"hidden": {}}, r"hidden: expected Sequence\[int\], got \{\}"),
        ("mlp", {"hidden": ["8"]}, "hidden: expected Sequence"),
        ("mlp", {"batch_norm": "yes"}, "batch_norm: expected bool, got 'yes'"),
        ("cnn", {"dropout": None}, "dropout: expected float, got None"),
        ("vit", {"depth": True}, "depth: expected int, got True"),
        ("vit", {"position_std": float("nan")}, "position_std: expected float, got nan"),
        ("transformer", {"vocabulary": 9, "width": 8.0}, "width: expected int, got 8.0"),
        ("resnet8", {"mean": 0.5}, r"mean: expected Sequence\[float\] \| None"),
        ("timm", {"network": 18}, "network: expected str, got 18"),
    ],
)
def test_options_of_another_type_are_refused_before_anything_is_built(name, options, fault):
    with pytest.raises(ConfigError, match=fault):
        build_model(name, (3, 8, 8), 2, seed=0, **options)


def test_whole_numbers_tuples_and_numbers_of_numpy_are_taken():
    for options in ({"hidden": (3, 4), "dropout": 0}, {"dropout": np.float32(0.5), "tokens": np.int64(2)}):
        assert list(type_faults(MODELS["mlp"], options)) == []
    assert list(type_faults(lambda input_shape, classes, *, anything=3: None, {"anything": object})) == []


def test_every_option_of_the_catalogue_declares_its_type():
    for name in MODELS:
        for parameter in inspect.signature(MODELS[name]).parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter.name)


def test_all_faults_are_listed_at_once():
    with pytest.raises(ConfigError, match="model 'mlp': 2 errors") as refused:
        build_model("mlp", (4,), 2, seed=0, hiden=[3], dropout="much")
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["hiden", "dropout"]


ODD_VALUES = (-1, 0, 1, 1.5, "x", None, True, [], [0], [-1], ["a"], (3,), float("nan"), {})
SMALL = {
    "mlp": ((1, 8, 8), {}),
    "cnn": ((1, 8, 8), {}),
    "maxout_cnn": ((1, 16, 16), {}),
    "lstm": ((5,), {"vocabulary": 9, "width": 8}),
    "transformer_lm": ((5,), {"width": 8, "layers": 1}),
    "resnet8": ((3, 8, 8), {}),
    "rednet": ((3, 16, 16), {}),
    "vit": ((3, 16, 16), {"width": 8, "depth": 1}),
}


@pytest.mark.parametrize("name", SMALL)
def test_no_value_of_an_option_and_no_shape_ends_in_a_traceback(name):
    shape, base = SMALL[name]
    parameters = inspect.signature(MODELS[name]).parameters.values()
    options = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    attempts = [(shape, {**base, option: value}) for option in options for value in ODD_VALUES]
    attempts += [(odd, base) for odd in ((), (0,), (3, 0, 0), (3, 16), (-1, 16, 16), (3, 1, 1), (1, 2, 3, 4))]
    outcomes = set()
    for attempt_shape, attempt in attempts:
        try:
            outcomes.add(type(build_model(name, attempt_shape, 4, seed=0, **attempt)).__mro__[-2].__name__)
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"Module", "refused"}


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_grey_network_is_blind_to_hue_and_sees_brightness(name):
    model = build_model(name, (3, 8, 8), 4, seed=0, grey=True)
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), model(x.roll(1, 1)))
    assert not torch.allclose(model(x), model(0.5 * x))
    alone = build_model(name, (1, 8, 8), 4, seed=0)
    assert torch.equal(model(x), alone(x.amax(1, keepdim=True)))
