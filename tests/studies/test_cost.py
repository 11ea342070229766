from __future__ import annotations

import pytest

from bequest.models import build_model, parameter_count
from bequest.runs.planning import planned
from bequest.studies.cost import GPU_FLOPS, GPU_KERNEL, GPU_STEP, study_cost

MLP = 2 * (144 * 16 + 16 * 10)  # operations a row of TINY's MLP
STEPS = 1297 // 64


def costs_of(content, **options):
    return {cost.arm: cost for cost in study_cost(planned(content, **options))}


def test_steps_and_numbers_are_those_of_the_run(tiny, finished):
    _, result, _ = finished
    found = costs_of(tiny)
    assert [cost.cells for cost in found.values()] == [2] * 4
    assert sum(cost.cells for cost in found.values()) == len(result.study.cells)
    assert found["mlp"].steps == STEPS
    mlp = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[16])
    assert found["mlp"].parameters == parameter_count(mlp)


def test_a_step_is_three_forward_passes_and_a_teacher_one_where_it_must_answer(tiny):
    found = costs_of(tiny)
    assert found["mlp"].flops == 3 * STEPS * 64 * MLP
    asked = STEPS * 32 + STEPS * 32  # half of the rows as they are, half in a new view each
    assert found["mlp<-mlp"].flops == found["mlp"].flops + asked * MLP


def test_finitely_many_views_are_answered_once(tiny):
    tiny["queries"]["views"][1]["view_count"] = 1
    found = costs_of(tiny, settings=["recipe.epochs=100"])
    assert found["mlp<-mlp"].flops == found["mlp"].flops + 2 * 1297 * MLP


def test_an_online_teacher_learns_too(tiny):
    tiny["arms"]["mlp<-mlp"] |= {"mode": "online"}
    found = costs_of(tiny)
    assert found["mlp<-mlp"].flops == 2 * found["mlp"].flops
    assert found["mlp<-mlp"].memory > found["mlp"].memory


def test_time_is_work_and_launches(tiny):
    one, ten = costs_of(tiny)["cnn"], costs_of(tiny, settings=["recipe.epochs=10"])["cnn"]
    assert ten.gpu_hours == pytest.approx(10 * one.gpu_hours)
    launches = one.gpu_hours * 3600 - one.flops / GPU_FLOPS - one.steps * GPU_STEP
    kernels = launches / GPU_KERNEL / one.steps / 3
    assert kernels == pytest.approx(round(kernels))


def test_accumulation_keeps_less_at_once(tiny):
    assert costs_of(tiny, settings=["recipe.accumulate=8"])["cnn"].memory < costs_of(tiny)["cnn"].memory
