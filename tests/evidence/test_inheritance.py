"""How much of a teacher's property a student took over, from the listed values alone."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.measure import crossed_inheritance, inheritance


def agrees(measurement, expected, roles):
    assert (measurement.reason, measurement.reason_code) == (expected.reason, expected.code)
    if expected.code is None:
        found = measurement.value, measurement.low, measurement.high
        assert found == pytest.approx((expected.value, expected.low, expected.high), abs=1e-6)
    taught, control, teacher = roles
    for seed, ratio in measurement.per_seed.items():
        gap = teacher[seed] - control[seed]
        assert ratio is None if gap == 0 else ratio == pytest.approx((taught[seed] - control[seed]) / gap)


ARMS = ("mlp<-cnn", "mlp<-mlp", "cnn")


@pytest.mark.parametrize(("name", "split"), [("accuracy", "test"), ("nll", "moved")])
def test_of_a_property_the_teacher_has_all(readings, measured, name, split):
    def by_sample(arm, seed):
        p = readings.predictions(arm, seed, split)
        return p.correct * 1.0 if name == "accuracy" else -p.log_probs[np.arange(len(p.labels)), p.labels]

    roles = [measured(name, arm, split=split).per_seed for arm in ARMS]
    tables = [np.stack([by_sample(arm, seed) for seed in (0, 1)]) for arm in ARMS]
    m = measured(f"inheritance/{name}", "mlp<-cnn", split=split, teacher="cnn")
    expected = crossed_inheritance(*tables)
    if expected.code is None:
        agrees(m, expected, roles)
    else:
        assert (m.value, m.reason_code) == (None, expected.code)


def test_a_group_s_is_that_of_the_means_over_its_splits(measured):
    roles = [measured("accuracy", arm, split="both").per_seed for arm in ARMS]
    m = measured("inheritance/accuracy", "mlp<-cnn", split="both", teacher="cnn")
    ratios = inheritance(*(list(role.values()) for role in roles))
    assert m.value is None or m.value == pytest.approx(ratios.value)
    assert set(m.per_seed) == {"0", "1"}


@pytest.mark.parametrize(("name", "split"), [("agreement", "moved"), ("agreement", "both"), ("cka", "test")])
def test_of_a_likeness_the_ceiling_has_all(measured, name, split):
    where = {"teacher": "cnn", "split": split}
    if name == "agreement":
        where["layer"] = None
    taught, control = (measured(name, arm, **where).per_seed for arm in ARMS[:2])
    ceiling = measured(f"{name}/ceiling", "mlp<-cnn", **where).per_seed
    m = measured(f"inheritance/{name}", "mlp<-cnn", **where)
    assert (m.value, m.reason_code) == (None, "too_few")  # two networks make one pair, and no ring
    for seed, ratio in m.per_seed.items():
        gap = ceiling[seed] - control[seed]
        assert ratio == pytest.approx((taught[seed] - control[seed]) / gap)


def test_only_the_profile_of_taught_arms_on_compared_splits_and_groups(measured):
    listed = [m for m in measured.all if m.measure.startswith("inheritance/")]
    assert {m.measure for m in listed} == {
        f"inheritance/{name}" for name in ("accuracy", "nll", "agreement", "cka", "cosine_of_cosines")
    }
    assert {(m.arm, m.teacher) for m in listed} == {
        *(("mlp<-cnn", "cnn"), ("vit<-cnn&mlp", "cnn"), ("vit<-cnn&mlp", "mlp")),
    }
    assert {m.split for m in listed} == {"test", "moved", "both"}
