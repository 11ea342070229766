"""Rounds of seeds: looks, levels, verdicts that stay, arms that grow, seeds that would decide the rest."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from bequest.errors import ConfigError
from bequest.measure import detectable_effect, look_levels, paired_interval
from bequest.measures import Reason
from bequest.records import LookRecord, Measurement, RoundsRecord, Verdict
from bequest.runs.planning import planned
from bequest.studies.claim_spec import ClaimSpec
from bequest.studies.claims import judge
from bequest.studies.looks import (
    distance_from_margin,
    family,
    involved_arms,
    judged_key,
    largest_plan,
    next_look,
    not_judged,
    plan_at,
    planned_looks,
    planned_rounds,
    seeds_to_decide,
    smallest_effects,
    verdicts_at,
    with_look,
    with_seeds_needed,
)


def claim(id_, **fields):
    base = {"text": "t", "source": "s", "measure": "accuracy", "arm": id_, "against": "control"}
    return ClaimSpec(id=id_, **{**base, **fields})


def measured(arm, values):
    return Measurement(
        measure="accuracy",
        arm=arm,
        split="test",
        value=float(np.mean(values)),
        n=len(values),
        per_seed={str(k): float(v) for k, v in enumerate(values)},
    )


def judging_of(values):
    """A judge of accuracies by arm, whose control is 0 at every seed; ``values`` may grow."""

    def judging(claims, level):
        most = max(map(len, values.values()))
        rows = [measured("control", [0.0] * most), *(measured(arm, row) for arm, row in values.items())]
        return judge(claims, rows, level=level)

    return judging


def looks_at(*seeds):
    levels = look_levels(seeds)
    looks = (LookRecord(seeds=n, level=float(level)) for n, level in zip(seeds, levels, strict=True))
    return RoundsRecord(key="k", looks=tuple(looks))


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("factor", [1, 1.4, 2, 3, 4, 9.7])
def test_looks_grow_geometrically_from_the_study_to_the_most(seeds, factor):
    most = round(seeds * factor)
    looks = planned_looks(seeds, most)
    assert (looks[0], looks[-1]) == (seeds, most)
    assert (np.diff(looks) > 0).all()
    # at most doubled, but for the rounding to whole seeds
    assert all(later <= 2 * earlier + 1 for earlier, later in pairwise(looks))
    assert look_levels(looks)[-1] >= 0.95


def test_the_default_is_four_times_the_seeds_of_the_study():
    assert planned_looks(5) == planned_looks(5, 20) == [5, 10, 20]


def test_fewer_seeds_than_the_study_has_are_refused():
    with pytest.raises(ConfigError, match="expected at least the study's 5 seeds, got 4"):
        planned_looks(5, 4)


def test_a_study_without_claims_to_decide_is_refused(tiny):
    tiny["claims"][0]["exploratory"] = True
    with pytest.raises(ConfigError, match="tiny has no claims to decide"):
        planned_rounds(planned(tiny))


def test_planned_looks_have_levels_that_add_up_to_five_per_cent(tiny):
    rounds = planned_rounds(planned(tiny))
    assert rounds.seeds == (2, 4, 8)
    assert sum(1 - look.level for look in rounds.looks) == pytest.approx(0.05)
    assert (rounds.taken, rounds.decided, next_look(rounds)) == (0, {}, 0)


def test_open_claims_are_one_family_at_the_looks_level_and_decided_ones_stay():
    claims = [claim("sure"), claim("slow"), claim("never"), claim("aside", exploratory=True)]
    rng = np.random.default_rng(0)
    every = {
        "sure": 0.3 + 0.01 * rng.normal(size=8),
        "slow": 0.1 + 0.05 * rng.normal(size=8),
        "never": 0.05 * rng.normal(size=8),
        "aside": 0.5 + 0.01 * rng.normal(size=8),
    }
    rounds = looks_at(4, 8)
    first = verdicts_at(claims, judging_of({arm: row[:4] for arm, row in every.items()}), rounds, 0)
    by_id = {v.id: v for v in first}
    zeros = np.zeros(4)

    def interval(arm, level, n=4):
        return paired_interval(every[arm][:n], np.zeros(n), level=level)

    # Holm by hand: the smallest of three p-values is compared with a third of what the look may spend.
    assert interval("sure", 1 - 0.025 / 3).low > 0
    assert [by_id[name].verdict for name in ("sure", "slow", "never")] == ["upheld", *["undecided"] * 2]
    assert by_id["sure"].adjusted_low == pytest.approx(interval("sure", 1 - 0.025 / 3).low)
    assert by_id["slow"].adjusted_low == pytest.approx(interval("slow", 1 - 0.025 / 2).low)
    assert by_id["slow"].low == pytest.approx(paired_interval(every["slow"][:4], zeros).low)  # plain: 95 %
    assert [v.look for v in first] == [1, 1, 1, None]
    assert by_id["aside"].verdict == "upheld"

    rounds = with_look(rounds, 0, first, arms={"sure": 4}, seconds=2.0)
    look = rounds.looks[0]
    assert (look.taken, look.judged, look.further, look.arms) == (True, 3, ("slow", "never"), {"sure": 4})
    assert (look.seconds, rounds.taken, next_look(rounds)) == (2.0, 1, 1)
    assert list(rounds.decided) == ["sure"]

    # The arm of the decided claim has no further seeds, and its values may even have changed since.
    grown = {**every, "sure": -every["sure"][:4]}
    second = verdicts_at(claims, judging_of(grown), rounds, 1)
    by_id = {v.id: v for v in second}
    assert by_id["sure"] == first[0]
    assert interval("slow", 1 - 0.025 / 2, 8).low > 0
    assert by_id["slow"].verdict == "upheld"
    assert by_id["slow"].adjusted_low == pytest.approx(interval("slow", 1 - 0.025 / 2, 8).low)
    assert [v.look for v in second] == [1, 2, 2, None]
    rounds = with_look(rounds, 1, second)
    assert (rounds.looks[1].judged, rounds.looks[1].further) == (2, ("never",))
    assert next_look(rounds) is None


def test_judged_again_at_the_last_look_nothing_changes():
    """A claim that fell at a look still counts in that look's family: others must not become easier."""
    claims = [claim("sure"), claim("close")]
    values = {"sure": [0.30, 0.31, 0.29, 0.30], "close": [0.1, 0.11, 0.09, 0.16]}
    rounds = looks_at(4, 8)
    first = verdicts_at(claims, judging_of(values), rounds, 0)
    again = verdicts_at(claims, judging_of(values), with_look(rounds, 0, first), 0)
    assert again == first


def test_a_look_that_is_taken_decides_nothing_more_whatever_is_measured_now():
    claims, rounds = [claim("sure"), claim("close")], looks_at(4, 8)
    sure = [0.30, 0.31, 0.29, 0.30]
    first = verdicts_at(claims, judging_of({"sure": sure, "close": [0.1, -0.11, 0.09, 0.16]}), rounds, 0)
    rounds = with_look(rounds, 0, first)
    again = verdicts_at(claims, judging_of({"sure": sure, "close": sure}), rounds, 0)
    assert [v.verdict for v in again] == ["upheld", "undecided"]
    assert again[1].value == pytest.approx(0.3)
    assert again[1].reason == "undecided when its look was taken; it has been measured differently since"
    assert with_look(looks_at(4, 8), 0, again).looks[0].further == rounds.looks[0].further


def test_a_decided_claim_takes_its_text_from_the_study_and_its_numbers_from_its_look():
    values = {"sure": [0.30, 0.31, 0.29, 0.30]}
    rounds = looks_at(4, 8)
    rounds = with_look(rounds, 0, verdicts_at([claim("sure")], judging_of(values), rounds, 0))
    (verdict,) = verdicts_at([claim("sure", text="another")], judging_of({"sure": [0.0] * 8}), rounds, 1)
    assert (verdict.text, verdict.n, verdict.look) == ("another", 4, 1)
    assert verdict.value == pytest.approx(0.3)


def test_when_everything_is_decided_no_look_follows():
    rounds = looks_at(4, 8, 16)
    verdicts = verdicts_at([claim("sure")], judging_of({"sure": [0.30, 0.31, 0.29, 0.30]}), rounds, 0)
    assert next_look(with_look(rounds, 0, verdicts)) is None


def test_what_is_not_measured_gets_no_seeds_but_stays_in_the_family():
    claims = [claim("there"), claim("absent")]
    rounds = looks_at(3, 6)
    judging = judging_of({"there": [0.1, 0.0, 0.2]})
    verdicts = verdicts_at(claims, judging, rounds, 0)
    assert verdicts[1].reason_code == Reason.NOT_MEASURED
    look = with_look(rounds, 0, verdicts).looks[0]
    assert (look.judged, look.further) == (2, ("there",))


def test_without_a_look_open_claims_have_no_verdict():
    claims = [claim("sure"), claim("clear")]
    values = {"sure": [0.30, 0.31, 0.29, 0.30], "clear": [0.30, 0.31, 0.29, 0.30]}
    first = verdicts_at(claims[:1], judging_of(values), looks_at(4, 8), 0)
    rounds = with_look(looks_at(4, 8), 0, first)
    sure, clear = not_judged(claims, judging_of(values), rounds, "cells failed")
    assert sure == first[0]
    assert (clear.verdict, clear.reason, clear.adjusted_low) == ("undecided", "cells failed", None)
    assert clear.low == pytest.approx(paired_interval([0.30, 0.31, 0.29, 0.30], [0.0] * 4).low)


def test_arms_of_open_claims_grow_with_all_that_they_need(tiny):
    tiny["arms"]["cnn+"] = {"student": "cnn", "restart": 1}
    plan = planned(tiny)
    assert involved_arms(plan, plan.study.claims[0]) == {"mlp<-cnn", "mlp<-mlp", "cnn", "mlp"}
    rounds = planned_rounds(plan)
    assert plan_at(plan, rounds, 0).resolved == plan.resolved
    taken = rounds.looks[0].model_copy(update={"taken": True, "further": ("better",)})
    rounds = rounds.model_copy(update={"looks": (taken, *rounds.looks[1:])})
    grown = plan_at(plan, rounds, 1)
    counts = {arm: len(grown.seeds_of(arm)) for arm in plan.study.arms}
    assert counts == {"mlp<-cnn": 4, "mlp<-mlp": 4, "cnn": 4, "mlp": 4, "cnn+": 2}
    assert {cell.id for cell in plan.cells} < {cell.id for cell in grown.cells}
    assert grown.by_id.keys() < largest_plan(plan, rounds).by_id.keys()
    assert {len(largest_plan(plan, rounds).seeds_of(arm)) for arm in plan.study.arms} == {8}


@pytest.mark.parametrize(
    ("fields", "arms"),
    [
        ({"arm": "cnn", "against": None}, {"cnn"}),
        ({"arm": "mlp", "against": None}, {"mlp"}),
        ({"arm": "mlp<-cnn", "against": None}, {"mlp<-cnn", "cnn"}),
        ({"measure": "inheritance/accuracy", "against": None}, {"mlp<-cnn", "cnn", "mlp<-mlp", "mlp"}),
        # the likeness of a control to the teacher needs the teacher, which it does not learn from
        ({"measure": "agreement", "arm": "mlp<-mlp", "against": None}, {"mlp<-mlp", "mlp", "cnn"}),
        ({"measure": "agreement", "arm": "mlp", "against": None, "teacher": "cnn"}, {"mlp", "cnn"}),
    ],
)
def test_what_a_claim_involves(tiny, fields, arms):
    plan = planned(tiny)
    spec = plan.study.claims[0].model_copy(update=fields)
    assert involved_arms(plan, spec) == arms


def test_a_claim_on_the_solvable_model_involves_what_it_names(solvable):
    plan = planned(solvable)
    spec = plan.study.claims[0]
    assert involved_arms(plan, spec) == {"teacher"}
    share = spec.model_copy(update={"measure": "inheritance/error", "arm": "student", "against": None})
    assert involved_arms(plan, share) == {"student", "plain", "teacher"}


def test_the_key_follows_from_what_is_judged_and_nothing_else(tiny):
    before = judged_key(planned(tiny))
    tiny["title"] = "Another"
    tiny["claims"][0]["text"] = "Another text."
    tiny["claims"].append({**tiny["claims"][0], "id": "later", "exploratory": True})
    tiny["arms"]["cnn+"] = {"student": "cnn", "restart": 1}
    tiny["splits"]["far"] = {"description": "far", "variants": [{"name": "translate", "dx": 3}]}
    assert judged_key(planned(tiny)) == before
    assert judged_key(planned(tiny, seeds=3)) == before
    for change in (
        "claims=[]",
        "recipe.lr=0.5",
        "splits.moved.variants=[{name='translate', dx=2}]",
        "seeds_from=7",
    ):
        assert judged_key(planned(tiny, settings=[change])) != before
    tiny["claims"][0]["margin"] = 0.01
    assert judged_key(planned(tiny)) != before
    tiny["claims"][0]["margin"] = 0.0
    tiny["claims"][1]["exploratory"] = False
    assert judged_key(planned(tiny)) != before


def verdict(values, margin=0.0):
    estimate = paired_interval(values, np.zeros(len(values)))
    return Verdict(
        id="c",
        text="t",
        source="s",
        contrast="c",
        verdict="undecided",
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        margin=margin,
    )


@pytest.mark.parametrize(("direction", "margin"), [("above", 0.0), ("below", 0.3), ("within", 0.4)])
def test_the_seeds_that_decide_are_those_at_which_drawn_studies_do(direction, margin):
    """Studies with the mean and the spread that were seen decide in 80 % of cases at that number of seeds."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=5)
    values = 0.1 + 0.2 * (values - values.mean()) / values.std(ddof=1)
    spec, level = claim("c", direction=direction, margin=margin), 0.99
    seeds = seeds_to_decide(spec, verdict(values, margin), level)
    distance = abs(0.1 - margin)

    def power(n):
        draws = rng.normal(0.1, 0.2, size=(20_000, n))
        half = stats.t.ppf((1 + level) / 2, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
        means = draws.mean(axis=1)
        return float(np.mean(means - half > 0.1 - distance if margin < 0.1 else means + half < margin))

    assert power(seeds) > 0.8 - 0.01
    assert power(seeds - 1) < 0.8 + 0.01


def test_no_number_of_seeds_decides_a_value_on_its_margin_or_without_an_interval():
    spec, values = claim("c"), [0.1, -0.1, 0.2, -0.2]
    assert seeds_to_decide(spec, verdict(values), 0.95) is None
    single = verdict([0.1, 0.2, 0.3]).model_copy(update={"low": None})
    assert seeds_to_decide(spec, single, 0.95) is None
    assert seeds_to_decide(spec, verdict([0.1, 0.2, 0.3]).model_copy(update={"n": 1}), 0.95) is None
    equal = verdict([0.1, 0.2, 0.3]).model_copy(update={"low": 0.2, "high": 0.2})
    assert seeds_to_decide(spec, equal, 0.95) is None


def test_a_distance_is_counted_in_standard_deviations_over_seeds():
    values = [0.1, 0.3, -0.1, 0.2]
    sd = np.std(values, ddof=1)
    assert distance_from_margin(claim("c"), verdict(values)) == pytest.approx(np.mean(values) / sd)
    beyond = claim("c", direction="below", margin=0.4)
    assert distance_from_margin(beyond, verdict(values)) == pytest.approx((0.4 - np.mean(values)) / sd)
    within = claim("c", direction="within", margin=0.4)
    negative = verdict([-value for value in values])
    assert distance_from_margin(within, negative) == pytest.approx((0.4 - np.mean(values)) / sd)
    at_bound = verdict(values).model_copy(update={"low": verdict(values).value})
    assert distance_from_margin(claim("c"), at_bound) is None


def test_what_seeds_can_see_claim_by_claim_and_look_by_look(tiny):
    tiny["claims"] = [
        {**tiny["claims"][0], "id": "better"},
        {**tiny["claims"][0], "id": "plain", "arm": "cnn", "against": "mlp"},
        {**tiny["claims"][0], "id": "later", "exploratory": True},
    ]
    tiny["arms"]["cnn"]["seeds"] = tiny["arms"]["mlp"]["seeds"] = 5
    plan = planned(tiny)
    better, plain, later = smallest_effects(plan)
    assert (better.claim, better.arms, better.seeds) == ("better", ("mlp<-cnn", "mlp<-mlp"), 2)
    assert better.first == pytest.approx(detectable_effect(2, level=0.975))
    assert better.last == pytest.approx(detectable_effect(2, level=0.95))
    assert (plain.seeds, plain.last) == (5, pytest.approx(detectable_effect(5)))
    assert later.first == later.last == better.last
    rounds = planned_rounds(plan)
    lines = smallest_effects(plan, rounds)
    assert [(line.claim, line.seeds) for line in lines] == [
        ("better", 2),
        ("better", 4),
        ("better", 8),
        ("plain", 5),
        ("plain", 5),
        ("plain", 8),
        ("later", 2),
    ]
    level = look_levels([2, 4, 8])[1]
    assert lines[1].first == pytest.approx(detectable_effect(4, level=1 - (1 - level) / 2))
    assert lines[1].last == pytest.approx(detectable_effect(4, level=level))
    tiny["seeds"] = 1
    assert smallest_effects(planned(tiny))[0].first == float("inf")


def test_the_seeds_needed_are_those_of_a_study_of_the_undecided_claims_alone():
    values = [0.1, 0.3, -0.1, 0.2]
    open_one = verdict(values)
    decided = open_one.model_copy(update={"id": "d", "verdict": "upheld"})
    aside = open_one.model_copy(update={"id": "e", "exploratory": True})
    other = open_one.model_copy(update={"id": "f"})
    claims = [claim("c"), claim("d"), claim("e", exploratory=True), claim("f")]
    needed = with_seeds_needed(claims, [open_one, decided, aside, other])
    expected = seeds_to_decide(claims[0], open_one, 1 - 0.05 / 2)
    assert [v.seeds_needed for v in needed] == [expected, None, None, expected]


LOOKS, CLAIMS = (3, 6, 12), 4


def false_study(draw):
    """Accuracies of a control and of four arms that are equal in truth, counts over 2,000 samples."""
    rng = np.random.default_rng([7, draw])
    ability = np.clip(0.9 + 0.02 * rng.normal(size=(CLAIMS + 1, LOOKS[-1])), 0, 1)
    return rng.binomial(2000, ability) / 2000


def decides(accuracy):
    """Whether rounds decide anything: the first step of Holm's procedure at any look, by t-tests alone."""
    gaps, decided = accuracy[1:] - accuracy[0], False
    for n, level in zip(LOOKS, look_levels(LOOKS), strict=True):
        p_values = stats.ttest_1samp(gaps[:, :n], 0, axis=1).pvalue
        decided = decided or bool(p_values.min() < (1 - level) / CLAIMS)
    return decided


def decided_in_rounds(accuracy):
    """The claims that rounds decide; arms of decided claims keep the seeds that they have."""
    specs = [claim(f"arm{k}") for k in range(CLAIMS)]
    rounds, counts = looks_at(*LOOKS), dict.fromkeys([spec.id for spec in specs], LOOKS[0])
    while (look := next_look(rounds)) is not None:
        further = rounds.looks[look - 1].further if look else ()
        counts |= dict.fromkeys(further, LOOKS[look])
        rows = [measured("control", accuracy[0, : LOOKS[look]])]
        rows += [measured(spec.id, accuracy[k, : counts[spec.id]]) for k, spec in enumerate(specs, 1)]
        verdicts = verdicts_at(specs, partial(judged_by, rows), rounds, look)
        rounds = with_look(rounds, look, verdicts)
    return rounds.decided


def judged_by(rows, claims, level):
    return judge(claims, rows, level=level)


def test_of_studies_with_false_claims_alone_at_most_five_per_cent_have_a_wrong_verdict():
    """All of 2,000 studies by t-tests; rounds themselves agree, on studies with a verdict and without."""
    wrong = [draw for draw in range(2000) if decides(false_study(draw))]
    assert len(wrong) / 2000 <= 0.05
    assert len(wrong) > 20
    for draw in wrong[:6]:
        assert decided_in_rounds(false_study(draw))
    for draw in [draw for draw in range(6) if draw not in wrong]:
        assert not decided_in_rounds(false_study(draw))


def test_the_family_is_what_is_not_exploratory():
    assert [c.id for c in family([claim("a"), claim("b", exploratory=True)])] == ["a"]
