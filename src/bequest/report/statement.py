"""What a study's students kept of their teachers, what they lost, and what is undecided, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bequest.measures import Reason
from bequest.records import Measurement
from bequest.report.claims import Claim, claims_of
from bequest.report.dot_charts import row_place
from bequest.report.folder import Run
from bequest.report.numbers import as_written, with_interval
from bequest.report.palette import Styles, styles
from bequest.report.terminal_text import safe

MOST = 0.5
"""The margin of "most": half of the gap between control and teacher."""

RULE = (
    f"A property is *kept* where the interval of its inheritance lies above {as_written(MOST)} "
    "(0: the self-taught control, 1: the teacher), *lost* where it lies below, and *undecided* otherwise. "
    "The intervals are plain ones, one for each property, and not adjusted for their number."
)
NOTHING = "Nothing to hand over"
FATES = ("Kept", "Lost", "Undecided", NOTHING)


def statement(run: Run) -> str:
    """The statement on a run, as Markdown."""
    study = run.study
    named = styles(study.arms, [m.arm for m in run.measurements])
    lines = [f"# {markdown(study.question)}", ""]
    lines += [markdown(study.answer), ""] if study.answer else []
    unfinished = len(run.unfinished())
    missing = f", {unfinished} of {len(study.cells)} cells without a result" if unfinished else ""
    lines += [
        f"Study {markdown(study.name)}, scale {markdown(study.scale)}, {run.seeds_text()}{missing}.",
        "",
    ]
    lines += _claim_lines(run)
    lines += _fate_lines(run, named)
    return "\n".join(lines).rstrip() + "\n"


def fate(m: Measurement) -> str:
    """Whether a share of inheritance says that a property was kept or lost.

    >>> share = Measurement(measure="inheritance/accuracy", arm="a", value=0.8, low=0.6, high=1.0, n=3)
    >>> fate(share), fate(share.model_copy(update={"low": 0.4}))
    ('Kept', 'Undecided')
    """
    if m.reason_code == Reason.NO_GAP:
        return NOTHING
    if m.value is None or m.low is None or m.high is None:
        return "Undecided"
    return "Kept" if m.low > MOST else "Lost" if m.high < MOST else "Undecided"


def markdown(text: str) -> str:
    r"""Text from outside, so that Markdown prints it as it is, on one line.

    >>> print(markdown("a*b*\n<script>"))
    a\*b\* \<script\>
    """
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(safe(text).split()))


def _claim_lines(run: Run) -> Iterator[str]:
    claims = claims_of(run.verdicts, run.study.rounds)
    if not claims.every:
        return
    yield from ("## Claims", "", claims.tally, "")
    if claims.rounds:
        yield from (claims.rounds, "")
    for claim in claims.every:
        yield f"- {claim.sign} **{claim.verdict.verdict}**{_exploratory(claim)}: {_claim(claim)}"
    yield ""


def _exploratory(claim: Claim) -> str:
    return " (exploratory)" if claim.verdict.exploratory else ""


def _claim(claim: Claim) -> str:
    numbers = f"{claim.value} {claim.plain}".strip() if claim.value else "undefined"
    adjusted = f", adjusted {claim.adjusted}" if claim.adjusted else ""
    look = f", look {claim.look}" if claim.look else ""
    needed = f"; {claim.needed} would decide it" if claim.needed else ""
    return f"{markdown(claim.verdict.text)} ({numbers}{adjusted}, n = {claim.verdict.n}{look}{needed})"


def _fate_lines(run: Run, named: Styles) -> Iterator[str]:
    shares = [m for m in run.by_split(run.measurements) if run.titles.is_inheritance(m)]
    arms = [style for style in named.sorted(run.profile_arms()) if any(m.arm == style.name for m in shares)]
    if not arms:
        return
    yield from ("## Kept, lost and undecided", "", RULE, "")
    for style in arms:
        of_arm = [m for m in shares if m.arm == style.name]
        teachers = dict.fromkeys(named.label(m.teacher) for m in of_arm if m.teacher)
        yield from (f"### {markdown(style.label)}, taught by {markdown(', '.join(teachers))}", "")
        for word in FATES:
            properties = list(_properties(run, [m for m in of_arm if fate(m) == word]))
            if properties:
                yield f"- **{word}**: {'; '.join(properties)}"
        yield ""


def _properties(run: Run, shares: Iterable[Measurement]) -> Iterator[str]:
    for m in shares:
        title = run.titles.measure(run.titles.measure(m.measure).of).title
        where = f" on {row_place(m)}" if row_place(m) else ""
        value = "" if m.value is None else f" {with_interval(m.value, m.low, m.high)}"
        yield f"{markdown(title + where)}{value}"
