from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import bequest as bq
from bequest.distill.coercion import OfFunction
from bequest.distill.progress import epoch_bar
from bequest.errors import ConfigError, DataError, InputError, ModelError, UnknownName
from bequest.models import network_names
from bequest.models.catalogue import MODELS

QUICK = {"batch": 12, "epochs": 2}


def test_a_student_of_the_catalogue_comes_back_from_its_folder(toy, tmp_path):
    student = bq.fit("mlp", toy, **QUICK)
    folder = student.save(tmp_path / "mlp")
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "record.json", "fitted.json"
    }  # fmt: skip
    back = bq.load(folder)
    x = toy["test"].x
    assert torch.equal(back.logits(x), student.logits(x))
    assert back.record == student.record
    assert back.history == student.history
    assert back.classes == toy.classes
    assert back.score(toy["test"]) == student.score("test")
    with pytest.raises(DataError, match="a loaded student has no data of its own"):
        back.score("test")
    taught = bq.distill("mlp", toy, teachers=[back], **QUICK)
    assert taught.record.teachers[0].digest_before == student.record.weights_digest
    plain = load_file(folder / "model.safetensors")
    assert plain.keys() == student.model.state_dict().keys()


def test_a_network_of_ones_own_needs_its_class_and_is_compared_with_its_record(network, toy, tmp_path):
    student = bq.fit(network(1), toy, **QUICK)
    folder = student.save(tmp_path)
    with pytest.raises(ModelError, match="your own network, which cannot be built from its name"):
        bq.load(folder)
    assert torch.equal(bq.load(folder, network(9)).logits(toy["test"].x), student.logits(toy["test"].x))
    bq.fit(network(2), toy, **QUICK).save(tmp_path / "other")
    (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="are not those of its record"):
        bq.load(folder, network(9))


@pytest.mark.parametrize("file", ["record.json", "fitted.json"])
def test_a_folder_that_holds_no_student_is_refused(file, toy, tmp_path):
    folder = bq.fit("mlp", toy, **QUICK).save(tmp_path)
    (folder / file).unlink()
    with pytest.raises(ModelError, match="holds no saved student"):
        bq.load(folder)


def test_it_is_shown_in_a_line_and_in_a_table(toy):
    student = bq.fit("mlp", toy, **QUICK)
    text = repr(student)
    assert text.startswith("Fitted(mlp, ")
    assert "accuracy" in text
    assert len(text) < 200
    page = student._repr_html_()
    assert "<table>" in page
    assert "<svg" in page
    hostile = student.record.model_copy(update={"arm": "<script>alert(1)</script>"})
    student.record = hostile
    assert "<script>" not in student._repr_html_()


def test_names_stand_where_objects_do(network, toy):
    by_name = bq.distill(
        "mlp", toy, teachers=[network(2)], objective="kd", views={"name": "shift", "pixels": 1}, **QUICK
    )
    by_object = bq.distill("mlp", toy, teachers=network(2), objective=bq.KD(), views=bq.Shift(1), **QUICK)
    assert by_name.record.weights_digest == by_object.record.weights_digest
    alone = bq.fit("mlp", toy, objective={"name": "cross_entropy", "smoothing": 0.1}, **QUICK)
    assert alone.record.config["objective"]["smoothing"] == 0.1


def test_a_function_is_an_objective(network, toy):
    def squared(student_logits, teacher_logits):
        return (student_logits - teacher_logits).square().mean()

    options = {"teachers": [network(2)], **QUICK}
    mine = bq.distill(network(1), toy, objective=squared, **options)
    ours = bq.distill(network(1), toy, objective="logit_mse", **options)
    for one, two in zip(mine.model.parameters(), ours.model.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    assert mine.record.config["objective"]["function"].endswith("squared")
    assert OfFunction(squared).digest() == OfFunction(squared).digest()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"objective": "kdd"}, ConfigError, "did you mean 'kd'"),
        ({"objective": 3}, ConfigError, "expected an objective, its name, a table or a function, got 3"),
        ({"views": "shfit"}, ConfigError, "did you mean 'shift'"),
        ({"teachers": ["mlp"]}, ModelError, "the teacher 'mlp' has not been trained"),
        ({"teachers": ["resnet21:w.pt"]}, UnknownName, "there is no model"),
        ({"teachers": ["mlp:absent.safetensors"]}, ModelError, "absent.safetensors"),
    ],
)
def test_a_name_that_means_nothing_is_one_message(options, error, message, network, toy):
    with pytest.raises(error, match=message):
        bq.distill("mlp", toy, **{"teachers": [network(2)], **options}, **QUICK)


def test_a_class_instead_of_a_network_is_one_message(toy):
    with pytest.raises(ModelError, match=r"not an nn\.Module"):
        bq.fit(nn.Flatten, toy, **QUICK)


def test_a_teacher_by_its_name_has_its_weights(toy, tmp_path):
    teacher = bq.fit("mlp", toy, **QUICK)
    folder = teacher.save(tmp_path)
    by_name = bq.distill("mlp", toy, teachers=[f"mlp:{folder / 'model.safetensors'}"], **QUICK)
    assert by_name.record.teachers[0].digest_before == teacher.record.weights_digest


def test_callbacks_look_on_and_their_failure_is_one_message(toy):
    looks = []
    bq.fit("mlp", toy, callbacks=[lambda epoch, student: looks.append((epoch, student.training))], **QUICK)
    assert looks == [(0, False), (1, False), (2, False)]

    def broken(epoch, student):
        raise KeyError("loss")

    with pytest.raises(InputError, match=r"the callback .*broken failed after epoch 0") as caught:
        bq.fit("mlp", toy, callbacks=[broken], **QUICK)
    assert "KeyError: 'loss'" in str(caught.value)


def test_the_bar_counts_epochs_where_it_is_shown(toy, capsys):
    bq.fit("mlp", toy, progress=True, **QUICK)
    assert capsys.readouterr().err != ""
    bq.fit("mlp", toy, **QUICK)  # no terminal here
    bq.fit("mlp", toy, progress=False, **QUICK)
    assert capsys.readouterr().err == ""
    with epoch_bar("x", 3, show=False) as callbacks:
        assert callbacks == []


def test_the_saved_files_are_json(toy, tmp_path):
    folder = bq.fit("mlp", toy, **QUICK).save(tmp_path)
    assert json.loads((folder / "config.json").read_text())["family"] == "mlp"


def test_a_network_with_a_new_head_is_refused_as_a_teacher(network, toy, monkeypatch):
    def library(input_shape, classes, *, network):
        head = nn.Linear(math.prod(input_shape), classes)
        if network == "whole":
            head.weight.data = torch.linspace(-1, 1, head.weight.numel()).reshape_as(head.weight)
            nn.init.zeros_(head.bias)
        return nn.Sequential(nn.Flatten(), head)

    monkeypatch.setitem(MODELS._values, "library", library)
    monkeypatch.setattr(network_names, "LIBRARIES", ("library",))
    taught = bq.distill(network(1), toy, teachers=["library:whole"], **QUICK)
    assert len(taught.record.teachers) == 1
    with pytest.raises(ModelError, match="has untrained parameters") as refused:
        bq.distill(network(1), toy, teachers=["library:headless"], **QUICK)
    assert refused.value.got == "new: 1.weight, 1.bias"
