"""Claims, judged by the measurements: upheld, contradicted or undecided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from bequest.measure import Estimate, paired_interval
from bequest.records import Measurement, Verdict
from bequest.studies.spec import AnswerSpec, ClaimSpec

Word = Literal["upheld", "contradicted", "undecided"]


def judge(claims: Iterable[ClaimSpec], measurements: Sequence[Measurement]) -> list[Verdict]:
    """One verdict a claim."""
    return [_judge(claim, measurements) for claim in claims]


def verdict_of(direction: str, low: float, high: float, margin: float) -> Word:
    """The verdict that an interval gives.

    ``above``: upheld if low > margin, contradicted if high < margin; ``below``: the reverse;
    ``within``: upheld if the interval lies inside ±margin, contradicted if it lies outside.

    >>> verdict_of("above", 0.1, 0.3, 0.0), verdict_of("above", -0.1, 0.3, 0.0)
    ('upheld', 'undecided')
    >>> verdict_of("within", 0.2, 0.3, 0.1), verdict_of("within", -0.05, 0.05, 0.1)
    ('contradicted', 'upheld')
    """
    if direction == "within":
        inside, outside = -margin < low and high < margin, low > margin or high < -margin
    elif direction == "above":
        inside, outside = low > margin, high < margin
    else:
        inside, outside = high < margin, low > margin
    return "upheld" if inside else "contradicted" if outside else "undecided"


def answer_sentence(spec: AnswerSpec, measurements: Sequence[Measurement], seeds: int) -> str:
    """The sentence that opens the report, its values filled in from the measurements."""
    values = {}
    for name, value in spec.values.items():
        found = find(measurements, value.measure, value.arm, value.split)
        values[name] = _shown(found, percent=value.style == "percent")
    return spec.text.format(n=seeds, **values)


def find(
    measurements: Sequence[Measurement], measure: str, arm: str, split: str | None, teacher: str | None = None
) -> Measurement | None:
    """The measurement of that name, if there is one; without a split or a teacher, the first."""
    for m in measurements:
        if (m.measure, m.arm) == (measure, arm) and split in (None, m.split) and teacher in (None, m.teacher):
            return m
    return None


def _judge(claim: ClaimSpec, measurements: Sequence[Measurement]) -> Verdict:
    own = find(measurements, claim.measure, claim.arm, claim.split, claim.teacher)
    beside = own.teacher if own else claim.teacher
    beyond = claim.against_split or claim.split
    other = find(measurements, claim.measure, claim.against, beyond, beside) if claim.against else None
    where = f" on {claim.split}" if claim.split else ""
    taken_off = f" − {claim.against}" + (f" on {beyond}" if claim.against_split else "")
    contrast = f"{claim.measure}{where}: {claim.arm}" + (taken_off if claim.against else "")
    contrast += f", beside {claim.teacher}" if claim.teacher else ""
    sign = "±" if claim.direction == "within" else ""
    found, reason = _value(claim, own, other)
    word: Word = "undecided"
    if found is not None and found.low == found.low and found.high == found.high:
        word = verdict_of(claim.direction, found.low, found.high, claim.margin)
    return Verdict(
        id=claim.id,
        text=claim.text,
        source=claim.source,
        contrast=f"{contrast}, {claim.direction} {sign}{claim.margin:g}",
        verdict=word,
        published=claim.paper_value,
        value=_finite(found.value) if found else None,
        low=_finite(found.low) if found else None,
        high=_finite(found.high) if found else None,
        margin=claim.margin,
        n=found.n if found else 0,
        reason=reason,
    )


def _value(
    claim: ClaimSpec, own: Measurement | None, other: Measurement | None
) -> tuple[Estimate | None, str | None]:
    if own is None or (claim.against and other is None):
        return None, "not measured"
    if other is None:
        if own.value is None or own.low is None or own.high is None:
            return None, own.reason or "no interval"
        return Estimate(own.value, own.n, own.low, own.high, own.level, own.method), own.reason
    seeds = [s for s in own.per_seed if s in other.per_seed]
    pairs = [(own.per_seed[s], other.per_seed[s]) for s in seeds]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    found = paired_interval([a for a, _ in known], [b for _, b in known])
    return found, found.reason


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None


def _shown(found: Measurement | None, *, percent: bool) -> str:
    if found is None or found.value is None:
        return f"an undefined share ({found.reason if found else 'not measured'})"
    scale, unit = (100.0, " %") if percent else (1.0, "")

    def text(value: float) -> str:
        shown = f"{value * scale:.0f}" if percent else f"{value:.3g}"
        return "0" if shown == "-0" else shown

    if found.low is None or found.high is None:
        return f"{text(found.value)}{unit} [no interval: {found.reason}]"
    return f"{text(found.value)}{unit} [{text(found.low)}, {text(found.high)}]".replace("-", "−")
