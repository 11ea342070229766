"""Rounds of seeds: the planned looks, the claims that are judged at each, the arms that get further seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import Any

from bequest.config import content_hash
from bequest.errors import ConfigError
from bequest.measure import detectable_effect, look_levels, seeds_needed
from bequest.measure.intervals import t_quantile
from bequest.measures import Reason, measure_named
from bequest.records import LookRecord, RoundsRecord, Verdict
from bequest.studies.claim_spec import ClaimSpec
from bequest.studies.claims import LEVEL
from bequest.studies.plan import Plan, with_seeds
from bequest.studies.spec import StudySpec

MOST = 4
"""Default of the most seeds, in units of the study's. Four times as many seeds halve an interval, and where
there are few they narrow it by more, since the t-quantile falls too.
"""

LIMIT = 1000
"""The search for the seeds that a claim needs ends here; a claim that needs more lies on its margin."""

POWER = 0.8
JUDGED = (
    "id",
    "measure",
    "arm",
    "split",
    "teacher",
    "against",
    "against_split",
    "direction",
    "margin",
    "exact",
)
"""The fields of a claim that its verdict depends on."""

Judging = Callable[[Sequence[ClaimSpec], float], list[Verdict]]
"""Claims and the confidence level of their family to one verdict each; :func:`bequest.studies.claims.judge`
with the measurements of a run.
"""


def planned_looks(seeds: int, most: int | None = None) -> list[int]:
    """The number of seeds at each look: ``seeds``, then at most doubled each time up to ``most``.

    The looks grow by one factor, the largest that is at most 2 and ends at ``most``. Each look costs a part
    of the total error, and seeds beyond those that a claim needs cost trainings: with doubling there are few
    looks, and fewer than half of the seeds are superfluous.

    Args:
        seeds: Seeds at the first look.
        most: Seeds at the last look; default: four times as many.

    Raises:
        ConfigError: If ``most`` is less than ``seeds``.

    >>> planned_looks(3), planned_looks(3, 15), planned_looks(5, 5), planned_looks(1, 3)
    ([3, 6, 12], [3, 5, 9, 15], [5], [1, 2, 3])
    """
    most = MOST * seeds if most is None else most
    if most < seeds:
        raise ConfigError.of("--most-seeds", [f"expected at least the study's {seeds} seeds, got {most}"])
    # Less a little: rounding of the logarithm must not turn two doublings into three steps.
    steps = ceil(log2(most / seeds) - 1e-9)
    return (
        sorted({round(seeds * (most / seeds) ** (k / steps)) for k in range(steps + 1)}) if steps else [seeds]
    )


def planned_rounds(plan: Plan, most: int | None = None) -> RoundsRecord:
    """The planned looks of a study, none of them taken.

    Raises:
        ConfigError: If the study has no claims to decide, or ``most`` is less than its seeds.
    """
    if not family(plan.study.claims):
        raise ConfigError.of("--until-decided", [f"{plan.study.name} has no claims to decide"])
    seeds = planned_looks(plan.study.seeds, most)
    levels = look_levels(seeds, level=LEVEL)
    looks = (LookRecord(seeds=n, level=float(level)) for n, level in zip(seeds, levels, strict=True))
    return RoundsRecord(key=judged_key(plan), looks=tuple(looks))


def family(claims: Sequence[ClaimSpec]) -> list[ClaimSpec]:
    """The claims that were made before their data, which are judged together."""
    return [claim for claim in claims if not claim.exploratory]


def judged_key(plan: Plan) -> str:
    """A hash of what is judged: the family's claims, and the networks and splits that they are about.

    It does not depend on titles, further seeds, or arms and splits that no claim of the family is about.
    """
    study, claims = plan.study, family(plan.study.claims)
    arms = sorted(set().union(*(involved_arms(plan, claim) for claim in claims)))
    first = study.seeds_from
    splits = {name: study.splits[name].samples() for claim in claims for name in _splits_of(study, claim)}
    return content_hash(
        [
            [_judged(claim) for claim in claims],
            {arm: plan.cell(arm, first).id for arm in arms},
            dict(sorted(splits.items())),
        ]
    )


def _judged(claim: ClaimSpec) -> dict[str, Any]:
    """The fields that its verdict depends on."""
    fields = {field: getattr(claim, field) for field in JUDGED}
    # Only if it is set: the key of a study without it stays what it was, and its looks count.
    return fields | ({"against_measure": claim.against_measure} if claim.against_measure else {})


def _splits_of(study: StudySpec, claim: ClaimSpec) -> list[str]:
    """The splits that a claim is about; all of them if it names none."""
    names = [name for name in (claim.split, claim.against_split) if name is not None]
    return [split for name in names or study.splits for split in study.measures.groups.get(name, (name,))]


def involved_arms(plan: Plan, claim: ClaimSpec) -> set[str]:
    """The arms without which a claim cannot be judged, with all arms that these need."""
    study, arms = plan.study, plan.arms
    involved = {arm for arm in (claim.arm, claim.against, claim.teacher) if arm}
    measure = measure_named(claim.measure)
    if measure.group == "derived":  # shares and gains are computed from the control and the teachers too
        beside = [(arms.control[arm], *study.arms[arm].teachers) for arm in involved]
        involved |= {arm for others in beside for arm in others if arm}
    if study.theory is not None:
        return involved  # a simulated cell draws its own teachers
    if "teacher" in measure.needs and claim.teacher is None:
        involved |= {teacher for arm, teacher in arms.pairs if arm == claim.arm}
    waiting = list(involved)
    while waiting:
        further = arms.needed(waiting.pop()) - involved
        involved |= further
        waiting += further
    return involved


def plan_at(plan: Plan, rounds: RoundsRecord, look: int) -> Plan:
    """The plan of a look: arms of open claims have the look's seeds, others keep theirs.

    Args:
        plan: The study as it is written.
        rounds: Its looks; those before ``look`` are taken.
        look: Counted from 0.
    """
    seeds = {arm: len(plan.seeds_of(arm)) for arm in plan.study.arms}
    by_id = {claim.id: claim for claim in plan.study.claims}
    for k in range(1, look + 1):
        for claim_id in rounds.looks[k - 1].further:
            for arm in involved_arms(plan, by_id[claim_id]):
                seeds[arm] = max(seeds[arm], rounds.looks[k].seeds)
    return with_seeds(plan, seeds)


def largest_plan(plan: Plan, rounds: RoundsRecord) -> Plan:
    """The plan with every cell that any of the looks may ask for."""
    most = rounds.looks[-1].seeds
    return with_seeds(plan, {arm: max(most, len(plan.seeds_of(arm))) for arm in plan.study.arms})


def next_look(rounds: RoundsRecord) -> int | None:
    """The next look, counted from 0; None if none is left, or every claim is decided."""
    taken = rounds.taken
    if taken == len(rounds.looks) or (taken and not rounds.looks[taken - 1].further):
        return None
    return taken


def verdicts_at(
    claims: Sequence[ClaimSpec], judging: Judging, rounds: RoundsRecord, look: int
) -> list[Verdict]:
    """One verdict per claim at a look.

    The claims of the family that no earlier look decided are judged together (Holm) at the look's level;
    decided ones keep their verdict and its numbers. Exploratory claims are judged at 95 % on all seeds.
    A look that is taken decides nothing more: claims that it left undecided stay so, even if they are
    measured differently now.

    Args:
        claims: The claims of a study.
        judging: Judges some of them by what was measured at the seeds of the look.
        rounds: The looks; those before ``look`` are taken, and ``look`` itself may be.
        look: Counted from 0.
    """
    earlier = {v.id for record in rounds.looks[:look] for v in record.verdicts}
    open_claims = [claim for claim in family(claims) if claim.id not in earlier]
    by_id = {verdict.id: verdict for verdict in judging(open_claims, rounds.looks[look].level)}
    if rounds.looks[look].taken:
        by_id = {claim_id: _left_undecided(verdict) for claim_id, verdict in by_id.items()}
    return [
        _of_claim(plain, rounds.decided.get(plain.id), by_id.get(plain.id), look)
        for plain in judging(claims, LEVEL)
    ]


def _left_undecided(verdict: Verdict) -> Verdict:
    """A verdict of a look that was taken before, and did not decide the claim then."""
    if verdict.verdict == "undecided":
        return verdict
    reason = "undecided when its look was taken; it has been measured differently since"
    update = {"verdict": "undecided", "reason": reason, "reason_code": Reason.OTHER.value}
    return verdict.model_copy(update=update)


def _of_claim(plain: Verdict, decided: Verdict | None, at_look: Verdict | None, look: int) -> Verdict:
    """The verdict that counts, with the texts and the plain interval of ``plain``.

    A decided claim keeps the numbers of its look: judging it again with further seeds would be another look.
    """
    if plain.exploratory:
        return plain
    if decided is not None:
        texts = {name: getattr(plain, name) for name in ("text", "source", "published", "expected")}
        return decided.model_copy(update=texts)
    assert at_look is not None
    # look -1: none is taken yet
    return at_look.model_copy(update={"low": plain.low, "high": plain.high, "look": (look + 1) or None})


def not_judged(
    claims: Sequence[ClaimSpec], judging: Judging, rounds: RoundsRecord, reason: str
) -> list[Verdict]:
    """The verdicts if the next look is not taken: open claims have plain intervals, and no verdict."""
    nothing = {"verdict": "undecided", "adjusted_low": None, "adjusted_high": None}
    nothing |= {"reason": reason, "reason_code": Reason.OTHER.value}
    return [
        _of_claim(plain, rounds.decided.get(plain.id), plain.model_copy(update=nothing), rounds.taken - 1)
        for plain in judging(claims, LEVEL)
    ]


def with_look(
    rounds: RoundsRecord,
    look: int,
    verdicts: Sequence[Verdict],
    *,
    arms: Mapping[str, int] | None = None,
    seconds: float | None = None,
) -> RoundsRecord:
    """The looks with one more taken.

    Args:
        rounds: The looks; those before ``look`` are taken.
        look: Counted from 0.
        verdicts: The verdicts of :func:`verdicts_at` at it.
        arms: The number of seeds of each arm.
        seconds: How long the new trainings took.
    """
    judged = [v for v in verdicts if not v.exploratory and v.id not in rounds.decided]
    undecided = [v for v in judged if v.verdict == "undecided"]
    taken = rounds.looks[look].model_copy(
        update={
            "taken": True,
            "seconds": seconds,
            "arms": dict(arms or {}),
            "judged": len(judged),
            "verdicts": tuple(v for v in judged if v.verdict != "undecided"),
            # No number of seeds decides a claim that is not measured; it stays in the family all the same.
            "further": tuple(v.id for v in undecided if v.reason_code != Reason.NOT_MEASURED),
        }
    )
    return rounds.model_copy(update={"looks": (*rounds.looks[:look], taken, *rounds.looks[look + 1 :])})


def with_seeds_needed(claims: Sequence[ClaimSpec], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, each undecided one of the family with the number of seeds that would decide it.

    It is that of a study of the undecided claims alone, judged once at 5 % for their family, which decides
    the claim with a probability of 80 % if its value and its spread over seeds are those measured here.
    """
    undecided = [v for v in verdicts if v.verdict == "undecided" and not v.exploratory]
    # The level of Holm's first step: enough seeds even if no other claim is decided.
    level = 1 - (1 - LEVEL) / max(len(undecided), 1)
    open_ids, by_id = {v.id for v in undecided}, {claim.id: claim for claim in claims}
    return [
        v.model_copy(update={"seeds_needed": seeds_to_decide(by_id[v.id], v, level)})
        if v.id in open_ids
        else v
        for v in verdicts
    ]


def seeds_to_decide(claim: ClaimSpec, verdict: Verdict, level: float) -> int | None:
    """The fewest seeds that would decide a claim at ``level``; None if 1,000 would not, or if unknown."""
    distance = distance_from_margin(claim, verdict)
    if distance is None:
        return None
    return seeds_needed(distance, level=level, power=POWER, most=LIMIT)


def distance_from_margin(claim: ClaimSpec, verdict: Verdict) -> float | None:
    """The distance of a value from its margin, in standard deviations over seeds; None without an interval.

    The standard deviation is derived from the plain interval's half-width h towards the margin, as that of n
    values: s = h·√n / t. If an interval also covers the spread over samples, further seeds narrow it less
    than this says.
    """
    value, low, high, n = verdict.value, verdict.low, verdict.high, verdict.n
    if value is None or low is None or high is None or high <= low or n < 2:
        return None
    # "within" has a margin on either side of 0: the nearer one decides.
    margin = -claim.margin if claim.direction == "within" and value < 0 else claim.margin
    half = high - value if margin > value else value - low
    if half <= 0:
        return None
    return abs(value - margin) * t_quantile(LEVEL, n) / (half * sqrt(n))


@dataclass(frozen=True)
class SmallestEffect:
    """The distance from its margin at which a claim is decided with a probability of 80 %.

    Attributes:
        claim: Its id.
        arms: The arms that it is about.
        seeds: The number of seeds.
        first: The distance if no other claim of the family is decided, in standard deviations of the claim's
            value over seeds; inf with one seed.
        last: The distance if all others are decided.
    """

    claim: str
    arms: tuple[str, ...]
    seeds: int
    first: float
    last: float


def smallest_effects(plan: Plan, rounds: RoundsRecord | None = None) -> list[SmallestEffect]:
    """The smallest effects that the seeds of a study can detect, claim by claim, before anything is trained.

    Args:
        plan: The study.
        rounds: Its looks, if any: claims of the family then have one entry per look.
    """
    claims = plan.study.claims
    return [
        _smallest_effect(plan, claim, *look)
        for claim in claims
        for look in (
            [(look.seeds, look.level) for look in rounds.looks]
            if rounds is not None and not claim.exploratory
            else [(0, LEVEL)]
        )
    ]


def _smallest_effect(plan: Plan, claim: ClaimSpec, seeds: int, level: float) -> SmallestEffect:
    arms = involved_arms(plan, claim)
    count = max(seeds, min(len(plan.seeds_of(arm)) for arm in arms))
    # An exploratory claim is a family of its own.
    members = 1 if claim.exploratory else len(family(plan.study.claims))
    # Holm's levels of a claim range from that with all of the family open to that with this one alone.
    first, last = (
        detectable_effect(count, level=1 - (1 - level) / others, power=POWER) for others in (members, 1)
    )
    named = tuple(arm for arm in (claim.arm, claim.against) if arm)
    return SmallestEffect(claim.id, named, count, first, last)
