from __future__ import annotations

from bequest.records import Verdict
from bequest.report.claims import claims_of


def verdict(word="upheld", **more) -> Verdict:
    return Verdict(id="c", text="It is.", source="here", contrast="a > b", verdict=word, **more)


def test_exploratory_claims_are_counted_and_listed_apart():
    words = ["upheld", "contradicted", "upheld"]
    claims = claims_of([*map(verdict, words), verdict("undecided", exploratory=True)])
    assert claims.tally == "Of 3 claims: 2 upheld and 1 contradicted. 1 exploratory claim apart."
    assert [claim.verdict.verdict for claim in claims.confirmatory] == words
    assert [claim.sign for claim in claims.exploratory] == ["?"]
    assert claims.every == claims.confirmatory + claims.exploratory
    assert claims_of([verdict(exploratory=True)]).tally == "1 exploratory claim apart."
    assert claims_of([verdict()]).tally == "Of 1 claim: 1 upheld."


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
