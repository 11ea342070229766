"""Claims as the page and the statement show them: counted first, exploratory ones apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bequest.records import Verdict
from bequest.report.numbers import as_written, pair
from bequest.report.titles import joined

SIGNS = {"upheld": "✓", "contradicted": "✗", "undecided": "?"}


@dataclass(frozen=True)
class Claim:
    """A verdict with its numbers as text; empty where the record has none."""

    verdict: Verdict
    sign: str
    value: str
    plain: str
    adjusted: str

    @property
    def published(self) -> str:
        """What the cited paper prints."""
        return "" if self.verdict.published is None else as_written(self.verdict.published)

    @property
    def expected(self) -> str:
        """What an own pilot led to expect."""
        return "" if self.verdict.expected is None else as_written(self.verdict.expected)


@dataclass(frozen=True)
class Claims:
    """A study's claims: those that were made before their data, and exploratory ones."""

    confirmatory: tuple[Claim, ...]
    exploratory: tuple[Claim, ...]
    tally: str

    @property
    def every(self) -> tuple[Claim, ...]:
        """All of them, exploratory ones last."""
        return (*self.confirmatory, *self.exploratory)

    @property
    def are_adjusted(self) -> bool:
        """Whether verdicts used intervals that are adjusted for the number of claims."""
        return any(claim.adjusted for claim in self.confirmatory)


def claims_of(verdicts: Iterable[Verdict]) -> Claims:
    """The claims in the order of the study."""
    every = [_claim(verdict) for verdict in verdicts]
    confirmatory = tuple(claim for claim in every if not claim.verdict.exploratory)
    exploratory = tuple(claim for claim in every if claim.verdict.exploratory)
    return Claims(confirmatory, exploratory, _tally(confirmatory, exploratory))


def _claim(verdict: Verdict) -> Claim:
    value, plain = pair(verdict.value, verdict.low, verdict.high)
    adjusted = pair(verdict.value, verdict.adjusted_low, verdict.adjusted_high)[1]
    return Claim(verdict, SIGNS[verdict.verdict], "" if verdict.value is None else value, plain, adjusted)


def _tally(confirmatory: Sequence[Claim], exploratory: Sequence[Claim]) -> str:
    """How many claims came out how, in one line.

    >>> claims_of([]).tally
    ''
    """
    if not confirmatory and not exploratory:
        return ""
    counts = [(sum(c.verdict.verdict == word for c in confirmatory), word) for word in SIGNS]
    counted = joined([f"{count} {word}" for count, word in counts if count])
    plural = "s" if len(confirmatory) != 1 else ""
    sentence = f"Of {len(confirmatory)} claim{plural}: {counted}." if confirmatory else ""
    if exploratory:
        apart = f"{len(exploratory)} exploratory claim{'s' if len(exploratory) != 1 else ''}"
        sentence = f"{sentence} {apart} apart.".strip()
    return sentence
