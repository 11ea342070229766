from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.distill.exchange import Exchange
from bequest.distill.objectives import KD, CrossEntropy, parse_objective
from bequest.distill.preflight import check_alive, check_teachers
from bequest.distill.teachers import Teacher
from bequest.errors import ModelError, ObjectiveError, TeacherChanged

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
        ModelError, match="the teacher 'wide' has another label space than the data"
    ) as caught:
        check_teachers([Teacher(wide, name="wide")], student, toy)
    assert "expected: 4 logits\n  got:      7 logits" in str(caught.value)
    restless = network(1)
    teacher = Teacher(restless)
    restless.train()
    with pytest.raises(TeacherChanged, match="training mode in 'the whole model'"):
        check_teachers([teacher], student, toy)
