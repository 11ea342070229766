"""Files of weights are told apart by content; damaged and foreign ones end in one message each."""

from __future__ import annotations

import argparse
import os
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models.pretrained import load_published, read_weights
from bequest.models.weight_formats import NESTS, read_state, without_wrappers
from bequest.models.weights import load_weights, save_weights

from .odd_networks import ExtraState, plain, script


def same(state, model):
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_content_decides_and_not_the_suffix(tmp_path, name, form):
    model, file = plain(), tmp_path / name
    if form == "safetensors":
        save_weights(file, model)
    else:
        torch.save(model.state_dict(), file, _use_new_zipfile_serialization=form == "zip")
    same(read_state(file), model)


@pytest.mark.parametrize("path", [("state_dict",), ("model", "state_dict"), ("model", "module"), ("ema",)])
def test_nested_checkpoints_are_opened_at_any_depth(tmp_path, path):
    model = plain()
    content = model.state_dict()
    for name in reversed(path):
        assert name in NESTS
        content = {name: content, "epoch": 3, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "w.pt")
    same(read_state(tmp_path / "w.pt"), model)


def test_extra_state_is_not_a_weight(tmp_path):
    model = ExtraState()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    assert read_state(tmp_path / "w.pt").keys() == {"layer.weight", "layer.bias"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off_in_any_order(tmp_path, prefix):
    source = plain()
    state = {prefix + name: value for name, value in source.state_dict().items()}
    same(without_wrappers(state), source)
    torch.save({"model": {"state_dict": state}}, tmp_path / "w.pt")
    same(load_published(tmp_path / "w.pt", plain()).state_dict(), source)


def test_a_prefix_that_only_some_names_have_stays():
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert without_wrappers(state).keys() == state.keys()
    assert without_wrappers({}) == {}


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("read", [read_weights, lambda file: load_weights(file, plain())])
def test_a_git_lfs_pointer_is_called_one(tmp_path, name, read):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 102502400\n"
    (tmp_path / name).write_text(pointer)
    with pytest.raises(ModelError, match="is a Git LFS pointer, not the weights") as refused:
        read(tmp_path / name)
    assert "git lfs pull" in str(refused.value.remedy)


def wrong_files(folder):
    """Files that hold no weights, by the message they get."""
    good = folder / "good.pt"
    torch.save(plain().state_dict(), good)
    content = good.read_bytes()
    save_weights(folder / "good.safetensors", plain())
    tensors = (folder / "good.safetensors").read_bytes()
    torch.save({"a": [1, 2]}, folder / "other.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(script(), folder / "script.bin")
    np.savez(folder / "arrays.bin.npz", a=np.ones(3))
    return {
        "is empty": b"",
        "is a web page": b"\n<!DOCTYPE html><html></html>",
        "cannot be read as weights": b"hello world",
        "cannot be read as weights ": content[: len(content) // 2],
        "cannot be read as weights  ": content[:10],
        "cannot be read as weights   ": (folder / "arrays.bin.npz").read_bytes(),
        "cannot be read as safetensors": tensors[:-9],
        "cannot be read as safetensors ": tensors[:30],
        "is a TorchScript or exported program": (folder / "script.bin").read_bytes(),
        "would run code": pickle.dumps({"options": argparse.Namespace(lr=1)}),
        "holds no weights": (folder / "other.pt").read_bytes(),
    }


def test_each_wrong_file_has_its_message(tmp_path):
    for message, content in wrong_files(tmp_path).items():
        (tmp_path / "w.bin").write_bytes(content)
        with pytest.raises(ModelError, match=message.strip()):
            read_state(tmp_path / "w.bin")


def test_code_is_named_wherever_it_stands(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"model": plain().state_dict(), "args": Trap()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="would run code") as refused:
        read_state(tmp_path / "w.pt")
    assert str(refused.value.got).endswith(".mkdir")
    assert not (tmp_path / "ran").exists()


def test_a_flipped_byte_among_the_numbers_is_noticed(tmp_path):
    """torch's own reader takes such a file as it is."""
    model, file = plain(), tmp_path / "w.pt"
    torch.save(model.state_dict(), file)
    content = bytearray(file.read_bytes())
    place = content.index(model[0].weight.detach().numpy().tobytes())
    content[place + 3] ^= 0x40
    file.write_bytes(content)
    assert not torch.equal(torch.load(file, weights_only=True)["0.weight"], model[0].weight)
    with pytest.raises(ModelError, match="is damaged: the checksum of"):
        read_state(file)


def test_a_file_without_checksums_is_read(tmp_path):
    model, before = plain(), torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(model.state_dict(), tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    same(read_state(tmp_path / "w.pt"), model)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_damage_anywhere_ends_in_weights_or_one_message(tmp_path, form):
    file, random = tmp_path / "w.bin", np.random.default_rng(0)
    if form == "safetensors":
        save_weights(file, plain())
    else:
        torch.save(plain().state_dict(), file, _use_new_zipfile_serialization=form == "zip")
    whole, refused = file.read_bytes(), 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            content[random.integers(len(content))] = random.integers(256)
        file.write_bytes(content[: random.integers(1, len(content))] if random.random() < 0.2 else content)
        try:
            state = read_state(file)
        except ModelError:
            refused += 1
        else:
            assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert refused > 20


def test_a_network_without_parameters_has_a_file_too(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", nn.Flatten())
    load_weights(path, nn.Flatten())
    with pytest.raises(ModelError, match="holds no weights"):
        read_weights(path)
