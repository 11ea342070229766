"""Several runs side by side: the same claim, and the same measure of the same arm, in each of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scipy import special

from bequest.errors import RunFolderError
from bequest.records import Measurement, Verdict
from bequest.report.folder import Run
from bequest.report.numbers import ABSENT, duration, with_interval
from bequest.report.titles import Titles

Place = tuple[str, str, str | None, str | None, str | None]

LEVEL = 0.95


@dataclass(frozen=True)
class Fact:
    """A fact of each run's record; ``differs`` where they do not agree."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs do not agree on it."""
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class SharedClaim:
    """A claim of several runs, with the verdict of each; None where a run does not have it."""

    id: str
    text: str
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class Difference:
    """One run's value less the first run's, with its interval over seeds where both have values by seed."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """Value and interval."""
        return with_interval(self.value, self.low, self.high)


@dataclass(frozen=True)
class SharedNumber:
    """A measure of one arm at one place in several runs, None where a run does not have it.

    ``differences`` has an entry for every run but the first.
    """

    arm: str
    split: str
    teacher: str
    measurements: tuple[Measurement | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True)
class RunsTable:
    """One measure in all runs."""

    measure: str
    title: str
    numbers: tuple[SharedNumber, ...]


@dataclass(frozen=True)
class Comparison:
    """Several runs; the first is the one that the others are compared with."""

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    titles: Titles
    facts: tuple[Fact, ...]
    claims: tuple[SharedClaim, ...]
    tables: tuple[RunsTable, ...]
    unmatched: tuple[str, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Match claims by id, and measurements by measure, arm, teacher, split and layer.

    Raises:
        RunFolderError: If there are fewer than two runs, or one of them twice.
    """
    folders = [run.folder.resolve() for run in runs]
    if len(set(folders)) < len(folders) or len(runs) < 2:
        raise RunFolderError(
            "a comparison needs different runs",
            expected="two or more run folders",
            got=", ".join(str(run.folder) for run in runs),
        )
    titles = _merged(runs)
    return Comparison(
        runs=tuple(runs),
        names=_names(runs),
        titles=titles,
        facts=tuple(_facts(runs)),
        claims=tuple(_claims(runs)),
        tables=tuple(_tables(runs, titles)),
        unmatched=tuple(_unmatched(runs)),
    )


def difference(first: Measurement | None, second: Measurement | None) -> Difference | None:
    """``second`` less ``first``, with a 95 % t interval over seeds.

    Paired where both have the same seeds; Welch's otherwise. There is no interval where a value is not the
    mean of its seeds (a ratio of means) or where a run has a single seed.

    >>> a = Measurement(measure="accuracy", arm="x", value=0.5, n=2, per_seed={"0": 0.4, "1": 0.6})
    >>> difference(a, a.model_copy(update={"value": 0.75, "per_seed": {"0": 0.7, "1": 0.8}})).text
    '0.250 [−0.385, 0.885]'
    """
    if first is None or second is None or first.value is None or second.value is None:
        return None
    value = second.value - first.value
    one, two = _seed_values(first), _seed_values(second)
    if one is None or two is None:
        return Difference(value)
    if one.keys() == two.keys():
        pairs = [two[seed] - one[seed] for seed in one]
        half = _quantile(float(len(pairs) - 1)) * math.sqrt(_variance(pairs) / len(pairs))
        return _bounded(value, half)
    parts = [_variance([*values.values()]) / len(values) for values in (one, two)]
    half = _quantile(_welch(parts, [len(one) - 1, len(two) - 1])) * math.sqrt(sum(parts))
    return _bounded(value, half)


def _bounded(value: float, half: float) -> Difference:
    """Without an interval where seeds do not spread: no width says nothing of further seeds."""
    return Difference(value, value - half, value + half) if half else Difference(value)


def _seed_values(m: Measurement) -> dict[str, float] | None:
    """The values by seed, where ``m`` is their mean and there are at least two."""
    values = {seed: value for seed, value in m.per_seed.items() if value is not None}
    if len(values) < 2 or len(values) < len(m.per_seed) or m.value is None:
        return None
    mean = math.fsum(values.values()) / len(values)
    return values if math.isclose(mean, m.value, rel_tol=1e-6, abs_tol=1e-9) else None


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _welch(parts: Sequence[float], freedoms: Sequence[int]) -> float:
    """Welch and Satterthwaite's degrees of freedom, from the variances of the two means."""
    spread = math.fsum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
    return math.fsum(parts) ** 2 / spread if spread else float(sum(freedoms))


def _quantile(freedom: float) -> float:
    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))


def _merged(runs: Sequence[Run]) -> Titles:
    """How the runs describe their measures; the first that describes one decides."""
    measures = {name: record for run in reversed(runs) for name, record in run.study.measures.items()}
    return Titles(measures)


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """The shortest ends of the folders' paths that tell the runs apart."""
    parts = [run.folder.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(part[-length:]) for part in parts)
        if len(set(names)) == len(names):
            return names
    return tuple(map(str, range(1, len(runs) + 1)))


def _facts(runs: Sequence[Run]) -> Iterator[Fact]:
    studies = [run.study for run in runs]
    yield Fact("study", tuple(study.name for study in studies))
    yield Fact("scale", tuple(study.scale for study in studies))
    yield Fact("status", tuple(study.status for study in studies))
    yield Fact("seeds", tuple(", ".join(map(str, study.seeds)) for study in studies))
    yield Fact("arms", tuple(str(len(study.arms)) for study in studies))
    yield Fact("configuration", tuple(study.config_hash for study in studies))
    yield Fact("data", tuple((study.data_digest or ABSENT)[:16] for study in studies))
    yield Fact("bequest", tuple(study.provenance.bequest for study in studies))
    yield Fact("commit", tuple((study.provenance.commit or ABSENT)[:12] for study in studies))
    yield Fact("machine", tuple(f"{s.provenance.platform}, {s.provenance.device}" for s in studies))
    yield Fact("duration", tuple(duration(study.seconds) for study in studies))


def _claims(runs: Sequence[Run]) -> Iterator[SharedClaim]:
    by_run = [{verdict.id: verdict for verdict in run.verdicts} for run in runs]
    for claim in dict.fromkeys(verdict.id for run in runs for verdict in run.verdicts):
        verdicts = tuple(verdicts.get(claim) for verdicts in by_run)
        yield SharedClaim(claim, next(v.text for v in verdicts if v is not None), verdicts)


def _tables(runs: Sequence[Run], titles: Titles) -> Iterator[RunsTable]:
    """A table for each measure of an arm that two runs have, accuracy first; reference values left out."""
    by_run = [{_place(m): m for m in run.by_split(run.measurements)} for run in runs]
    places = list(dict.fromkeys(place for numbers in by_run for place in numbers))
    shared = [place for place in places if sum(place in numbers for numbers in by_run) > 1]
    measures = sorted(dict.fromkeys(place[0] for place in shared), key=lambda name: name != "accuracy")
    for measure in measures:
        if titles.measure(measure).mark in {"null", "ceiling", "other_teacher"}:
            continue
        in_table = [place for place in shared if place[0] == measure]
        numbers = tuple(_number(place, [numbers.get(place) for numbers in by_run]) for place in in_table)
        yield RunsTable(measure, titles.measure(measure).axis, numbers)


def _number(place: Place, measurements: Sequence[Measurement | None]) -> SharedNumber:
    _, arm, teacher, split, layer = place
    where = ", ".join(part for part in (split, layer) if part) or "all"
    differences = tuple(difference(measurements[0], other) for other in measurements[1:])
    return SharedNumber(arm, where, teacher or "", tuple(measurements), differences)


def _place(m: Measurement) -> Place:
    return (m.measure, m.arm, m.teacher, m.split, m.layer)


def _unmatched(runs: Sequence[Run]) -> Iterable[str]:
    """The arms that only one of the runs has."""
    by_run = [{arm.name for arm in run.study.arms} for run in runs]
    for name in dict.fromkeys(arm.name for run in runs for arm in run.study.arms):
        if sum(name in arms for arms in by_run) == 1:
            yield name
