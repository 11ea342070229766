"""A trained network as a folder: written, read back, and refused where it is damaged."""

from __future__ import annotations

import json

import pytest
import torch

from bequest.errors import ModelError, UnknownName
from bequest.models.catalogue import build_model
from bequest.models.export import load_pretrained, save_pretrained
from bequest.models.weights import save_weights, weights_digest

CLASSES = ["zero", "one", "two"]
FAMILIES = [
    ("mlp", (1, 6, 6), {"hidden": [8]}, torch.float32),
    ("cnn", (1, 6, 6), {"channels": [4], "pool_after": [1]}, torch.float32),
    ("resnet8", (3, 8, 8), {"mean": [0.5] * 3, "std": [0.25] * 3}, torch.float32),
    ("vit", (3, 8, 8), {"form": "distilled", "width": 16, "depth": 1}, torch.float32),
    ("lstm", (7,), {"vocabulary": 9, "width": 8}, torch.int64),
]


def built(family, shape, options, seed=3):
    return build_model(family, shape, len(CLASSES), seed=seed, **options).eval()


def saved(folder, family="mlp", shape=(1, 6, 6), options=None):
    options = {"hidden": [8]} if options is None else options
    model = built(family, shape, options)
    return model, save_pretrained(folder, model, family, options, CLASSES, input_shape=shape)


@pytest.mark.parametrize(("family", "shape", "options", "dtype"), FAMILIES)
def test_a_network_comes_back_with_its_answers_and_classes(tmp_path, family, shape, options, dtype):
    model, config = saved(tmp_path / "deep" / "folder", family, shape, options)
    back = load_pretrained(tmp_path / "deep" / "folder")
    x = torch.ones(3, *shape, dtype=dtype)
    answers = [getattr(each(x), "logits", each(x)) for each in (model, back.model)]
    assert torch.equal(*answers)
    assert not back.model.training
    assert back.config == config
    assert (back.config.classes, back.config.family) == (CLASSES, family)
    assert back.config.weights_digest == weights_digest(back.model)
    assert {p.name for p in (tmp_path / "deep" / "folder").iterdir()} == {"config.json", "model.safetensors"}


def test_weights_of_another_network_or_damaged_ones_are_refused(tmp_path):
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"is not the file that config\.json names"):
        load_pretrained(tmp_path)
    save_weights(file, built("mlp", (1, 6, 6), {"hidden": [8]}, seed=4))
    with pytest.raises(ModelError, match=r"is not the file that config\.json names"):
        load_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: "{", "not the configuration of an exported model"),
        (lambda c: "[1]", "not the configuration of an exported model"),
        (lambda c: json.dumps({**c, "classes": 3}), "not the configuration of an exported model"),
        (lambda c: json.dumps({k: v for k, v in c.items() if k != "family"}), "not the configuration"),
        (lambda c: json.dumps({**c, "version": 2}), "has another format"),
        (lambda c: json.dumps({**c, "format": "other"}), "has another format"),
        (lambda c: json.dumps({**c, "family": "mpl"}), "cannot be built"),
        (lambda c: json.dumps({**c, "options": {"hiden": [8]}}), "cannot be built"),
        (lambda c: json.dumps({**c, "options": {"hidden": [9]}}), "does not fit the model"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path, change, message):
    saved(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(change(json.loads(file.read_text())))
    with pytest.raises(ModelError, match=message):
        load_pretrained(tmp_path)


def test_what_is_not_an_export_or_cannot_be_one(tmp_path):
    with pytest.raises(ModelError, match="is not an exported model"):
        load_pretrained(tmp_path)
    model = built("mlp", (1, 6, 6), {"hidden": [8]})
    with pytest.raises(UnknownName, match="there is no model 'mpl'"):
        save_pretrained(tmp_path, model, "mpl", {}, CLASSES, input_shape=(1, 6, 6))
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        save_pretrained(tmp_path, model, "mlp", {"hidden": {8}}, CLASSES, input_shape=(1, 6, 6))
    assert not list(tmp_path.iterdir())


def test_more_keys_may_stand_in_the_configuration(tmp_path):
    """A model card's own entries: scores, teachers, the study."""
    saved(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "study": "digits"}))
    assert load_pretrained(tmp_path).config.model_extra == {"study": "digits"}
