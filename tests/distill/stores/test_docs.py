"""What the page about stores shows is true."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bequest as bq
from bequest.cli.main import app
from bequest.distill.stores.codecs import Codec, parse_codec
from bequest.distill.stores.manifest import Manifest

PAGE = (Path(__file__).parents[3] / "docs" / "stores.md").read_text(encoding="utf-8")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    assert isinstance(names["logits"], np.ndarray)
    manifest = json.loads((tmp_path / "signals" / "manifest.json").read_text())
    text = json.dumps({k: v for k, v in manifest.items() if k != "sha256"}, indent=1, ensure_ascii=False)
    assert hashlib.sha256((text + "\n").encode()).hexdigest() == manifest["sha256"]


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bq.run("digits", scale="smoke", seeds=1, arms=["cnn"], out="runs/digits-small", workers=1)
    commands = re.findall(r"^bequest store (.*)$", PAGE, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["build", "info", "verify"]
    for command in commands:
        done = CliRunner().invoke(app, ["store", *shlex.split(command)])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"


def test_every_codec_and_every_entry_has_its_place() -> None:
    for name in Codec.known:
        assert f'name = "{name}"' in PAGE
    for entry in Manifest.model_fields:
        assert f"`{entry}`" in PAGE


@pytest.mark.parametrize(
    ("codec", "classes", "size"),
    [
        ("float16", 1000, "2,000"),
        ({"name": "topk", "k": 50}, 1000, "220"),
        ({"name": "topk", "k": 10}, 1000, "60"),
        ({"name": "sampled", "draws": 12}, 1000, "24"),
        ("float16", 128_256, "256,512"),
        ({"name": "topk", "k": 10}, 128_256, "80"),
        ({"name": "sampled", "draws": 50}, 128_256, "200"),
        ({"name": "packed", "k": 50}, 128_256, "118"),
    ],
)
def test_sizes_are_those_of_the_codecs(codec: object, classes: int, size: str) -> None:
    dtype, shape = parse_codec(codec).layout((classes,))
    assert dtype.itemsize * int(np.prod(shape)) == int(size.replace(",", ""))
    assert f"| {size} |" in PAGE


def test_the_sums_of_the_examples_are_right() -> None:
    records = 1_281_167 * 300
    sums = {
        "769 GB": records * 2000,
        "84.6 GB": records * 220,
        "23.1 GB": records * 60,
        "9.2 GB": records * 24,
    }
    for text, size in sums.items():
        assert text in PAGE
        assert f"{size / 1e9:.{len(text.split()[0].partition('.')[2])}f} GB" == text
    assert f"{records / 3600 / 1000:.0f} hours" in PAGE
    assert f"{1e10 / 3600 / 20_000:.0f} hours" in PAGE
