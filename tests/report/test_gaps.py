from __future__ import annotations

import pytest

from bequest.records import ArmRecord, Measurement
from bequest.report.folder import read_run
from bequest.report.gaps import Gaps
from bequest.report.titles import Titles

ARM = ArmRecord(name="a", role="taught", student="mlp", label="A", teachers=("cnn",), control="mlp")


def m(measure: str, arm: str, value: float | None, teacher: str | None = None) -> Measurement:
    reason = None if value is not None else "none"
    return Measurement(
        measure=measure, arm=arm, teacher=teacher, split="test", value=value, n=3, reason=reason
    )


def test_a_propertys_gap_ends_at_the_teacher():
    rows = [m("accuracy", "a", 0.75), m("accuracy", "mlp", 0.5), m("accuracy", "cnn", 1.0)]
    share = m("inheritance/accuracy", "a", 0.5, "cnn")
    assert Gaps.of([ARM], rows, Titles()).gain_and_gap(share) == (0.25, 0.5)


def test_a_likenesss_gap_ends_at_its_ceiling():
    rows = [
        m("agreement", "a", 0.75, "cnn"),
        m("agreement", "mlp", 0.5, "cnn"),
        m("agreement/ceiling", "a", 0.875, "cnn"),
        m("agreement", "cnn", 0.1, "cnn"),
    ]
    share = m("inheritance/agreement", "a", 0.6, "cnn")
    assert Gaps.of([ARM], rows, Titles()).gain_and_gap(share) == (0.25, 0.375)


@pytest.mark.parametrize("missing", ["a", "mlp", "cnn"])
def test_what_is_missing_or_undefined_leaves_gain_or_gap_undefined(missing):
    values = {"a": 0.75, "mlp": 0.5, "cnn": 1.0} | {missing: None}
    rows = [m("accuracy", arm, value) for arm, value in values.items()]
    share = m("inheritance/accuracy", "a", 0.5, "cnn")
    expected = {"a": (None, 0.5), "mlp": (None, None), "cnn": (0.25, None)}[missing]
    assert Gaps.of([ARM], rows, Titles()).gain_and_gap(share) == expected
    assert Gaps.of([], rows, Titles()).gain_and_gap(share) == (None, None)


def test_gain_and_gap_of_a_study_are_differences_of_its_arms(digits_folder):
    run = read_run(digits_folder)
    gaps = Gaps.of(run.study.arms, run.measurements, run.titles)
    at = {(m.measure, m.arm, m.split): m.value for m in run.measurements if m.teacher is None}
    (share,) = [
        m
        for m in run.measurements
        if (m.measure, m.arm, m.split) == ("inheritance/accuracy", "mlp<-cnn+views", "translated")
    ]
    control = at["accuracy", "mlp<-mlp+views", "translated"]
    gain, gap = gaps.gain_and_gap(share)
    assert gain == at["accuracy", "mlp<-cnn+views", "translated"] - control
    assert gap == at["accuracy", "cnn", "translated"] - control
    assert gain / gap == pytest.approx(share.value, abs=0.01)
