"""Claims as the page and the statement show them: counted first, exploratory ones apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bequest.printable import counted
from bequest.records import LookRecord, RoundsRecord, Verdict
from bequest.report.numbers import as_written, count, duration, pair
from bequest.report.titles import joined

SIGNS = {"upheld": "✓", "contradicted": "✗", "undecided": "?"}
MOST_SEEDS = 1000
"""Records count the seeds that a claim needs up to here."""

NEEDED = "Seeds needed: in a new study of the undecided claims alone, at a power of 80 % for each."


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
        """What the cited paper prints, and whether the adjusted interval excludes it."""
        if self.verdict.published is None:
            return ""
        outside = " (outside)" if self.verdict.published_outside else ""
        return as_written(self.verdict.published) + outside

    @property
    def expected(self) -> str:
        """What an own pilot led to expect."""
        return "" if self.verdict.expected is None else as_written(self.verdict.expected)

    @property
    def look(self) -> str:
        """In a run in rounds, at which look it was decided, or last judged."""
        return "" if self.verdict.look is None else str(self.verdict.look)

    @property
    def needed(self) -> str:
        """The seeds that would decide what is undecided."""
        v = self.verdict
        if v.seeds_needed is not None:
            return f"about {count(v.seeds_needed)} seeds"
        has_width = v.low is not None and v.high is not None and v.low < v.high
        # Records of runs that were judged once did not always have the number: there, none says nothing.
        open_ = v.look is not None and v.verdict == "undecided" and not v.exploratory
        return f"more than {count(MOST_SEEDS)} seeds" if open_ and has_width else ""


@dataclass(frozen=True)
class Claims:
    """A study's claims: those that were made before their data, and exploratory ones."""

    confirmatory: tuple[Claim, ...]
    exploratory: tuple[Claim, ...]
    tally: str
    rounds: str = ""

    @property
    def every(self) -> tuple[Claim, ...]:
        """All of them, exploratory ones last."""
        return (*self.confirmatory, *self.exploratory)

    @property
    def usual_source(self) -> str:
        """The source of more than half of the claims, to be said once; empty if there is none."""
        sources = Counter(claim.verdict.source for claim in self.every)
        source, times = max(sources.items(), key=lambda item: item[1], default=("", 0))
        return source if times > max(2, len(self.every) / 2) else ""

    @property
    def mark_outside(self) -> bool:
        """Whether the adjusted interval of any claim excludes its published number."""
        return any(claim.verdict.published_outside for claim in self.every)

    @property
    def are_adjusted(self) -> bool:
        """Whether verdicts used intervals that are adjusted for the number of claims."""
        return any(claim.adjusted for claim in self.confirmatory)


def claims_of(verdicts: Iterable[Verdict], rounds: RoundsRecord | None = None) -> Claims:
    """The claims in the order of the study, and what a run in rounds came to."""
    every = [claim_of(verdict) for verdict in verdicts]
    confirmatory = tuple(claim for claim in every if not claim.verdict.exploratory)
    exploratory = tuple(claim for claim in every if claim.verdict.exploratory)
    text = rounds_text(rounds) if rounds is not None else ""
    if any(claim.needed for claim in confirmatory):
        text = f"{text} {NEEDED}".strip()
    return Claims(confirmatory, exploratory, _tally(confirmatory, exploratory), text)


def rounds_text(rounds: RoundsRecord) -> str:
    """What a run in rounds came to: its looks, what each decided and cost, and what was not looked at."""
    taken = [_look(look) for look in rounds.looks if look.taken]
    others = [count(look.seeds) for look in rounds.looks if not look.taken]
    seeds = joined([count(look.seeds) for look in rounds.looks])
    text = (
        f"Judged in rounds of seeds, at looks planned before the first (at {seeds} seeds); all looks "
        "together have the error rate of a single one."
    )
    if taken:
        text += f" Decided {joined(taken)}."
    if others:
        decided = bool(taken) and not rounds.looks[len(taken) - 1].further
        why = "nothing was left to decide at" if decided else "not taken:"
        text += (
            f" {why[0].upper()}{why[1:]} the look{'s' if len(others) > 1 else ''} at {joined(others)} seeds."
        )
    if rounds.judged_before:
        text += (
            " The claims had been judged once before these looks were planned; "
            "the levels do not account for that."
        )
    return text


def _look(look: LookRecord) -> str:
    cost = f" ({duration(look.seconds)} of training)" if look.seconds is not None else ""
    return f"at {count(look.seeds)} seeds: {len(look.verdicts)} of {look.judged}{cost}"


def claim_of(verdict: Verdict) -> Claim:
    """A verdict as readers see it."""
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
    verdicts = joined([f"{count} {word}" for count, word in counts if count])
    sentence = f"Of {counted(len(confirmatory), 'claim')}: {verdicts}." if confirmatory else ""
    if exploratory:
        apart = counted(len(exploratory), "exploratory claim")
        sentence = f"{sentence} {apart} listed separately.".strip()
    return sentence
