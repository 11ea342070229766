"""Residual networks for small images: shapes, sizes, shortcuts, published weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from bequest.data import load_dataset
from bequest.data.cifar import NPZ, data_root
from bequest.distill.score import score
from bequest.errors import ModelError
from bequest.models import build_model, load_published, parameter_count
from bequest.models.resnet import IMAGENET_MEAN, IMAGENET_STD, Block, Normalise, resnet
from bequest.models.weights import weights_digest

SHAPE = (3, 32, 32)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_sizes_are_those_of_the_paper(depth: int, millions: float) -> None:
    """He et al. 2016, table 6."""
    model = build_model(f"resnet{depth}", SHAPE, 10, seed=0)
    assert round(parameter_count(model) / 1e6, 2) == millions
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_a_block_whose_convolutions_are_silent_is_its_shortcut() -> None:
    block = Block(4, 8, 2).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(2, 4, 6, 6)
    expected = torch.zeros(2, 8, 3, 3)
    expected[:, 2:6] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), expected)


def test_normalised_pixels_are_those_of_a_plain_network() -> None:
    plain = resnet(SHAPE, 10, depth=8).eval()
    normalised = resnet(SHAPE, 10, depth=8, mean=IMAGENET_MEAN, std=IMAGENET_STD).eval()
    normalised.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(3, *SHAPE)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(normalised(x), plain((x - mean) / std))
    assert weights_digest(plain) != weights_digest(normalised)


@pytest.mark.parametrize(
    ("shape", "options", "text"),
    [
        ((32,), {}, "a resnet needs images"),
        (SHAPE, {"depth": 21}, r"6n \+ 2 layers"),
        (SHAPE, {"mean": (0.5, 0.5, 0.5)}, "mean and std must be given together"),
        (SHAPE, {"mean": (0.5,), "std": (0.5,)}, "mean and std must be given together"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], options: dict[str, object], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        resnet(shape, 10, **options)


def published(path: Path, model: nn.Module) -> Path:
    """A file as published: wrapped names, a score beside the weights, no normalisation."""
    state = {f"module.{n}": v for n, v in model.state_dict().items() if not n.startswith("normalise")}
    torch.save({"state_dict": state, "best_prec1": 90.0}, path)
    return path


def test_published_weights_are_loaded_and_the_normalisation_stays(tmp_path: Path) -> None:
    source = resnet(SHAPE, 10, depth=8)
    path = published(tmp_path / "weights.th", source)
    model = resnet(SHAPE, 10, depth=8, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    load_published(path, model)
    assert torch.equal(model.linear.weight, source.linear.weight)
    assert isinstance(model.normalise, Normalise)
    torch.testing.assert_close(model.normalise.mean.flatten(), torch.tensor(IMAGENET_MEAN))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = published(tmp_path / "weights.th", resnet(SHAPE, 10, depth=8))
    with pytest.raises(ModelError, match="does not fit the model"):
        load_published(path, resnet(SHAPE, 10, depth=14))


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("exploded",))


def test_a_file_of_weights_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.th")
    with pytest.raises(ModelError, match="would run code"):
        load_published(tmp_path / "bomb.th", resnet(SHAPE, 10, depth=8))
    assert not (tmp_path / "exploded").exists()


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.th")
    with pytest.raises(ModelError, match="holds no weights"):
        load_published(tmp_path / "list.th", resnet(SHAPE, 10, depth=8))
    with pytest.raises(ModelError, match="no such file"):
        load_published(tmp_path / "absent.th", resnet(SHAPE, 10, depth=8))


@pytest.mark.slow
def test_published_resnet20_scores_as_published() -> None:
    """0.9173 on CIFAR-10's test images, with ImageNet's mean and deviation."""
    weights = next((data_root() / "weights").glob("resnet20-*.th"), None)
    if weights is None or not (data_root() / NPZ).exists():
        pytest.skip("CIFAR-10 or the published weights are not under BEQUEST_DATA")
    data = load_dataset("cifar10")
    model = build_model("resnet20", SHAPE, 10, seed=0, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert score(load_published(weights, model), data["test"])["accuracy"] == 0.9173
