from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.queries import Source
from bequest.data.views import Identity
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import KD, CrossEntropy, parse_objective
from bequest.distill.preflight import check_alive, check_labels, check_student, check_teachers
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.errors import DataError, ModelError, ObjectiveError, TeacherChanged

RANDOM = torch.Generator().manual_seed(0)
S, T, U = (torch.randn(6, 4, generator=RANDOM) for _ in range(3))
Y = torch.randint(0, 4, (6,), generator=RANDOM)


def test_a_living_signal_passes():
    check_alive(KD(), Exchange(S, teacher_logits=(T,)), None)


def test_a_student_that_answers_all_inputs_alike_is_no_fault_of_the_teachers():
    check_alive(KD(), Exchange(torch.zeros(6, 4), teacher_logits=(T,)), None)
    tokens = Exchange(torch.zeros(6, 4), student_tokens=torch.zeros(6, 3, 4), teacher_logits=(T, U))
    check_alive(parse_objective("tokens"), tokens, None)
    features = Exchange(
        S, student_features={"a": torch.zeros(6, 5)}, teacher_features=({"b": T},), teacher_logits=(T,)
    )
    guide = parse_objective({"name": "cka", "student_layers": ["a"], "teacher_layers": ["b"]})
    check_alive(guide, features, None)


@pytest.mark.parametrize(
    "logits",
    [torch.ones(6, 4), T[:1].expand(6, 4), torch.full((6, 4), torch.nan)],
    ids=["flat", "same", "nan"],
)
def test_a_dead_signal_is_refused(logits):
    with pytest.raises(ObjectiveError) as caught:
        check_alive(KD(), Exchange(S, teacher_logits=(logits,)), None)
    text = str(caught.value)
    assert "the signal of teacher 0 is dead: shuffling its answers does not change the loss" in text
    assert "check the teacher's weights, the normalisation of its inputs, and the objective" in text


def test_each_of_several_teachers_must_be_heard():
    dead = Exchange(S, student_tokens=torch.zeros(6, 3, 4), teacher_logits=(T, torch.ones(6, 4)))
    with pytest.raises(ObjectiveError, match="the signal of teacher 1 is dead"):
        check_alive(parse_objective("tokens"), dead, None)
    unheard = parse_objective({"name": "bound", "objective": "kd", "teacher": 1})
    with pytest.raises(ObjectiveError, match="the signal of teacher 0 is dead"):
        check_alive(unheard, Exchange(S, teacher_logits=(T, U)), None)


def test_an_objective_that_does_not_listen_is_refused():
    with pytest.raises(ObjectiveError, match="is dead"):
        check_alive(CrossEntropy(), Exchange(S, labels=Y, labelled=6, teacher_logits=(T,)), None)


def test_a_teacher_may_be_silent_for_a_while():
    for schedule in ({"name": "linear", "start": 1.0, "end": 0.0}, {"name": "stop", "at": 0.4}):
        objective = parse_objective({"name": "kd", "label_weight": schedule})
        check_alive(objective, Exchange(S, labels=Y, labelled=6, teacher_logits=(T,), steps=100), None)
    never = parse_objective({"name": "kd", "label_weight": {"name": "constant", "number": 1.0}})
    with pytest.raises(ObjectiveError, match="is dead"):
        check_alive(never, Exchange(S, labels=Y, labelled=6, teacher_logits=(T,), steps=100), None)


def test_one_row_cannot_be_shuffled():
    check_alive(KD(), Exchange(S[:1], teacher_logits=(T[:1],)), None)


def test_teachers_are_tried_before_the_run(network, toy):
    check_teachers([Teacher(network(1))], network(2), toy)
    student = network(2)
    with pytest.raises(ModelError, match="the teacher 'teacher' and the student share parameters or buffers"):
        check_teachers([Teacher(student)], student, toy)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(36, 7))
    with pytest.raises(
        ModelError, match="the teacher 'wide' has a different label space from the data"
    ) as caught:
        check_teachers([Teacher(wide, name="wide")], student, toy)
    assert "expected: 4 logits\n  got:      7 logits" in str(caught.value)
    restless = network(1)
    teacher = Teacher(restless)
    restless.train()
    with pytest.raises(TeacherChanged, match="training mode in 'the whole model'"):
        check_teachers([teacher], student, toy)


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(36, 4).requires_grad_(False)

    def forward(self, x):
        return self.layer(x.flatten(1))


STUDENTS = {
    "no parameters": (nn.Flatten, "has no parameters to train"),
    "frozen": (Frozen, "has no parameters to train"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "is lazy"),
    "half": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).half(),
        "weights and its inputs differ in dtype",
    ),
    "double": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).double(),
        "weights and its inputs differ in dtype",
    ),
    "shape": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(35, 4)), "does not take these inputs"),
    "classes": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 5)),
        "have the wrong shape",
    ),
}


@pytest.mark.parametrize("name", sorted(STUDENTS))
@pytest.mark.parametrize("taught", [False, True])
def test_a_network_that_cannot_be_trained_is_one_message_before_the_first_step(name, taught, network, toy):
    make, message = STUDENTS[name]
    train = partial(bq.distill, teachers=[network(2)]) if taught else bq.fit
    with pytest.raises(ModelError, match=message):
        train(make(), toy, batch=12, epochs=1)


@pytest.mark.parametrize("name", ["half", "shape", "classes"])
def test_a_teacher_that_cannot_answer_is_named(name, network, toy):
    make, _ = STUDENTS[name]
    with pytest.raises(ModelError, match="the teacher 'teacher 0'"):
        bq.distill(network(1), toy, teachers=[make()], batch=12, epochs=1)


@pytest.mark.parametrize("teacher", [None, 3, nn.Linear])
def test_a_teacher_that_is_no_network_is_named_at_every_entrance(teacher, network, toy, tmp_path):
    with pytest.raises(ModelError, match=r"teacher 0 is not an nn\.Module"):
        bq.distill(network(1), toy, teachers=[teacher], batch=12, epochs=1)
    with pytest.raises(ModelError, match=r"teacher 0 is not an nn\.Module"):
        bq.build_store([teacher], toy, path=tmp_path)


def test_batch_normalisation_of_one_row_is_refused_before_the_first_step(network, toy):
    with pytest.raises(ModelError, match="BatchNorm cannot normalise a single row"):
        bq.fit(network(1, batch_norm=True), toy, batch=1, epochs=1)
    with pytest.raises(ModelError, match="BatchNorm cannot normalise a single row"):
        bq.fit(network(1, batch_norm=True), toy, batch=4, accumulate=4, epochs=1)
    noisy = Teacher(network(2, batch_norm=True), mode="noisy")
    with pytest.raises(ModelError, match="the teacher 'teacher': BatchNorm cannot normalise"):
        bq.distill(network(1), toy, teachers=[noisy], batch=1, epochs=1)
    bq.fit(network(1, batch_norm=True), toy, batch=1, steps=2, freeze_batchnorm=True)


def test_splits_of_another_shape_are_refused_before_the_first_step(network, toy):
    validation = replace(toy["validation"], x=toy["validation"].x[..., :5])
    data = replace(toy, splits={**toy.splits, "validation": validation})
    with pytest.raises(ModelError, match="does not take these inputs"):
        check_student(network(1), data, Recipe(batch=12))


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_is_found_wherever_it_stands(label, toy):
    labels = toy["train"].y.clone()
    labels[-1] = label
    source = Source("mine", replace(toy["train"], y=labels), Identity())
    with pytest.raises(DataError, match="mine: a label is not a class") as caught:
        check_labels((source,), 4)
    assert f"got:      {label}" in str(caught.value)
    labels[-1] = -100
    check_labels((source,), 4)
