"""``bequest ls``: what there is, in one line each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bequest.cli.listing import listed_in_file
from bequest.cli.main import app
from bequest.errors import UnknownName


def ls(*arguments):
    return CliRunner().invoke(app, ["ls", *arguments])


@pytest.mark.parametrize(
    ("kind", "name", "summary"),
    [
        ("studies", "digits", "Digits: a CNN and an MLP teach each other"),
        ("models", "cnn", "Convolutional network"),
        ("objectives", "kd", ""),
        ("views", "shift", ""),
        ("corruptions", "fog", ""),
        ("measures", "accuracy_left", "accuracy left under corruption (relative to clean)"),
        ("evidence", "barriers", "The height of the loss barrier"),
    ],
)
def test_every_kind_lists_its_names_with_a_summary(kind, name, summary):
    entries = json.loads(ls(kind, "--json").stdout)[kind]
    assert summary.casefold() in entries[name].casefold()
    assert all(entries.values())


def test_the_file_lists_what_is_registered():
    ask = "import json; from bequest.cli import listing; print(json.dumps(listing.listed_in_registries()))"
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout) == listed_in_file(), "run: python docs/generate_reference.py"


def test_our_parts_are_listed_without_importing_them():
    code = (
        "import sys; from bequest.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'numpy'} & set(sys.modules))"
    )
    listed = subprocess.run([sys.executable, "-c", code, "ls"], capture_output=True, text=True, check=True)
    assert "mlp" in listed.stdout
    assert listed.stdout.endswith("set()\n")


def test_an_unknown_kind_names_the_nearest():
    result = ls("modles")
    assert isinstance(result.exception, UnknownName)
    assert "models" in str(result.exception)
