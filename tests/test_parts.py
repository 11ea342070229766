"""Parts of a user's own: imported, digested by definition, refused with one message."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from bequest import parts
from bequest.errors import ConfigError
from bequest.models.catalogue import MODELS
from bequest.parts import code_digest, digests, load_parts, part_of
from bequest.registry import Registry
from bequest.runs.planning import planned

SOURCE = """
from bequest.models.catalogue import MODELS
from torch import nn

SCALE = 1

@MODELS.register("one_of_mine")
def one_of_mine(input_shape, classes, *, width=3):
    '''The first of mine.'''
    return nn.Linear(input_shape[0] * SCALE, classes)

@MODELS.register("two_of_mine")
def two_of_mine(input_shape, classes):
    '''The second of mine.'''
    return nn.Linear(input_shape[0], classes)
"""


@pytest.fixture
def file(tmp_path):
    """A file of parts; what it registers is taken back before the next test."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    for module in [each for each in parts._contents if sys.modules[each].__file__ == str(path)]:
        parts._forget(str(path), module)


def models():
    return {name: part_of("model", name).digest for name in ("one_of_mine", "two_of_mine")}


def test_parts_are_registered_as_ours_are_and_say_where_they_come_from(file):
    of_others = set(digests(["model"]))  # other tests have parts too
    load_parts([file])
    assert MODELS.summary("one_of_mine") == "The first of mine."
    assert MODELS.origin("one_of_mine") == str(file)
    assert MODELS.origin("cnn") is None
    assert part_of("model", "cnn") is None
    assert set(digests(["model"])) - of_others == {"model one_of_mine", "model two_of_mine"}


def test_a_digest_follows_its_own_definition_and_what_is_no_part(file):
    load_parts([file])
    before = models()
    file.write_text(SOURCE.replace("width=3", "width=4"))
    load_parts([file])
    after = models()
    assert after["one_of_mine"] != before["one_of_mine"]
    assert after["two_of_mine"] == before["two_of_mine"]
    file.write_text(SOURCE.replace("SCALE = 1", "SCALE = 2"))  # any part may use it
    load_parts([file])
    assert all(models()[name] != before[name] for name in before)
    file.write_text(SOURCE + "\n# a comment\n")
    load_parts([file])
    assert models() == before


def test_a_file_is_imported_once_as_long_as_it_does_not_change(file):
    load_parts([file])
    factory = MODELS["one_of_mine"]
    load_parts([file])
    assert MODELS["one_of_mine"] is factory
    load_parts([file.parent / "." / "mine.py"])
    assert MODELS["one_of_mine"] is factory


def test_the_code_of_a_file_has_a_digest_and_ours_has_none(file):
    file.write_text(SOURCE + "\nclass Thing:\n    pass\n\nMODELS.thing = Thing()\n")
    load_parts([file])
    assert len(code_digest(MODELS.thing)) == 64
    assert code_digest(MODELS) is None
    del MODELS.thing


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nowhere_to_be_found\n",
            "line 1: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("x = 1\ny = x / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "SyntaxError"),
        (SOURCE.replace("two_of_mine", "cnn"), "the model 'cnn' is registered twice"),
    ],
)
def test_a_file_that_fails_is_one_message_and_leaves_nothing_behind(file, source, message):
    file.write_text(source)
    with pytest.raises(ConfigError) as caught:
        load_parts([file])
    assert f"{file}: fails to import" in str(caught.value)
    assert message in str(caught.value)
    assert "one_of_mine" not in MODELS
    assert "cnn" in MODELS


def test_every_file_that_is_wrong_is_named(tmp_path):
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(ConfigError) as caught:
        load_parts([tmp_path / "absent.py", tmp_path / "text.txt"])
    assert len(caught.value.faults) == 2
    assert "absent.py: no such file" in str(caught.value)
    assert "expected a Python file" in str(caught.value)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes an installed package that offers a module with parts."""

    def install(source):
        info = tmp_path / "their_parts-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{parts.GROUP}]\ntheirs = their_parts_module\n")
        (tmp_path / "their_parts_module.py").write_text(source)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(parts, "_packages_loaded", [])
    yield install
    sys.modules.pop("their_parts_module", None)
    Registry.forget("their-parts")
    parts._parts.pop(("model", "theirs"), None)


def test_a_package_that_fails_to_load_is_named(package):
    package("raise RuntimeError('no luck')")
    with pytest.raises(ConfigError, match="the package their-parts fails to load: RuntimeError: no luck"):
        load_parts()


def test_what_a_package_registers_comes_from_it(package):
    package("from bequest.models.catalogue import MODELS\nMODELS.add('theirs', lambda *_: None)\n")
    load_parts()
    assert part_of("model", "theirs").origin == "their-parts"
    assert MODELS.origin("theirs") == "their-parts"


def test_a_definition_is_found_in_code_that_is_indented_oddly(file):
    file.write_text(textwrap.dedent(SOURCE))
    assert load_parts([file])


def test_what_a_users_file_is_the_first_to_import_stays_ours(tmp_path):
    """In a fresh process: changed and imported again, the file takes nothing of ours with it."""
    code = """
from pathlib import Path
from bequest.parts import load_parts
own = Path("own.py")
for number in range(2):
    own.write_text(f"from bequest.data.datasets import DATASETS\\nDATASETS.add('mine', lambda: {number})")
    load_parts([own])
from bequest.data.datasets import DATASETS
assert DATASETS.origin("digits") is None and DATASETS["mine"]() == 1
assert DATASETS.origin("mine") == str(own.resolve())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_that_no_file_can_have_is_one_message(tiny):
    with pytest.raises(ConfigError, match=r"use: 'a\\x00b' is not the name of a file"):
        planned({**tiny, "use": ["a\0b"]})
