"""What a claim says that a paper prints is what its source quotes of the paper."""

from __future__ import annotations

import re

import pytest

from bequest.runs.planning import planned

QUOTED = re.compile(r"(\d*\.\d+)(?: ± \d*\.\d+)? against (\d*\.\d+)")
"""A difference in the source of a claim: the number of the arm, then that of the other."""


@pytest.mark.parametrize("study", ["abnar2020-agreement", "abnar2020-mnist"])
def test_published_numbers_are_the_differences_of_those_that_the_source_quotes(study):
    claims = planned(study, scale="decide").study.claims
    quoted = [(claim, QUOTED.search(claim.source)) for claim in claims if claim.published is not None]
    assert sum(match is not None for _, match in quoted) > 25
    for claim, match in quoted:
        if match is not None:
            assert claim.published == pytest.approx(float(match[1]) - float(match[2]), abs=1e-9), claim.id
        if claim.direction != "within":
            assert (claim.published > claim.margin) == (claim.direction == "above"), claim.id
            assert claim.against or claim.measure.startswith("inheritance/"), claim.id
