from __future__ import annotations

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.datasets import Dataset
from bequest.distill.label_space import check_class_order, probabilities_for_logits
from bequest.distill.teachers import Teacher
from bequest.errors import InputError, ModelError, SignalError

QUICK = {"batch": 12, "epochs": 1}


def reordered(data):
    """The same samples, with the class names in reverse and the labels with them."""
    last = len(data.classes) - 1
    splits = {
        name: type(split)(split.x, last - split.y, split.ids, split.about)
        for name, split in data.splits.items()
    }
    return Dataset(data.name, splits, data.classes[::-1])


def test_the_same_classes_in_another_order_are_refused_at_every_entrance(toy, tmp_path):
    there = reordered(toy)
    teacher = bq.fit("mlp", toy, **QUICK)
    with pytest.raises(ModelError, match="has its classes in a different order from the data") as caught:
        bq.distill("mlp", there, teachers=[teacher], **QUICK)
    assert "expected: class 0 is 'd', as in the data\n  got:      class 0 is 'a'" in str(caught.value)
    with pytest.raises(SignalError, match="the teacher 'mlp' has its classes in a different order"):
        bq.build_store(teacher, there, path=tmp_path / "other")
    store = bq.build_store(teacher, toy, path=tmp_path / "store")
    assert store.manifests[0].data.class_names == toy.classes
    with pytest.raises(SignalError, match="the signal store has its classes in a different order"):
        bq.distill("mlp", there, signal=store, **QUICK)
    assert bq.distill("mlp", toy, signal=store, **QUICK).record.warnings == ()


def test_other_names_are_a_warning_and_unknown_ones_are_nothing(toy):
    other = bq.fit("mlp", Dataset(toy.name, toy.splits, ("a", "b", "c", "e")), **QUICK)
    warned = bq.distill("mlp", toy, teachers=[other], **QUICK).record.warnings
    assert any("has different class names from the data: class 3 is 'e', not 'd'" in text for text in warned)
    assert bq.distill("mlp", toy, teachers=[other.model], **QUICK).record.warnings == ()
    assert check_class_order("x", ["a"], ["a", "b"], InputError) == []


def test_a_teacher_may_name_its_classes_itself(network, toy):
    teacher = Teacher(network(2), classes=toy.classes[::-1])
    with pytest.raises(ModelError, match="its classes in a different order"):
        bq.distill("mlp", toy, teachers=[teacher], **QUICK)


def test_a_softmax_too_many_is_warned_about_in_teacher_student_and_store(network, toy, tmp_path):
    softmaxed = nn.Sequential(network(2), nn.Softmax(-1))
    text = "answers with probabilities where logits are expected"
    taught = bq.distill(nn.Sequential(network(1), nn.Softmax(-1)), toy, teachers=[softmaxed], **QUICK)
    assert [w.split(" answers")[0] for w in taught.record.warnings] == [
        "the student",
        "the teacher 'teacher 0'",
    ]
    store = bq.build_store(softmaxed, toy, path=tmp_path)
    assert text in bq.distill("mlp", toy, signal=store, **QUICK).record.warnings[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_probabilities_are_told_from_logits(dtype):
    logits = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert probabilities_for_logits("x", logits) == probabilities_for_logits("x", logits.abs()) == []
    assert probabilities_for_logits("x", torch.log_softmax(logits, -1)) == []
    if dtype != torch.bfloat16:
        assert probabilities_for_logits("x", torch.softmax(logits, -1).to(dtype)) != []
    assert probabilities_for_logits("x", torch.ones(3, 1)) == []
