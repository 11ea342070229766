"""Claims, judged by the measurements: upheld, contradicted or undecided, at 5 % for the family of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan

import numpy as np

from bequest.measure import Claim, Estimate, SeedValues, judge_family, paired, seed_values, share_of_gap
from bequest.measure.families import Judged
from bequest.measures import Reason, measure_named
from bequest.records import Measurement, Verdict
from bequest.studies.claim_spec import ClaimSpec

LEVEL = 0.95
"""Confidence level of the family of a study's claims, and of the plain interval of each."""

Interval = Callable[[float], Estimate]
"""From a confidence level to an estimate."""

Sampled = Callable[[str, str, str | None, str | None], SeedValues | None]
"""From measure, arm, split and teacher to the values behind their measurement."""


def _no_samples(measure: str, arm: str, split: str | None, teacher: str | None) -> None:
    """For judging records alone, which hold no values of single samples."""
    del measure, arm, split, teacher


def judge(
    claims: Sequence[ClaimSpec],
    measurements: Sequence[Measurement],
    control: Mapping[str, str | None] | None = None,
    *,
    level: float = LEVEL,
    sampled: Sampled = _no_samples,
) -> list[Verdict]:
    """One verdict per claim; the claims that are not exploratory are one family (Holm).

    Args:
        claims: The claims of a study.
        measurements: Its measurements.
        control: The control of each arm, against which inheritance is computed.
        level: Confidence level of the family.
        sampled: Returns the values behind a measurement, by measure, arm, split and teacher, with those of
            each sample; None for a measurement without, whose interval is then over seeds alone.
    """
    table = _Table(measurements, control or {}, sampled)
    planned = [claim for claim in claims if not claim.exploratory]
    judged = iter(judge_family([table.claim(claim) for claim in planned], level=level))
    # An exploratory claim is a family of its own: it must not cost the planned ones any power.
    each = [
        judge_family([table.claim(claim)], level=level)[0] if claim.exploratory else next(judged)
        for claim in claims
    ]
    return [_verdict(claim, verdict, table) for claim, verdict in zip(claims, each, strict=True)]


def find(
    measurements: Sequence[Measurement], measure: str, arm: str, split: str | None, teacher: str | None = None
) -> Measurement | None:
    """The measurement of that name, if there is one; without a split or a teacher, the first."""
    for m in measurements:
        if (m.measure, m.arm) == (measure, arm) and split in (None, m.split) and teacher in (None, m.teacher):
            return m
    return None


class _Table:
    """The measurements, by name, with the values by seed behind them."""

    def __init__(
        self, measurements: Sequence[Measurement], control: Mapping[str, str | None], sampled: Sampled
    ) -> None:
        self._measurements = measurements
        self._control = control
        self._sampled = sampled

    def claim(self, spec: ClaimSpec) -> Claim:
        """The claim with its interval as a function of the level."""
        return Claim(self._interval(spec), spec.direction, spec.margin, exact=spec.exact)

    def subject(self, spec: ClaimSpec) -> Measurement | None:
        """The measurement of the claim's arm."""
        return find(self._measurements, spec.measure, spec.arm, spec.split, spec.teacher)

    def _interval(self, spec: ClaimSpec) -> Interval:
        subject = self.subject(spec)
        if subject is None:
            return _missing
        if spec.against is None:
            return self._of_one(subject)
        split = spec.against_split or subject.split
        measure = spec.against_measure or spec.measure
        # The other arm beside the same teacher, also if only the first measurement names one.
        other = find(self._measurements, measure, spec.against, split, subject.teacher)
        return _missing if other is None else paired(self._values(subject), self._values(other)).interval

    def _of_one(self, measurement: Measurement) -> Interval:
        """The interval of a mean over seeds, or of a share of the gap."""
        if measure_named(measurement.measure).mark in ("inheritance", "inheritance_by_budget"):
            roles = self._roles(measurement)
            if roles is not None:
                taught, control, teacher = roles
                return lambda level: share_of_gap(taught, control, teacher, level)
            return _as_measured(measurement)
        values = self._values(measurement)
        return (
            values.interval
            if values.seeds and not np.isnan(values.values).any()
            else _as_measured(measurement)
        )

    def _values(self, measurement: Measurement) -> SeedValues:
        """The values behind a measurement: with their samples if they are means over these."""
        # The measurement of a token or a layer has its network's name, but not its network's values.
        measure, arm, teacher = measurement.measure, measurement.arm, measurement.teacher
        is_whole = measurement.layer is None
        sampled = self._sampled(measure, arm, measurement.split, teacher) if is_whole else None
        if sampled is not None:
            return sampled
        described, per_seed = measure_named(measure), measurement.per_seed
        by_seed = {int(seed): nan if value is None else value for seed, value in per_seed.items()}
        is_ring = described.mark in RINGS or arm == teacher
        return seed_values(by_seed, ring=is_ring, bounds=described.bounds)

    def _roles(self, share: Measurement) -> list[SeedValues] | None:
        """The values of student, control and teacher behind a share."""
        property_ = measure_named(share.measure).of
        control, teacher = self._control.get(share.arm), share.teacher
        if control is None or teacher is None:
            return None
        wanted: list[tuple[str, str, str | None]]
        if measure_named(property_).group == "property":
            wanted = [(property_, role, None) for role in (share.arm, control, teacher)]
        else:
            wanted = [(property_, role, teacher) for role in (share.arm, control)]
            wanted.append((f"{property_}/ceiling", share.arm, teacher))
        measured = [find(self._measurements, name, arm, share.split, by) for name, arm, by in wanted]
        roles = [self._values(each) for each in measured if each is not None]
        return roles if len(roles) == len(wanted) else None


RINGS = ("ceiling", "other_teacher", "own_minus_other")
"""Marks whose values belong to pairs of neighbouring networks."""


def _as_measured(m: Measurement) -> Interval:
    """The interval as it was measured, for levels up to its own; undefined for higher ones."""

    def interval(level: float) -> Estimate:
        code = Reason(m.reason_code) if m.reason_code else None
        if m.value is None or m.low is None or m.high is None:
            return Estimate(
                nan, m.n, nan, nan, level, m.method, m.reason or "no interval", code or Reason.OTHER
            )
        if level > m.level:
            reason = f"its interval is known at level {m.level:g} only"
            return Estimate(m.value, m.n, nan, nan, level, m.method, reason, Reason.OTHER)
        # For a lower level it is wider than need be, which costs power and no wrong verdict.
        return Estimate(m.value, m.n, m.low, m.high, m.level, m.method, m.reason, code)

    return interval


def _missing(level: float) -> Estimate:
    return Estimate(nan, 0, nan, nan, level, "", "not measured", Reason.NOT_MEASURED)


def _verdict(claim: ClaimSpec, judged: Judged, table: _Table) -> Verdict:
    plain, adjusted, subject = judged.plain, judged.adjusted, table.subject(claim)
    return Verdict(
        id=claim.id,
        text=claim.text,
        source=claim.source,
        contrast=_described(claim),
        verdict=judged.verdict,
        published=claim.published,
        expected=claim.expected,
        exploratory=claim.exploratory,
        value=_finite(plain.value),
        low=_finite(plain.low),
        high=_finite(plain.high),
        adjusted_low=_finite(adjusted.low),
        adjusted_high=_finite(adjusted.high),
        margin=claim.margin,
        n=plain.n,
        arms=tuple(arm for arm in (claim.arm, claim.against) if arm),
        reason=judged.reason
        or plain.reason
        or (subject.reason if subject and subject.value is None else None),
        reason_code=judged.code or plain.code,
    )


def _described(claim: ClaimSpec) -> str:
    """The contrast and its margin in symbols."""
    where = f" on {claim.split}" if claim.split else ""
    contrast = f"{claim.measure}{where}: {claim.arm}"
    if claim.against:
        of = f"{claim.against_measure} of " if claim.against_measure else ""
        contrast += f" − {of}{claim.against}" + (f" on {claim.against_split}" if claim.against_split else "")
    contrast += f", beside {claim.teacher}" if claim.teacher else ""
    sign = "±" if claim.direction == "within" else ""
    return f"{contrast}, {claim.direction} {sign}{claim.margin:g}"


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
