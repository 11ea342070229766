"""The store's verbs, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bequest.cli.store import app
from bequest.errors import ConfigError, SignalError, UnknownName
from bequest.models import build_model
from bequest.models.weights import save_weights

pytestmark = pytest.mark.usefixtures("one_worker_here")

VIEWS = '{name = "shift", pixels = 1}'


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(tmp_path / "teacher.safetensors", build_model("mlp", (1, 12, 12), 10, seed=3))


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def build(folder: Path, weights: Path, *more: object) -> str:
    return call("build", folder, "--teacher", f"mlp:{weights}", "--data", "digits", *more)


def test_build_info_and_verify_in_a_row(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "signals"
    built = json.loads(build(folder, weights, "--views", VIEWS, "--count", 2, "--json"))
    assert built == json.loads(call("info", folder, "--json"))
    (entry,) = built["recordings"]
    assert (entry["count"], entry["samples"], entry["codec"]) == (
        2,
        1297,
        {"name": "dense", "dtype": "float16"},
    )
    assert built["bytes"] == sum(path.stat().st_size for path in folder.glob("view-*.npy"))
    checked = json.loads(
        call("verify", folder, "--teacher", f"mlp:{weights}", "--data", "digits", "--samples", 9, "--json")
    )
    assert (checked["files"], checked["probed"]) == (2, 9)
    assert checked["deviation"] <= 2.0**-10


def test_the_same_command_changes_nothing(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "signals"
    build(folder, weights)
    before = (folder / "manifest.json").read_bytes()
    text = build(folder, weights)
    assert '1 of {"name": "identity"}' in text
    assert (folder / "manifest.json").read_bytes() == before


def test_a_codec_is_given_as_toml(tmp_path: Path, weights: Path) -> None:
    text = build(tmp_path / "signals", weights, "--codec", '{name = "topk", k = 3}')
    assert '"k": 3' in text
    assert "32.2 per record" in text


def test_verify_without_a_teacher_says_what_it_left_out(tmp_path: Path, weights: Path) -> None:
    build(tmp_path / "signals", weights)
    text = call("verify", tmp_path / "signals")
    assert "all checksums match" in text
    assert "that needs --teacher" in text
    asked = call("verify", tmp_path / "signals", "--teacher", f"mlp:{weights}", "--data", "digits")
    assert "64 answers recomputed: largest deviation" in asked


def test_published_weights_and_model_options(tmp_path: Path) -> None:
    model = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=(8,))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "teacher.th")
    teacher = ("--teacher", f"mlp:{tmp_path / 'teacher.th'}", "--model-option", "hidden=[8]")
    call("build", tmp_path / "signals", *teacher, "--data", "digits", "--data-option", "border=2")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((), ConfigError, "give at least one"),
        (("--teacher", "nowhere"), ConfigError, "neither an arm of a run"),
        (("--teacher", "mlp:weights"), ConfigError, "needs a data set"),
        (("--teacher", "mpl:weights", "--data", "digits"), UnknownName, "there is no model 'mpl'"),
    ],
)
def test_a_wrong_teacher_is_said(
    tmp_path: Path, arguments: tuple[str, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call("build", tmp_path / "signals", *arguments)


def test_a_damaged_store_fails_to_verify(tmp_path: Path, weights: Path) -> None:
    build(tmp_path / "signals", weights)
    path = tmp_path / "signals" / "view-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(SignalError, match="is damaged"):
        call("verify", tmp_path / "signals")


def test_a_teacher_comes_from_a_run_with_its_data(tmp_path: Path) -> None:
    import bequest as bq

    bq.run("digits", scale="smoke", seeds=1, arms=["mlp"], out=tmp_path / "run", workers=1)
    call("build", tmp_path / "signals", "--teacher", f"{tmp_path / 'run'}:mlp")
    call("verify", tmp_path / "signals", "--teacher", f"{tmp_path / 'run'}:mlp:0")
    with pytest.raises(UnknownName, match="no arm 'cnn'"):
        call("verify", tmp_path / "signals", "--teacher", f"{tmp_path / 'run'}:cnn")
    with pytest.raises(ConfigError, match="has no seed '4'; it has 0 to 0"):
        call("verify", tmp_path / "signals", "--teacher", f"{tmp_path / 'run'}:mlp:4")


@pytest.mark.parametrize("verb", ["build", "info", "verify"])
def test_help_has_an_example(verb: str) -> None:
    assert "Example: bequest store" in " ".join(call(verb, "--help").split())
