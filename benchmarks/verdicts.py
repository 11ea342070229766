"""How often verdicts are wrong and intervals cover.

``python benchmarks/verdicts.py [--draws N] [--only PART]``

Prints JSON. ``studies``: all claims of each simulated study are false (their differences are exactly their
margins), so that every verdict is wrong; the share of studies with one. Arms share a control and their test
set; accuracies are counts over N samples. ``plain`` judges each claim by its own 95 % interval, ``family`` by
Holm, ``looks`` at 3, 5, 8 and 12 seeds with the family's error spent over the looks, ``looks_unpaid`` at 95 %
each time. ``rounds``: the same question of the functions that ``bequest run`` judges with, once at the seeds
of the study and with ``--until-decided``, where arms of decided claims get no further seeds. ``coverage``:
how often intervals contain the truth; ``tails``: how often those of families do not. Shares are given with
their standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from unittest.mock import patch

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
from scipy import special  # noqa: E402

from bequest.measure import (  # noqa: E402
    Claim,
    Estimate,
    SeedValues,
    crossed_inheritance,
    crossed_interval,
    inheritance,
    judge_family,
    look_levels,
    paired_interval,
    ring_interval,
    seed_interval,
    seed_values,
)
from bequest.measure.families import Judged, verdict_of  # noqa: E402
from bequest.records import LookRecord, Measurement, RoundsRecord, Verdict  # noqa: E402
from bequest.studies.claim_spec import ClaimSpec  # noqa: E402
from bequest.studies.claims import judge  # noqa: E402
from bequest.studies.looks import next_look, planned_looks, verdicts_at, with_look  # noqa: E402

CLAIMS = 20
LOOKS = (3, 5, 8, 12)
SETTINGS = ((360, 0.9, 0.02), (360, 0.995, 0.002), (10_000, 0.97, 0.003))
SETTINGS_IN_ROUNDS = (*SETTINGS[:2], (2000, 0.97, 0.003))
"""Every sample at every seed is drawn and judged, so that 10,000 would take minutes for few studies."""

Generator = np.random.Generator


def accuracies(rng: Generator, arms: int, seeds: int, samples: int, mean: float, sd: float) -> np.ndarray:
    """Accuracies of arms that are equal in truth, (arms, seeds), as counts over ``samples`` images."""
    ability = np.clip(mean + sd * rng.normal(size=(arms, seeds)), 0, 1)
    return rng.binomial(samples, ability) / samples


def claims_of(values: np.ndarray, samples: int) -> list[Claim]:
    """Every arm of ``values`` beside the first, its control: is it better? All are false."""

    def claim(arm: np.ndarray) -> Claim:
        return Claim(
            lambda level: paired_interval(arm, values[0], level=level, resolution=1 / samples), "above"
        )

    return [claim(arm) for arm in values[1:]]


def wrong(claims: list[Claim], level: float = 0.95, *, whole: bool = False) -> tuple[bool, bool]:
    """Whether any claim gets a verdict: by plain intervals, and by the family's.

    Holm decides something if and only if its first step does: a claim's interval at 1 − (1 − level)/M
    excludes its margin. ``whole`` judges the family itself, which takes twenty times as long, and compares.
    """
    first = 1 - (1 - level) / len(claims)
    plain, family = (any(claim.interval(at).excludes_zero for claim in claims) for at in (level, first))
    if whole and family != any(j.verdict != "undecided" for j in judge_family(claims, level=level)):
        raise AssertionError("the family's first step and its verdicts differ")
    return plain, family


def study(rng: Generator, samples: int, mean: float, sd: float, *, whole: bool) -> dict[str, bool]:
    """One study whose claims are all false, judged in each way."""
    values = accuracies(rng, CLAIMS + 1, LOOKS[-1], samples, mean, sd)
    outcome: dict[str, bool] = {}
    for n in (3, 5):
        outcome[f"plain, n {n}"], outcome[f"family, n {n}"] = wrong(
            claims_of(values[:, :n], samples), whole=whole
        )
    paid = unpaid = False
    for n, level in zip(LOOKS, look_levels(LOOKS), strict=True):
        claims = claims_of(values[:, :n], samples)
        paid = paid or wrong(claims, float(level))[1]
        unpaid = unpaid or wrong(claims)[1]
    return outcome | {"family, looks": paid, "family, looks unpaid": unpaid}


def first_step(claims: Sequence[Claim], *, level: float) -> list[Judged]:
    """The verdicts of :func:`judge_family`, without p-values where it decides nothing: thirty times as fast.

    Holm decides something if and only if a claim's interval at 1 − (1 − level)/M does.
    """
    at_first_step = [claim.interval(1 - (1 - level) / len(claims)) for claim in claims]
    if any(
        estimate.low < estimate.high
        and verdict_of(claim.direction, estimate.low, estimate.high, claim.margin) != "undecided"
        for claim, estimate in zip(claims, at_first_step, strict=True)
    ):
        return judge_family(claims, level=level)
    plain = [claim.interval(level) for claim in claims]
    return [Judged("undecided", p, first, 1.0, 1.0) for p, first in zip(plain, at_first_step, strict=True)]


def in_rounds(rng: Generator, start: int, samples: int, mean: float, sd: float) -> dict[str, float]:
    """A study whose claims are all false, begun with ``start`` seeds: judged once, and until decided."""
    looks = planned_looks(start)
    names = [f"arm {k}" for k in range(CLAIMS + 1)]
    ability = np.clip(mean + sd * rng.normal(size=(CLAIMS + 1, looks[-1], 1)), 0, 1)
    right = (rng.random((CLAIMS + 1, looks[-1], samples)) < ability).astype(np.float32)
    text = {"text": "It is better.", "source": "simulated", "measure": "accuracy", "against": names[0]}
    specs = [ClaimSpec(id=name, arm=name, **text) for name in names[1:]]
    counts = dict.fromkeys(names, start)

    def judging(claims: Sequence[ClaimSpec], level: float) -> list[Verdict]:
        tables = {name: right[k, : counts[name]] for k, name in enumerate(names)}
        rows = [measured(name, table.mean(axis=1, dtype=np.float64)) for name, table in tables.items()]

        def sampled(measure: str, arm: str, split: str | None, teacher: str | None) -> SeedValues:
            del measure, split, teacher
            values = dict(enumerate(tables[arm]))
            return seed_values(values, bounds=(0.0, 1.0), resolution=1 / samples)

        return judge(claims, rows, level=level, sampled=sampled)

    once = any(verdict.verdict != "undecided" for verdict in judging(specs, 0.95))
    levels = look_levels(looks)
    records = (LookRecord(seeds=n, level=float(level)) for n, level in zip(looks, levels, strict=True))
    rounds = RoundsRecord(key="", looks=tuple(records))
    while (look := next_look(rounds)) is not None:
        further = rounds.looks[look - 1].further if look else names
        counts |= dict.fromkeys([names[0], *further], looks[look])
        rounds = with_look(rounds, look, verdicts_at(specs, judging, rounds, look))
    return {"once": once, "until decided": bool(rounds.decided), "looks": rounds.taken}


def measured(arm: str, accuracy: np.ndarray) -> Measurement:
    """The accuracy of an arm as a run records it."""
    per_seed = {str(seed): float(value) for seed, value in enumerate(accuracy)}
    return Measurement(
        measure="accuracy",
        arm=arm,
        split="test",
        value=float(accuracy.mean()),
        n=len(accuracy),
        per_seed=per_seed,
    )


def rounds_of_study(
    rng: Generator, start: int, samples: int, mean: float, sd: float, *, whole: bool
) -> dict[str, float]:
    """The same with p-values only where a claim is decided; ``whole`` judges with all, and compares."""
    state = rng.bit_generator.state
    with patch("bequest.studies.claims.judge_family", first_step):
        outcome = in_rounds(rng, start, samples, mean, sd)
    if whole:
        rng.bit_generator.state = state
        if in_rounds(rng, start, samples, mean, sd) != outcome:
            raise AssertionError("the family's first step and its verdicts differ")
    return outcome


def rounds(draws: int) -> dict[str, object]:
    table: dict[str, object] = {}
    for samples, mean, sd in SETTINGS_IN_ROUNDS:
        for start in (3, 5):
            rng = np.random.default_rng([3, samples, start])
            outcomes = [
                rounds_of_study(rng, start, samples, mean, sd, whole=k % 25 == 0) for k in range(draws)
            ]
            name = f"accuracy {mean} ± {sd} of {samples} samples, from {start} seeds"
            table[name] = {
                way: share_of_hits([bool(o[way]) for o in outcomes]) for way in ("once", "until decided")
            }
    return table


def covers(estimate: Estimate, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)


def crossed_table(rng: Generator, seeds: int, samples: int, by_seed: float, by_sample: float) -> np.ndarray:
    """Right or wrong, (seeds, samples): abilities of seeds and difficulties of samples, probit; mean .5."""
    drive = by_seed * rng.normal(size=(seeds, 1)) + by_sample * rng.normal(size=(1, samples))
    return (drive + rng.normal(size=(seeds, samples)) > 0).astype(np.float64)


def crossed(rng: Generator, seeds: int, by_seed: float, by_sample: float) -> bool:
    return covers(crossed_interval(crossed_table(rng, seeds, 300, by_seed, by_sample)), 0.5)


def crossed_ratio(rng: Generator, seeds: int) -> bool:
    """Inheritance .6 of a gap in accuracy: about .6 of the teacher's other answers are taken over."""
    hard = rng.normal(size=(1, 300))
    control = (hard + 0.1 * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, 300)) > 1).astype(float)
    teacher = np.maximum(control, hard + rng.normal(size=(seeds, 300)) > -1).astype(float)
    share = np.clip(
        0.6 + 0.05 * rng.normal(size=(seeds, 1)) + 0.2 * np.sign(rng.normal(size=hard.shape)), 0, 1
    )
    taught = np.where(rng.random((seeds, 300)) < share, teacher, control)
    return covers(crossed_inheritance(taught, control, teacher), 0.6)


def ring(rng: Generator, networks: int) -> bool:
    effects = rng.normal(size=networks)
    return covers(ring_interval(effects + np.roll(effects, -1)), 0.0)


def ring_as_pairs(rng: Generator, networks: int) -> bool:
    effects = rng.normal(size=networks)
    return covers(seed_interval(effects + np.roll(effects, -1)), 0.0)


def fieller(rng: Generator, seeds: int, gap: float) -> bool | None:
    """Inheritance .5 with gaps of ``gap`` standard deviations; None where it is undefined."""
    control, teacher = rng.normal(size=seeds), gap + rng.normal(size=seeds)
    taught = control + 0.5 * (teacher - control) + 0.3 * rng.normal(size=seeds)
    estimate = inheritance(taught, control, teacher)
    return None if math.isnan(estimate.value) else covers(estimate, 0.5)


def selected(rng: Generator, seeds: int, gap: float, draws: int, *, own: bool) -> dict[str, float]:
    """Studies whose gap is significant, where the true inheritance is 1.

    ``own``: each student follows its own teacher; otherwise all follow the mean of their teacher's family.
    Controls are equal, so that ``gap`` is in standard deviations of the gap itself.
    """
    ratios, hits = [], []
    for _ in range(draws):
        teacher = gap + rng.normal(size=seeds)
        taught = (teacher if own else gap) + 0.3 * rng.normal(size=seeds)
        estimate = inheritance(taught, np.zeros(seeds), teacher)
        if not math.isnan(estimate.value):
            ratios.append(estimate.value)
            hits.append(covers(estimate, 1.0))
    return {
        "defined": len(ratios) / draws,
        "median": round(float(np.median(ratios)), 3),
        "covers": round(float(np.mean(hits)), 3),
    }


def share_of(draws: int, once: Callable[[], bool | None]) -> dict[str, float]:
    """The share of draws that are true, among those that are defined, with its standard error."""
    return share_of_hits([hit for hit in (once() for _ in range(draws)) if hit is not None])


def share_of_hits(hits: Sequence[bool]) -> dict[str, float]:
    """The share of those that are true, with its standard error."""
    share = float(np.mean(hits))
    return {
        "share": round(share, 4),
        "standard_error": round(math.sqrt(share * (1 - share) / len(hits)), 4),
        "n": len(hits),
    }


def studies(draws: int) -> dict[str, object]:
    table: dict[str, object] = {}
    for samples, mean, sd in SETTINGS:
        rng = np.random.default_rng(samples)
        outcomes = [study(rng, samples, mean, sd, whole=k % 50 == 0) for k in range(draws)]
        shares = {way: float(np.mean([o[way] for o in outcomes])) for way in outcomes[0]}
        errors = {way: round(math.sqrt(s * (1 - s) / draws), 4) for way, s in shares.items()}
        table[f"accuracy {mean} ± {sd} of {samples} samples"] = {
            way: {"share": round(s, 4), "standard_error": errors[way], "n": draws}
            for way, s in shares.items()
        }
    return table


def any_verdict(gaps: np.ndarray, level: float, resolution: float) -> np.ndarray:
    """Whether a claim of each study has a t-interval that excludes 0; gaps (studies, claims, seeds)."""
    n = gaps.shape[2]
    spread = np.maximum(gaps.std(axis=2, ddof=1), resolution / math.sqrt(6))
    half = special.stdtrit(n - 1, (1 + level) / 2) * spread / math.sqrt(n)
    equal = (gaps == gaps[:, :, :1]).all(axis=2)
    half = np.where(equal, np.maximum(half, resolution), half)
    excluded: np.ndarray = (np.abs(gaps.mean(axis=2)) > half).any(axis=1)
    return excluded


def studies_at_once(draws: int) -> dict[str, object]:
    """The shares of :func:`studies` from formulas alone, over all studies at once and so over many more."""
    table: dict[str, object] = {}
    for samples, mean, sd in SETTINGS:
        rng = np.random.default_rng(77)
        ability = np.clip(mean + sd * rng.normal(size=(draws, CLAIMS + 1, LOOKS[-1])), 0, 1)
        values = rng.binomial(samples, ability) / samples
        gaps, step = values[:, 1:] - values[:, :1], 1 / samples
        ways = {}
        for n in (3, 5):
            ways[f"plain, n {n}"] = any_verdict(gaps[:, :, :n], 0.95, step)
            ways[f"family, n {n}"] = any_verdict(gaps[:, :, :n], 1 - 0.05 / CLAIMS, step)
        levels = [1 - (1 - level) / CLAIMS for level in look_levels(LOOKS)]
        looks = list(zip(LOOKS, levels, strict=True))
        ways["family, looks"] = np.any([any_verdict(gaps[:, :, :n], at, step) for n, at in looks], axis=0)
        ways["family, looks unpaid"] = np.any(
            [any_verdict(gaps[:, :, :n], 1 - 0.05 / CLAIMS, step) for n in LOOKS], axis=0
        )
        shares = {way: round(float(hits.mean()), 4) for way, hits in ways.items()}
        table[f"accuracy {mean} ± {sd} of {samples} samples"] = {"n": draws, **shares}
    return table


def coverage(draws: int) -> dict[str, object]:
    rng = np.random.default_rng(1)
    table: dict[str, object] = {}
    for seeds in (3, 5):
        for by_seed, by_sample in ((0.5, 0.0), (0.2, 1.0), (0.0, 1.0)):
            name = f"crossed, n {seeds}, spread of seeds {by_seed}, of samples {by_sample}"
            table[name] = share_of(draws, lambda n=seeds, a=by_seed, b=by_sample: crossed(rng, n, a, b))
        table[f"crossed inheritance, n {seeds}"] = share_of(draws, lambda n=seeds: crossed_ratio(rng, n))
        table[f"jackknife of a ring, n {seeds}"] = share_of(draws, lambda n=seeds: ring(rng, n))
        table[f"t over pairs of a ring, n {seeds}"] = share_of(draws, lambda n=seeds: ring_as_pairs(rng, n))
        table[f"fieller, n {seeds}, gap of 6 sd"] = share_of(draws, lambda n=seeds: fieller(rng, n, 6.0))
        table[f"fieller, n {seeds}, gap of 1 sd where significant"] = share_of(
            draws, lambda n=seeds: fieller(rng, n, 1.0)
        )
    table["jackknife of a ring, n 8"] = share_of(draws, lambda: ring(rng, 8))
    return table


def tails(draws: int) -> dict[str, object]:
    """How often crossed intervals at the levels of families miss the truth, beside how often they may."""
    rng = np.random.default_rng(4)
    table: dict[str, object] = {}
    for seeds in (3, 5):
        for by_seed, by_sample in ((0.5, 0.0), (0.2, 1.0), (0.0, 1.0)):
            drawn = [crossed_table(rng, seeds, 300, by_seed, by_sample) for _ in range(draws)]
            for level in (0.99, 0.9975):
                missed = [not covers(crossed_interval(each, level=level), 0.5) for each in drawn]
                name = f"crossed at {level}, n {seeds}, spread of seeds {by_seed}, of samples {by_sample}"
                table[name] = share_of_hits(missed)
    return table


def selection(draws: int) -> dict[str, object]:
    rng = np.random.default_rng(2)
    return {
        f"n {seeds}, gap of {gap} sd, {world}": selected(rng, seeds, gap, draws, own=world == "own teacher")
        for seeds in (3, 5)
        for gap in (1.0, 2.0, 6.0)
        for world in ("own teacher", "family's mean")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000, help="simulated studies or tables a row")
    tables: dict[str, Callable[[int], dict[str, object]]] = {
        "studies": studies,
        "studies at once": lambda draws: studies_at_once(10 * draws),
        "rounds": lambda draws: rounds(draws // 5),
        "coverage": coverage,
        "tails": lambda draws: tails(5 * draws),
        "selection": selection,
    }
    parser.add_argument("--only", choices=tables, action="append", help="these parts; repeatable")
    options = parser.parse_args()
    result = {name: tables[name](options.draws) for name in options.only or tables}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
