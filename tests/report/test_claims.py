from __future__ import annotations

import pytest

from bequest.records import LookRecord, RoundsRecord, Verdict
from bequest.report.claims import NEEDED, claims_of, rounds_text


def verdict(word="upheld", **more) -> Verdict:
    return Verdict(id="c", text="It is.", source="here", contrast="a > b", verdict=word, **more)


def test_exploratory_claims_are_counted_and_listed_apart():
    words = ["upheld", "contradicted", "upheld"]
    claims = claims_of([*map(verdict, words), verdict("undecided", exploratory=True)])
    assert claims.tally == "Of 3 claims: 2 upheld and 1 contradicted. 1 exploratory claim listed separately."
    assert [claim.verdict.verdict for claim in claims.confirmatory] == words
    assert [claim.sign for claim in claims.exploratory] == ["?"]
    assert claims.every == claims.confirmatory + claims.exploratory
    assert claims_of([verdict(exploratory=True)]).tally == "1 exploratory claim listed separately."
    assert claims_of([verdict()]).tally == "Of 1 claim: 1 upheld."


def test_a_source_of_most_claims_is_said_once():
    elsewhere = verdict().model_copy(update={"source": "a paper"})
    assert claims_of([verdict(), verdict(), verdict(), elsewhere]).usual_source == "here"
    assert claims_of([verdict(), verdict(), elsewhere, elsewhere]).usual_source == ""
    assert claims_of([verdict()]).usual_source == claims_of([]).usual_source == ""


def test_a_claim_has_its_plain_and_its_adjusted_interval():
    numbers = {"value": 0.61, "low": 0.5, "high": 0.72}
    plain, adjusted = claims_of(
        [verdict(**numbers), verdict(**numbers, adjusted_low=0.4, adjusted_high=0.82)]
    ).confirmatory
    assert (plain.value, plain.plain, plain.adjusted) == ("0.610", "[0.500, 0.720]", "")
    assert (adjusted.plain, adjusted.adjusted) == ("[0.500, 0.720]", "[0.400, 0.820]")
    assert claims_of([adjusted.verdict]).are_adjusted
    assert not claims_of([plain.verdict]).are_adjusted


def test_published_and_expected_numbers_are_not_taken_for_each_other():
    paper, pilot, undefined = claims_of(
        [verdict(published=0.12), verdict(expected=-0.05), verdict("undecided", reason="none")]
    ).confirmatory
    assert (paper.published, paper.expected) == ("0.12", "")
    assert (pilot.published, pilot.expected) == ("", "−0.05")
    assert undefined.value == ""


@pytest.mark.parametrize(
    ("published", "low", "high", "outside"),
    [(0.12, -0.1, 0.1, True), (-0.12, -0.1, 0.1, True), (0.1, -0.1, 0.1, False), (0.1, 0.0, 0.0, False)],
)
def test_a_published_number_outside_the_adjusted_interval_is_marked(published, low, high, outside):
    claim = claims_of([verdict(published=published, adjusted_low=low, adjusted_high=high)]).confirmatory[0]
    assert claim.verdict.published_outside is outside
    assert claim.published.endswith(" (outside)") is outside


def rounds_of(*looks: LookRecord, judged_before: bool = False) -> RoundsRecord:
    return RoundsRecord(key="k", looks=looks, judged_before=judged_before)


FIRST = LookRecord(
    seeds=3, level=0.9875, taken=True, seconds=75.2, judged=3, verdicts=(verdict(),), further=("a", "b")
)
SECOND = LookRecord(seeds=6, level=0.9875, taken=True, judged=2, verdicts=(verdict(), verdict()))
NOT_TAKEN = {seeds: LookRecord(seeds=seeds, level=0.975) for seeds in (6, 12)}


@pytest.mark.parametrize(
    ("rounds", "sentences"),
    [
        (
            rounds_of(FIRST, SECOND, NOT_TAKEN[12]),
            "(at 3, 6 and 12 seeds); all looks together have the error rate of a single one. "
            "Decided at 3 seeds: 1 of 3 (1 min 15 s of training) and at 6 seeds: 2 of 2. "
            "Nothing was left to decide at the look at 12 seeds.",
        ),
        (
            rounds_of(FIRST, *NOT_TAKEN.values(), judged_before=True),
            "Decided at 3 seeds: 1 of 3 (1 min 15 s of training). Not taken: the looks at 6 and 12 seeds. "
            "The claims had been judged once before these looks were planned; "
            "the levels do not account for that.",
        ),
        (
            rounds_of(NOT_TAKEN[6]),
            "Judged in rounds of seeds, at looks planned before the first (at 6 seeds); all looks "
            "together have the error rate of a single one. Not taken: the look at 6 seeds.",
        ),
    ],
)
def test_a_run_in_rounds_says_what_each_look_decided_and_cost(rounds, sentences):
    assert rounds_text(rounds).endswith(sentences)
    assert claims_of([verdict()], rounds).rounds == rounds_text(rounds)


def test_an_undecided_claim_says_how_many_seeds_would_decide_it():
    numbers = {"value": 0.1, "low": -0.1, "high": 0.3, "look": 2}
    decided, few, many, unknown, aside = claims_of(
        [
            verdict(**numbers),
            verdict("undecided", **numbers, seeds_needed=17),
            verdict("undecided", **numbers),
            verdict("undecided", look=2, reason="not measured"),
            verdict("undecided", exploratory=True, value=0.1, low=-0.1, high=0.3),
        ]
    ).every
    assert [claim.look for claim in (decided, few, aside)] == ["2", "2", ""]
    assert (few.needed, many.needed) == ("about 17 seeds", "more than 1,000 seeds")
    assert decided.needed == unknown.needed == aside.needed == ""
    assert claims_of([few.verdict], rounds_of(SECOND)).rounds.endswith(NEEDED)
    assert NEEDED not in claims_of([decided.verdict], rounds_of(SECOND)).rounds


def test_without_rounds_nothing_is_said_of_looks():
    numbers = {"value": 0.1, "low": -0.1, "high": 0.3}
    claims = claims_of([verdict("undecided", **numbers)])
    assert (claims.rounds, claims.every[0].look, claims.every[0].needed) == ("", "", "")
    once = claims_of([verdict("undecided", **numbers, seeds_needed=17)])
    assert (once.rounds, once.every[0].look, once.every[0].needed) == (NEEDED, "", "about 17 seeds")
