"""Names of networks: each form, and one precise message for each way to get one wrong."""

from __future__ import annotations

import dataclasses

import pytest

from bequest.errors import ConfigError, InputError, UnknownName
from bequest.models.catalogue import MODELS
from bequest.models.network_names import NetworkName, parse_network_name


@pytest.mark.parametrize(
    ("text", "family", "options", "weights"),
    [
        ("mlp", "mlp", {}, None),
        ("resnet20:weights.th", "resnet20", {}, "weights.th"),
        ("cnn:C:/weights/a.pt", "cnn", {}, "C:/weights/a.pt"),
        ("timm:resnet18.a1_in1k", "timm", {"network": "resnet18.a1_in1k"}, None),
        ("timm:local-dir:folder", "timm", {"network": "local-dir:folder"}, None),
        ("torchvision:resnet18", "torchvision", {"network": "resnet18"}, None),
        ("transformers:org/name", "transformers", {"network": "org/name"}, None),
        ("efficientnet_lite:0", "efficientnet_lite", {"variant": 0}, None),
        ("efficientnet_lite:2", "efficientnet_lite", {"variant": 2}, None),
        ("efficientnet_lite", "efficientnet_lite", {}, None),
    ],
)
def test_each_form_names_family_options_and_weights(text, family, options, weights):
    assert parse_network_name(text) == NetworkName(family, options, weights)
    assert parse_network_name(text, {"extra": 1}) == NetworkName(family, {**options, "extra": 1}, weights)


@pytest.mark.parametrize("family", ["mlp", "vit", "lstm_lm"])
def test_a_family_alone_is_that_family(family):
    assert family in MODELS
    assert parse_network_name(family) == NetworkName(family)


@pytest.mark.parametrize("text", ["efficientnet_lite:two", "efficientnet_lite:-1", "efficientnet_lite:1.0"])
def test_a_variant_that_is_not_a_number_is_refused_and_is_not_variant_0(text):
    with pytest.raises(
        ConfigError, match=r"is not a number; expected efficientnet_lite:N with N one of 0, 1, 2"
    ):
        parse_network_name(text)


def test_a_variant_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="there is no variant 7"):
        parse_network_name("efficientnet_lite:7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (":weights.pt", "is empty"),
        ("mlp:", "nothing follows the colon; expected mlp or mlp:WEIGHTS"),
        ("timm: ", "nothing follows the colon; expected timm:NAME"),
        ("transformers", "lacks the name of a network of transformers; expected transformers:NAME_OR_FOLDER"),
    ],
)
def test_empty_parts_are_refused_by_name(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_network_name(text)


@pytest.mark.parametrize("text", ["resnet21", "resnet21:weights.th", "runs/none:cnn:0"])
def test_an_unknown_family_names_the_nearest_and_the_forms(text):
    with pytest.raises(UnknownName, match="there is no model") as refused:
        parse_network_name(text)
    assert "timm:NAME" in str(refused.value.expected)
    assert isinstance(refused.value, InputError)
    if text.startswith("resnet21"):
        assert "or 'resnet20'" in str(refused.value.remedy)


def test_a_library_takes_its_network_as_an_option_too():
    options = {"network": "resnet18"}
    assert parse_network_name("timm", options) == NetworkName("timm", options)


def test_a_name_and_an_option_that_contradict_each_other_are_refused():
    assert parse_network_name("efficientnet_lite:1", {"variant": 1}).options == {"variant": 1}
    with pytest.raises(ConfigError, match="variant: the name says 1, the option 2"):
        parse_network_name("efficientnet_lite:1", {"variant": 2})


def test_parsers_of_other_forms_are_asked_first():
    def run(text):
        folder, _, arm = text.partition(":")
        return (
            NetworkName("cnn", {"channels": [4]}, f"{folder}/{arm}") if folder.startswith("runs/") else None
        )

    assert parse_network_name("runs/a:cnn", parsers=[run]).weights == "runs/a/cnn"
    assert parse_network_name("runs/a:cnn", {"dropout": 0.1}, parsers=[run]).options == {
        "channels": [4],
        "dropout": 0.1,
    }
    assert parse_network_name("mlp:w.pt", parsers=[run]) == NetworkName("mlp", {}, "w.pt")


def test_a_name_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_network_name("mlp").family = "cnn"
