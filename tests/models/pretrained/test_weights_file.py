"""Files of weights: opened as data, whatever their origin; code in them never runs."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models.pretrained.weights_file import read_weights
from bequest.models.resnet import resnet
from bequest.models.weights import save_weights


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
@pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "pytorch_model.bin"])
def test_a_pickle_that_wants_to_run_code_is_refused_without_running(tmp_path, save, name):
    touched = tmp_path / "touched"
    save({"weight": torch.ones(2), "trap": Trap(touched)}, tmp_path / name)
    with pytest.raises(ModelError, match="would run code") as refused:
        read_weights(tmp_path / name)
    assert "safetensors" in str(refused.value)
    assert not touched.exists()


def test_the_trap_would_have_sprung(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ModelError, match="would run code"):
        read_weights(tmp_path / "module.pt")


@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
def test_state_dicts_are_found_where_scripts_keep_them(tmp_path, nest):
    state = nn.Linear(3, 2).state_dict()
    torch.save(state if nest is None else {nest: state, "epoch": 3}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert set(found.state) == {"weight", "bias"}
    assert torch.equal(found.state["weight"], state["weight"])


def test_a_cell_brings_its_normalisation(tmp_path):
    model = resnet((3, 8, 8), 4, depth=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    save_weights(tmp_path / "weights.safetensors", model)
    found = read_weights(tmp_path)
    assert found.mean == (0.1, 0.2, 0.3)
    assert found.std == (0.4, 0.5, 0.6)
    assert found.origin.endswith("weights.safetensors")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}),
        ("config.json", {"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}),
    ],
)
def test_a_folder_of_another_library_brings_its_normalisation(tmp_path, name, content):
    save_weights(tmp_path / "model.safetensors", nn.Linear(2, 2))
    assert read_weights(tmp_path).mean is None
    (tmp_path / name).write_text(json.dumps(content))
    assert read_weights(tmp_path).std == (0.25, 0.25, 0.25)


def test_what_holds_no_weights_is_said(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(ModelError, match="holds no weights"):
        read_weights(tmp_path)
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        read_weights(tmp_path / "damaged.safetensors")
    torch.save({"epoch": 3, "weight": torch.ones(1)}, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match="epoch: int"):
        read_weights(tmp_path / "odd.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "odd.pt").read_bytes()[:200])
    with pytest.raises(ModelError):
        read_weights(tmp_path / "cut.pt")


def sharded(folder, **places):
    """The weights of two layers over two files, and an index."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    for number, layer in enumerate((first, second), 1):
        save_weights(folder / f"model-{number}-of-2.safetensors", nn.ModuleDict({f"layer{number}": layer}))
    files = {
        f"layer{number}.{name}": f"model-{number}-of-2.safetensors"
        for number in (1, 2)
        for name in ("weight", "bias")
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {**files, **places}}))
    return first, second


def test_weights_spread_over_several_files_are_read_by_their_index(tmp_path):
    first, second = sharded(tmp_path)
    state = read_weights(tmp_path).state
    assert state.keys() == {"layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"}
    assert torch.equal(state["layer1.weight"], first.weight)
    assert torch.equal(state["layer2.weight"], second.weight)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"other": "../outside.safetensors"}, "outside of its folder"),
        ({"other": "/outside.safetensors"}, "outside of its folder"),
        ({"other": "model-3-of-2.safetensors"}, "no such file"),
        ({"other": "model-1-of-2.safetensors"}, "names tensors that its files do not have"),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(tmp_path, places, message):
    sharded(tmp_path, **places)
    with pytest.raises(ModelError, match=message):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_not_one_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match="is not an index of weights"):
        read_weights(tmp_path)
