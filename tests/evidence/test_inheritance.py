"""How much of a teacher's property a student took over, from the listed values alone."""

from __future__ import annotations

import math

import pytest

from bequest.measure import inheritance


def agrees(measurement, roles):
    expected = inheritance(*(list(by_seed.values()) for by_seed in roles))
    assert (measurement.reason, measurement.reason_code) == (expected.reason, expected.code)
    for ours, theirs in (
        *((measurement.value, expected.value), (measurement.low, expected.low)),
        (measurement.high, expected.high),
    ):
        assert ours is None if not math.isfinite(theirs) else ours == pytest.approx(theirs)
    taught, control, teacher = roles
    for seed, ratio in measurement.per_seed.items():
        gap = teacher[seed] - control[seed]
        assert ratio is None if gap == 0 else ratio == pytest.approx((taught[seed] - control[seed]) / gap)


@pytest.mark.parametrize(("name", "split"), [("accuracy", "test"), ("nll", "moved"), ("accuracy", "both")])
def test_of_a_property_the_teacher_has_all(measured, name, split):
    roles = [measured(name, arm, split=split).per_seed for arm in ("mlp<-cnn", "mlp<-mlp", "cnn")]
    agrees(measured(f"inheritance/{name}", "mlp<-cnn", split=split, teacher="cnn"), roles)


@pytest.mark.parametrize(("name", "split"), [("agreement", "moved"), ("cka", "test")])
def test_of_a_likeness_the_ceiling_has_all(measured, name, split):
    where = {"teacher": "cnn", "split": split}
    if name == "agreement":
        where["layer"] = None
    roles = [measured(name, arm, **where).per_seed for arm in ("mlp<-cnn", "mlp<-mlp")]
    roles.append(measured(f"{name}/ceiling", "mlp<-cnn", **where).per_seed)
    agrees(measured(f"inheritance/{name}", "mlp<-cnn", **where), roles)


def test_only_the_profile_of_taught_arms_on_compared_splits_and_groups(measured):
    listed = [m for m in measured.all if m.measure.startswith("inheritance/")]
    assert {m.measure for m in listed} == {
        f"inheritance/{name}" for name in ("accuracy", "nll", "agreement", "cka")
    }
    assert {(m.arm, m.teacher) for m in listed} == {
        *(("mlp<-cnn", "cnn"), ("vit<-cnn&mlp", "cnn"), ("vit<-cnn&mlp", "mlp")),
    }
    assert {m.split for m in listed} == {"test", "moved", "both"}
