"""The results of a run: records, measurements, curves and verdicts. All later stages read these.

The JSON files carry a ``version``; newer ones are refused. An undefined number is null in the file and None
here, and always has a ``reason``.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bequest.provenance import Provenance

VERSION = 2
"""2: digests of files, codes for reasons, titles of measures, what a verdict was expected to be."""

Status = Literal["waiting", "running", "done", "failed"]
Role = Literal["teacher", "control", "taught"]
R = TypeVar("R", bound="Record")
PNG = r"^data:image/png;base64,[A-Za-z0-9+/]+=*$"


def _none_unless_finite(value: Any) -> Any:
    """None for NaN and infinity; anything but a number is left for the model to refuse."""
    if not isinstance(value, Real):
        return value
    return float(value) if math.isfinite(value) else None


Finite = Annotated[float | None, BeforeValidator(_none_unless_finite)]
"""A finite number; None for NaN and infinity, which JSON lacks."""


class Record(BaseModel):
    """The base of all records: frozen, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Measurement(Record):
    """One number with its n and its interval.

    ``measure`` is a name of ``bequest ls measures``, or ``inheritance/P`` of a property P. ``layer`` is a
    layer of the network, or the class that is measured. ``value`` is the mean of ``per_seed`` unless
    ``method`` says otherwise. ``low`` and ``high`` are its interval at ``level``: over seeds, and over
    samples as well if ``method`` says crossed. ``seed_low`` and ``seed_high`` are the interval over seeds
    alone. Undefined numbers are None, with a ``reason`` (a sentence) and its code in
    :class:`bequest.measures.Reason`.
    """

    measure: str
    arm: str
    value: Finite
    n: int
    teacher: str | None = None
    split: str | None = None
    layer: str | None = None
    low: Finite = None
    high: Finite = None
    seed_low: Finite = None
    seed_high: Finite = None
    level: float = 0.95
    method: str = ""
    per_seed: dict[str, Finite] = Field(default_factory=dict)
    reason: str | None = None
    reason_code: str | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Measurement:
        if self.value is None and not self.reason:
            raise ValueError(f"{self.measure} of {self.arm} is undefined and needs a reason")
        return self


class Point(Record):
    """One point of a curve; ``low`` and ``high`` are the interval of ``y``, and ``n`` its number of samples.

    On a map ``z`` is the value at (``x``, ``y``). ``image`` is a PNG as a data URL.
    """

    x: float
    y: Finite
    z: Finite = None
    low: Finite = None
    high: Finite = None
    n: int | None = None
    label: str | None = None
    image: Annotated[str, Field(pattern=PNG)] | None = None


class Curve(Record):
    """A measure as a function of something: epochs, bins, levels, positions, parameters.

    ``chart`` names the chart that the curve belongs to (``training``, ``reliability``, ``robustness`` ...);
    ``kind`` says how it is drawn. A ``map`` is a full grid of points over two parameters, and ``z_title`` the
    title of their ``z``; ``images`` are shown side by side, with their labels.
    """

    chart: str
    arm: str
    x_title: str
    y_title: str
    points: tuple[Point, ...]
    kind: Literal["line", "points", "steps", "map", "images"] = "line"
    z_title: str | None = None
    teacher: str | None = None
    split: str | None = None
    layer: str | None = None
    seed: str | None = None
    note: str | None = None


class Verdict(Record):
    """A claim and what the evidence says: upheld, contradicted or undecided.

    ``published`` is a number from the cited paper, ``expected`` one from the study's own pilot. ``low`` and
    ``high`` are the plain interval; ``adjusted_low`` and ``adjusted_high`` are the one that the verdict uses,
    at 5 % for the family of the study's claims. An ``exploratory`` claim was made after seeing its data and
    does not belong to the family. ``arms`` are those that the claim is about. In a run in rounds, ``look`` is
    the look at which it was decided, or last judged, from 1. Given the spread over seeds so far,
    ``seeds_needed`` seeds would decide an undecided claim; None if 1,000 would not, or if it is unknown.
    """

    id: str
    text: str
    source: str
    contrast: str
    verdict: Literal["upheld", "contradicted", "undecided"]
    published: float | None = None
    expected: float | None = None
    exploratory: bool = False
    value: float | None = None
    low: float | None = None
    high: float | None = None
    adjusted_low: float | None = None
    adjusted_high: float | None = None
    margin: float = 0.0
    n: int = 0
    arms: tuple[str, ...] = ()
    reason: str | None = None
    reason_code: str | None = None
    look: int | None = None
    seeds_needed: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, content: Any) -> Any:
        """Version 1 called every expected number ``paper_value``, whether it came from a paper or not."""
        if isinstance(content, dict) and "paper_value" in content:
            content = dict(content)
            content["expected"] = content.pop("paper_value")
        return content

    @property
    def published_outside(self) -> bool:
        """Whether the adjusted interval excludes the published number, whose own uncertainty is not counted.

        False without such a number, without an interval, and with one of zero width.
        """
        low, high = self.adjusted_low, self.adjusted_high
        if self.published is None or low is None or high is None or low == high:
            return False
        return not low <= self.published <= high


class LookRecord(Record):
    """One look of a run in rounds; all looks are planned before the first.

    ``seeds`` and ``level``, the confidence level of the claims judged at this look, are planned. The rest is
    filled in when the look is taken: ``arms`` holds the number of seeds of each arm, ``seconds`` the time of
    all new trainings. ``judged`` counts the claims of the family that were still undecided; ``verdicts`` are
    those decided at this look, ``further`` the undecided ones that more seeds may decide.
    """

    seeds: int
    level: float
    taken: bool = False
    seconds: float | None = None
    arms: dict[str, int] = Field(default_factory=dict)
    judged: int = 0
    verdicts: tuple[Verdict, ...] = ()
    further: tuple[str, ...] = ()


class RoundsRecord(Record):
    """The looks of a run in rounds (``--until-decided``), in their order.

    ``key`` is a hash of the claims and of the networks and splits that they are about. ``judged_before``
    says that the claims were judged at 95 % before looks were planned.
    """

    key: str
    looks: tuple[LookRecord, ...]
    judged_before: bool = False

    @property
    def taken(self) -> int:
        """How many looks have been taken."""
        return sum(look.taken for look in self.looks)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The number of seeds at each look."""
        return tuple(look.seeds for look in self.looks)

    @property
    def decided(self) -> dict[str, Verdict]:
        """The verdicts of all looks so far, by the claim's id."""
        return {verdict.id: verdict for look in self.looks for verdict in look.verdicts}


class TeacherRecord(Record):
    """A teacher as a cell used it; its digests before and after training must be equal."""

    arm: str
    cell: str
    mode: Literal["eval", "noisy", "online", "stored"] = "eval"
    digest_before: str
    digest_after: str | None = None
    validation: dict[str, float] = Field(default_factory=dict)


class MeasureRecord(Record):
    """What a reader needs to know of a measure; see :class:`bequest.measures.Measure`."""

    title: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    group: Literal["property", "likeness", "representation", "derived"] = "property"
    of: str = ""
    mark: str = ""


class SectionRecord(Record):
    """A section of the page for one kind of evidence: heading, one sentence of what it shows, its place.

    ``charts`` are the names of its curves, ``measures`` those of its measurements that are drawn next to
    them; sections are sorted by ``place``.
    """

    title: str
    intro: str = ""
    place: int = 50
    charts: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()


class RunRecord(Record):
    """One cell: its configuration and its outcome; ``start`` says what became of pretrained weights.

    ``store`` names the store in the run folder that it learned from. ``asked`` counts the answers asked of
    each teacher, used or not. ``files`` holds the SHA-256 of each file in the cell's folder, by path.
    """

    version: int = VERSION
    id: str
    arm: str
    seed: int
    status: Status
    config: dict[str, Any]
    needs: dict[str, str] = Field(default_factory=dict)
    start: str | None = None
    store: str | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    provenance: Provenance | None = None
    data_digest: str | None = None
    weights_digest: str | None = None
    parameters: int | None = None
    teachers: tuple[TeacherRecord, ...] = ()
    asked: dict[str, int] = Field(default_factory=dict)
    epochs: int | None = None
    steps: int | None = None
    last: dict[str, float] = Field(default_factory=dict)
    selected: dict[str, float] = Field(default_factory=dict)
    durations: dict[str, float] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)


class ArmRecord(Record):
    """An arm as the report shows it. ``control`` names the arm that it is compared with.

    Arms that are not ``charted`` appear in the tables behind the charts, not in the charts.
    """

    name: str
    role: Role
    student: str
    label: str
    teachers: tuple[str, ...] = ()
    control: str | None = None
    queries: str | None = None
    objective: str | None = None
    charted: bool = True


class CellRecord(Record):
    """One line of a study's list of cells."""

    id: str
    arm: str
    seed: int
    status: Status
    seconds: float | None = None
    error: str | None = None


class StudyRecord(Record):
    """The run of a study: ``study.json``, which the report starts from.

    ``measures`` describes each measure by name, ``sections`` each kind of evidence by key. ``picture`` is the
    chart next to the answer, about ``picture_teachers``; ``profile_arms`` are the arms of the profile.
    ``measuring_key`` hashes everything that decides measurements; ``files`` holds each result's SHA-256.
    """

    version: int = VERSION
    name: str
    title: str
    question: str
    scale: str
    status: Literal["prepared", "running", "complete", "partial", "interrupted"]
    config_hash: str
    command: str
    arms: tuple[ArmRecord, ...]
    splits: dict[str, str]
    seeds: tuple[int, ...]
    cells: tuple[CellRecord, ...]
    provenance: Provenance
    answer: str | None = None
    data_digest: str | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    measures: dict[str, MeasureRecord] = Field(default_factory=dict)
    sections: dict[str, SectionRecord] = Field(default_factory=dict)
    profile_arms: tuple[str, ...] = ()
    picture: str | None = None
    picture_teachers: tuple[str, ...] = ()
    measuring_key: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    rounds: RoundsRecord | None = None
