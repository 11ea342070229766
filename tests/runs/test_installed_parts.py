"""A package that offers parts by entry point: installed from its wheel, every process of a run has them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

import bequest
from bequest.files import read_json
from bequest.parts import GROUP

pytestmark = pytest.mark.slow  # each command is a process that imports torch

SOURCE = Path(bequest.__file__).parents[1]
TEMPLATE = Path(bequest.__file__).parent / "cli" / "template"
METADATA = "Metadata-Version: 2.1\nName: their-parts\nVersion: {version}\n"
KIND = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Environment:
    """A fresh virtual environment that has bequest and torch from this one, and packages of its own."""

    def __init__(self, root):
        self.root = root
        venv.create(root / "env", with_pip=False, symlinks=True)
        base = {"base": str(root / "env"), "platbase": str(root / "env")}
        self.packages = Path(sysconfig.get_path("purelib", "venv", vars=base))
        self.python = Path(sysconfig.get_path("scripts", "venv", vars=base)) / "python"
        paths = [str(SOURCE), *(path for path in sys.path if path.endswith("site-packages"))]
        (self.packages / "ours.pth").write_text("\n".join(paths))

    def install(self, version, code):
        """Install a wheel whose package ``their_parts`` has this code."""
        wheel = self.root / f"their_parts-{version}-py3-none-any.whl"
        info = f"their_parts-{version}.dist-info"
        files = {
            "their_parts/__init__.py": code,
            f"{info}/METADATA": METADATA.format(version=version),
            f"{info}/WHEEL": KIND,
            f"{info}/entry_points.txt": f"[{GROUP}]\ntheirs = their_parts\n",
        }
        with ZipFile(wheel, "w") as archive:
            for name, content in {**files, f"{info}/RECORD": "".join(f"{n},,\n" for n in files)}.items():
                archive.writestr(name, content)
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        options = ["--quiet", "--no-index", "--no-deps", "--force-reinstall", "--disable-pip-version-check"]
        subprocess.run([*pip, *options, str(wheel)], check=True, timeout=300)

    def bequest(self, *arguments):
        """Run a command, without anything of this process on its path."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [self.python, "-m", "bequest", *map(str, arguments)],
            env=environment, cwd=self.root, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    if find_spec("pip") is None:
        pytest.skip("pip is not installed")
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install("1.2", (TEMPLATE / "parts.txt").read_text())
    study = (TEMPLATE / "study.toml").read_text()
    line = next(line for line in study.splitlines() if line.startswith("use = "))
    (environment.root / "study.toml").write_text(study.replace(line, ""))
    return environment


def test_ls_and_check_see_what_a_wheel_offers(environment):
    listed = environment.bequest("ls")
    assert listed.returncode == 0, listed.stderr
    for name in ("my_net", "my_data", "my_objective", "my_measure"):
        assert any(name in line and "(their-parts)" in line for line in listed.stdout.splitlines()), name
    checked = environment.bequest("check", "study.toml")
    assert checked.returncode == 0, checked.stderr
    assert "at scale smoke: 10 cells, no errors" in checked.stdout


def test_workers_train_and_measure_with_it_and_another_version_is_another_part(environment):
    command = ("run", "study.toml", "--scale", "smoke", "--seeds", 1, "--out", "run", "--workers", 2)
    ended = environment.bequest(*command, "--set", "recipe.epochs=2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    measurements = read_json(environment.root / "run" / "measurements.json")
    assert {m["arm"] for m in measurements if m["measure"] == "my_measure"} >= {"cnn", "mine<-cnn"}
    records = [read_json(path) for path in (environment.root / "run" / "cells").glob("*/record.json")]
    assert len(records) == 5
    assert all("dataset my_data" in record["config"]["parts"] for record in records)
    environment.install("1.3", (TEMPLATE / "parts.txt").read_text())
    refused = environment.bequest(*command, "--set", "recipe.epochs=2")
    assert refused.returncode == 2
    assert "the dataset my_data has changed" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_package_that_cannot_be_loaded_is_one_message(environment):
    environment.install("1.4", "import nowhere_to_be_found\n")
    refused = environment.bequest("check", "digits")
    assert refused.returncode == 2
    assert "the package their-parts fails to load: ModuleNotFoundError" in refused.stderr
    assert "Traceback" not in refused.stderr
