"""What decides a result is in its key: data on disk, users' optimizers, transforms and corruptions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from bequest import parts
from bequest.data import content
from bequest.data.sources import MNIST_FILES, SOURCES, DataSource, SourceFile
from bequest.evidence.reading import Severity, answers_on, probe_split
from bequest.parts import load_parts
from bequest.runs.planning import planned
from bequest.studies import datasets
from bequest.studies.datasets import load
from bequest.studies.spec import DataSpec, SplitSpec

SOURCE = """
import torch
from bequest.data.transforms import Transform
from bequest.distill.recipe import OPTIMIZERS
from bequest.variants import strict

@OPTIMIZERS.register("my_sgd")
class MySGD(torch.optim.SGD):
    momentum = 0

@strict
class Flipped(Transform, name="my_flip"):
    def __call__(self, x):
        return x.flip(-1)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    for module in [name for name in parts._contents if name.startswith(parts.PREFIX)]:
        parts._forget(str(path.resolve()), module)


def test_a_changed_optimizer_is_another_training_and_a_changed_transform_another_reading(tiny, file):
    load_parts([file])
    tiny["recipe"]["optimizer"] = "my_sgd"
    tiny["splits"]["moved"]["variants"] = [{"name": "my_flip"}]
    before = planned(tiny)
    cell = before.cell("mlp", 0)
    reading = answers_on(before.study, "moved").id_for(cell.id)
    file.write_text(SOURCE.replace("x.flip(-1)", "x.flip(-2)"))
    load_parts([file])
    turned = planned(tiny)
    assert turned.cell("mlp", 0).id == cell.id
    assert answers_on(turned.study, "moved").id_for(cell.id) != reading
    file.write_text(SOURCE.replace("momentum = 0", "momentum = 1"))
    load_parts([file])
    assert planned(tiny).cell("mlp", 0).id != cell.id


def test_data_on_disk_is_told_apart_by_content(tiny, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 8, 8)).astype(np.float32), np.arange(60) % 3

    def written(labels):
        np.savez(tmp_path / "d.npz", x=x, y=labels)
        tiny["data"] = {"name": f"npz:{tmp_path / 'd.npz'}"}
        return planned(tiny)

    first = written(y)
    again = written(y)
    assert [cell.id for cell in again.cells] == [cell.id for cell in first.cells]
    other = written(y[::-1].copy())
    assert not {cell.id for cell in other.cells} & {cell.id for cell in first.cells}
    data = DataSpec.model_validate(tiny["data"])
    reading = Severity(data=data, split=probe_split(other.study), family="fog")
    identity = reading.id_for("cell")
    written(y)
    assert reading.id_for("cell") != identity


def cells(study):
    return {cell.id for cell in planned(study).cells}


def photos(root, classes="ab", count=6):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(root / name / f"{name}{k}.png")
    return root


def test_a_file_that_is_moved_to_another_class_is_other_data(tiny, tmp_path):
    root = photos(tmp_path / "photos")
    tiny["data"] = {"name": f"folder:{root}"}
    before = cells(tiny)
    assert cells(tiny) == before
    (root / "a" / "a5.png").rename(root / "b" / "a5.png")  # the files keep their names, contents and order
    assert not cells(tiny) & before


def test_images_that_a_list_names_are_data_too(tiny, tmp_path):
    root = photos(tmp_path / "photos")
    lines = [f"photos/{path.parent.name}/{path.name},{path.parent.name}" for path in root.glob("*/*.png")]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *sorted(lines)]))
    tiny["data"] = {"name": f"csv:{tmp_path / 'list.csv'}"}
    before = cells(tiny)
    (root / "a" / "a0.png").write_bytes((root / "b" / "b0.png").read_bytes())
    assert not cells(tiny) & before


def test_files_that_options_name_are_data_too(tiny, tmp_path):
    rows = [f"{k},{k % 2}" for k in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["x,label", *rows]))
    (tmp_path / "held.csv").write_text("\n".join(["x,label", *rows]))
    tiny["data"] = {"name": f"csv:{tmp_path / 'train.csv'}", "options": {"test": "held.csv"}}
    before = cells(tiny)
    (tmp_path / "held.csv").write_text("\n".join(["x,label", *rows[::-1]]))
    assert not cells(tiny) & before


def test_another_set_in_place_of_a_published_one_is_other_data(tiny, tmp_path, monkeypatch):
    published = b"published"
    digest = hashlib.sha256(published).hexdigest()
    source = DataSource("mnist", "", "", "mnist", (), (SourceFile(MNIST_FILES[0], digest, "", 100),))
    monkeypatch.setitem(SOURCES, "mnist", source)
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    tiny["data"] = {"name": "mnist"}
    absent = cells(tiny)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / MNIST_FILES[0]).write_bytes(published)
    assert cells(tiny) == absent  # what is published is told by its name, and may be fetched later
    (tmp_path / "mnist" / MNIST_FILES[0]).write_bytes(b"another")
    assert not cells(tiny) & absent


def test_data_that_changed_is_loaded_again_after_the_next_plan(tiny, tmp_path):
    path = tmp_path / "d.npz"
    x, y = np.random.default_rng(0).random((60, 4)).astype(np.float32), np.arange(60) % 3
    np.savez(path, x=x, y=y)
    tiny["data"] = {"name": f"npz:{path}"}
    spec, split = DataSpec.model_validate(tiny["data"]), SplitSpec(description="", of="train")
    planned(tiny)
    first, tested = load(spec), datasets.tested_on(spec, split)
    assert load(spec) is first
    np.savez(path, x=x + 1, y=y)
    assert load(spec) is first  # within one plan data does not change
    planned(tiny)
    torch.testing.assert_close(load(spec)["train"].x, first["train"].x + 1)
    torch.testing.assert_close(datasets.tested_on(spec, split).x, tested.x + 1)


def test_files_are_looked_at_once_for_a_plan(tiny, tmp_path, monkeypatch):
    tiny["data"] = {"name": f"folder:{photos(tmp_path / 'photos')}"}
    looks = []
    plain = content._stamps
    monkeypatch.setattr(content, "_stamps", lambda files: looks.append(1) or plain(files))
    plan = planned(tiny)
    for cell in plan.cells:
        answers_on(plan.study, "moved").id_for(cell.id)
    assert len(looks) == 1


def test_a_part_that_calls_another_changes_with_it(file):
    source = """
from bequest.models.catalogue import MODELS
from torch import nn

@MODELS.register("base_of_mine")
def base_of_mine(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.ReLU())

@MODELS.register("wide_of_mine")
def wide_of_mine(input_shape, classes):
    return base_of_mine(input_shape, classes)
"""
    file.write_text(source)
    load_parts([file])
    before = parts.part_of("model", "wide_of_mine").digest
    file.write_text(source.replace("nn.ReLU", "nn.Tanh"))
    load_parts([file])
    assert parts.part_of("model", "wide_of_mine").digest != before
