from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import KD, LogitMSE, Outputs, kd, parse_objective
from bequest.errors import ConfigError, ObjectiveError, UnknownName
from bequest.models import build_model
from bequest.models.taps import head_of

GENERATOR = torch.Generator().manual_seed(0)
CLASSES, MINE, OTHER = (torch.randn(8, width, generator=GENERATOR) for width in (5, 3, 3))
EXCHANGE = Exchange(
    CLASSES,
    teacher_logits=(CLASSES,),
    student_features={"auxiliary": MINE},
    teacher_features=({"auxiliary": OTHER},),
)


def test_it_is_the_inner_objective_of_the_named_outputs():
    loss, parts = Outputs()(EXCHANGE)
    assert float(loss) == pytest.approx(float(kd(MINE, OTHER, temperature=1.0)))
    assert list(parts) == ["auxiliary kd"]
    loss, _ = Outputs("auxiliary", LogitMSE())(EXCHANGE)
    assert float(loss) == pytest.approx(float((MINE - OTHER).square().mean()))
    objective = parse_objective({"name": "outputs", "objective": {"name": "kd", "temperature": 2}})
    assert parse_objective(objective.spec()) == objective == Outputs("auxiliary", KD(2.0))


def test_labels_and_activations_have_no_part_in_it():
    for inner in ({"name": "kd", "label_weight": 0.5}, "cross_entropy", "vkd"):
        with pytest.raises(ConfigError, match="without labels can be of other outputs"):
            parse_objective({"name": "outputs", "objective": inner})


def test_outputs_that_are_not_there_or_differ_in_number_are_refused():
    with pytest.raises(ObjectiveError, match="no teacher provides 'auxiliary'"):
        Outputs().check(Exchange(CLASSES, teacher_logits=(CLASSES,), student_features={"auxiliary": MINE}))
    with pytest.raises(UnknownName, match="activation of the student"):
        Outputs("other").check(EXCHANGE)
    with pytest.raises(ObjectiveError, match="different shapes"):
        Outputs().check(
            Exchange(
                CLASSES,
                teacher_logits=(CLASSES,),
                student_features={"auxiliary": MINE},
                teacher_features=({"auxiliary": OTHER[:, :2]},),
            )
        )
    Outputs().check(EXCHANGE)


@pytest.mark.parametrize("of", ["auxiliary", "network"])
def test_a_student_of_auxiliary_outputs_leaves_its_class_outputs_alone(of):
    data = bq.load_dataset("digits", border=0)
    teacher, student = (build_model("mlp", (1, 8, 8), 10, seed=s, auxiliary=4, hidden=[16]) for s in (0, 1))
    before = head_of(student)[1].weight.detach().clone()
    taught = bq.distill(
        student, data, teachers=[teacher], objective={"name": "outputs", "of": of}, epochs=1, seed=0
    )
    moved = (head_of(taught.model)[1].weight != before).any(1)
    assert moved.tolist() == [of == "network"] * 10 + [True] * 4
