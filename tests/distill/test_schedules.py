from __future__ import annotations

import math

import pytest
import torch
from pydantic import BaseModel

from bequest.distill.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    OneCycle,
    Schedule,
    Scheduled,
    Steps,
    Stop,
    WarmupCosine,
    at,
    parse_schedule,
)
from bequest.errors import ConfigError

N = 60
EVERY = [
    Constant(3.0),
    Linear(),
    Cosine(),
    Stop(0.5),
    WarmupCosine(),
    OneCycle(),
    Steps((0.5, 0.75)),
    Exponential(),
    CosineRestarts(),
]


def torch_rates(make, steps: int = N) -> list[float]:
    """The factors that a scheduler of torch.optim sets, step by step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rates(schedule: Schedule, steps: int = N) -> list[float]:
    return [schedule.value(step, steps) for step in range(steps)]


LR = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Cosine(), lambda o: LR.CosineAnnealingLR(o, N)),
        (Cosine(1.0, 0.25), lambda o: LR.CosineAnnealingLR(o, N, eta_min=0.25)),
        (Linear(1.0, 0.5), lambda o: LR.LinearLR(o, 1.0, 0.5, N)),
        (Steps((0.5, 0.75), 0.2), lambda o: LR.MultiStepLR(o, [30, 45], 0.2)),
        (Exponential(0.01), lambda o: LR.ExponentialLR(o, 0.01 ** (1 / N))),
        (CosineRestarts(3), lambda o: LR.CosineAnnealingWarmRestarts(o, 20)),
        (CosineRestarts(2, 2.0, 0.1), lambda o: LR.CosineAnnealingWarmRestarts(o, 20, 2, eta_min=0.1)),
        (
            WarmupCosine(0.1),
            lambda o: LR.SequentialLR(o, [LR.LinearLR(o, 1 / 6, 1, 5), LR.CosineAnnealingLR(o, N - 6)], [6]),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_they_follow_torch_schedulers(schedule, make):
    assert rates(schedule) == pytest.approx(torch_rates(make), abs=1e-6)


def test_one_cycle_follows_torch_but_ends_after_the_last_step():
    def make(optimizer):
        return LR.OneCycleLR(
            optimizer, 1.0, total_steps=N + 1, pct_start=(0.3 * N + 1) / (N + 1), cycle_momentum=False
        )

    torch_form = torch_rates(make)
    schedule = OneCycle(0.3, 25.0, 25e4)  # torch's final_div_factor divides the first number, not the peak
    assert rates(schedule) == pytest.approx(torch_form, abs=1e-6)


def test_stop_is_a_step():
    assert rates(Stop(0.25, 2.0, 0.5), 8) == [2.0] * 2 + [0.5] * 6
    assert rates(Stop(0.0), 4) == [0.0] * 4
    assert rates(Stop(1.0), 4) == [1.0] * 4


def test_a_warm_up_reaches_the_peak_and_never_starts_at_zero():
    values = rates(WarmupCosine(0.5), 10)
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates(WarmupCosine(0.0), 5) == rates(Cosine(), 5)
    assert rates(WarmupCosine(1.0), 4) == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda s: s.name)
def test_every_schedule_is_finite_from_before_the_first_to_after_the_last_step(schedule):
    for steps in (1, 2, 7):
        assert all(math.isfinite(schedule.value(step, steps)) for step in range(steps + 2))
    assert math.isfinite(schedule.value(0, 0))
    assert schedule.value(N, N) == pytest.approx(schedule.value(N + 5, N))


@pytest.mark.parametrize("schedule", EVERY, ids=lambda s: s.name)
def test_specs_round_trip(schedule):
    assert parse_schedule(schedule.spec()) == schedule


def test_numbers_are_constant_schedules():
    assert parse_schedule(0.5) == Constant(0.5)
    assert at(2.0, 3, 10) == 2.0
    assert at(Linear(), 5, 10) == 0.5


def test_a_field_takes_a_number_or_a_schedule():
    class Model(BaseModel):
        weight: Scheduled

    assert Model(weight=0.5).weight == 0.5
    assert Model(weight={"name": "linear", "end": 0.1}).weight == Linear(end=0.1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Steps((0.75, 0.5)), r"expected shares of the run in rising order, got \[0.75, 0.5\]"),
        (lambda: Steps(()), "expected shares of the run in rising order"),
        (lambda: Stop(1.5), "at: input should be less than or equal to 1"),
        (lambda: parse_schedule("cosin"), "there is no schedule 'cosin'; did you mean 'cosine'?"),
        (lambda: parse_schedule(True), "expected a table with a name, got True"),
        (lambda: parse_schedule({"name": "linear", "stop": 1}), "stop: unknown key"),
    ],
)
def test_wrong_schedules(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
