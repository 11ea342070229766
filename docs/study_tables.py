"""Writes what runs came to into the studies' READMEs and docs/papers.md: python docs/study_tables.py RUN...

Each RUN is a run folder of a bundled study. Between ``<!-- claims -->`` and ``<!-- end of claims -->`` of the
study's README stands the table of its claims, from the records of a run at scale ``small``; nothing there is
typed by hand. Where a study reproduces a paper, docs/papers.md has the claims that papers make, between
marks of its name, from a run at any scale.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from pathlib import Path

from bequest.record_files import read_record, read_records
from bequest.records import StudyRecord, Verdict

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ROOT / "src" / "bequest" / "studies"
SIGNS = {"upheld": "✓ upheld", "contradicted": "✗ contradicted", "undecided": "? undecided"}
CLAIMS = "claims"
TALLY = "tally"
MOST = 0.8
PAPERS = ROOT / "docs" / "papers.md"
INTERVALS = (
    "Intervals are at 95 %; adjusted ones are at the claim's level in Holm's procedure, and decide the "
    "verdicts, which hold jointly at 5 %. (outside) marks a published number that the adjusted interval "
    "excludes."
)
OURS = (
    "not in the paper",
    "not in the thesis",
    "a control",
    "control",
    "a pilot",
    "seen in the run",
    "bequest",
    "this study",
    "from the equations",
    "the check of the equations",
    "the study ",
)
"""How the sources of claims begin that no paper makes."""


def number(value: float | None) -> str:
    """With three digits after the point, without the leading zero."""
    if value is None:
        return "–"
    text = f"{abs(value):.3f}" if abs(value) < 10 else f"{abs(value):.3g}"
    text = text.removeprefix("0")
    return f"−{text}" if value < 0 and float(f"{value:.3f}") else text


def interval(low: float | None, high: float | None) -> str:
    """Both ends in brackets; a dash where there is none."""
    if low is None or high is None:
        return "–"
    wide = high - low >= 0.001  # an end beside 0 then says on which side it is
    return f"[{_end(low) if wide else number(low)}, {_end(high) if wide else number(high)}]"


def _end(value: float) -> str:
    if value == 0 or number(value) != ".000":
        return number(value)
    text = (
        f"{abs(value):.4f}".removeprefix("0")
        if abs(value) >= 5e-5
        else f"{abs(value):.0e}".replace("e-0", "e-")
    )
    return f"−{text}" if value < 0 else text


def row(verdict: Verdict) -> str:
    """One claim as a line of the table."""
    published = "–"
    if verdict.published is not None:
        published = number(verdict.published) + (" (outside)" if verdict.published_outside else "")
    elif verdict.expected is not None:
        published = f"pilot {number(verdict.expected)}"
    decided = SIGNS[verdict.verdict] + (" (exploratory)" if verdict.exploratory else "")
    cells = [
        f"{verdict.text} ({verdict.contrast})",
        published,
        f"{number(verdict.value)} {interval(verdict.low, verdict.high)}",
        interval(verdict.adjusted_low, verdict.adjusted_high),
        decided,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def summary(study: StudyRecord, verdicts: list[Verdict]) -> str:
    """What was run, how long it took, and how the claims were judged."""
    counts = Counter(verdict.verdict for verdict in verdicts if not verdict.exploratory)
    counted = ", ".join(f"{counts[word]} {word}" for word in SIGNS)
    minutes = sum(cell.seconds or 0.0 for cell in study.cells) / 60
    seeds = f"seeds {study.seeds[0]} to {study.seeds[-1]}"
    cost = f"{len(study.cells)} trainings, {minutes:.0f} minutes of training in total"
    return f"Scale `{study.scale}`, {seeds}; {cost}. Of {sum(counts.values())} claims: {counted}. {INTERVALS}"


def table(study: StudyRecord, verdicts: list[Verdict]) -> str:
    """The summary and the table."""
    head = "| claim | published | measured | adjusted | verdict |\n|---|---|---|---|---|"
    answer = [f"> {study.answer}", ""] if study.answer else []
    return "\n".join([*answer, summary(study, verdicts), "", head, *map(row, verdicts)])


def written_between(text: str, mark: str, content: str) -> str:
    """``text`` with ``content`` between the two marks of that name."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def of_the_paper(study: StudyRecord, verdicts: list[Verdict]) -> str:
    """The claims that papers make alone, with the command and how many of them are decided."""
    theirs = [verdict for verdict in verdicts if not verdict.source.startswith(OURS)]
    decided = sum(verdict.verdict != "undecided" for verdict in theirs)
    counted = f"{decided} of the {len(theirs)} claims made by papers are decided"
    command = f"bequest run {study.name}" + ("" if study.scale == "small" else f" --scale {study.scale}")
    text = f"`{command}`: {len(study.cells)} trainings, up to {len(study.seeds)} seeds; {counted}."
    outside = sum(verdict.verdict == "undecided" and verdict.published_outside for verdict in theirs)
    if outside:
        text += f" Of the undecided ones {outside} exclude the size that the paper prints."
    text += what_most_would_take(study, theirs)
    lines = [f"{row(verdict)[:-1]}| {needed(verdict)} |" for verdict in theirs]
    head = "| claim | published | measured | adjusted | verdict | seeds needed |\n|---|---|---|---|---|---|"
    return "\n".join([text, "", head, *lines])


def what_most_would_take(study: StudyRecord, verdicts: list[Verdict]) -> str:
    """The seeds by which MOST of the claims would be decided, and their training at the run's own pace."""
    undecided = [verdict for verdict in verdicts if verdict.verdict == "undecided"]
    missing = math.ceil(MOST * len(verdicts)) - (len(verdicts) - len(undecided))
    if missing <= 0:
        return ""
    goal = f" For {100 * MOST:.0f} % to be decided, each with a probability of 80 %, it would take "
    counts = sorted(verdict.seeds_needed for verdict in undecided if verdict.seeds_needed is not None)
    if len(counts) < missing:
        return f"{goal}more than 1,000 seeds."
    seeds = counts[missing - 1]
    hours = seeds * sum(cell.seconds or 0.0 for cell in study.cells) / len(study.seeds) / 3600
    return f"{goal}{seeds} seeds, up to {math.ceil(hours)} hours of training at the pace of this run."


def needed(verdict: Verdict) -> str:
    """The seeds that would decide an undecided claim; a dash where 1,000 would not."""
    if verdict.verdict != "undecided":
        return ""
    return "–" if verdict.seeds_needed is None else str(verdict.seeds_needed)


def tally(papers: str) -> str:
    """How many claims of each study docs/papers.md shows as decided, counted on its own rows.

    The last column counts published numbers outside of their intervals among the three verdicts.
    """
    head = "| study | claims | upheld | contradicted | undecided | published number outside |"
    lines = [head, "|---|" + 5 * "--:|"]
    total: Counter[str] = Counter()
    for name in re.findall(r"<!-- end of (\S+) -->", papers):
        if name == TALLY:
            continue
        rows = papers.split(f"<!-- {name} -->")[1].split(f"<!-- end of {name} -->")[0].splitlines()
        judged = [(word, row) for row in rows for word, sign in SIGNS.items() if f"| {sign} " in row]
        counts = Counter(word for word, _ in judged)
        counts += Counter(f"{word} outside" for word, row in judged if "(outside)" in row)
        total += counts
        lines.append(_tallied(f"`{name}`", counts))
    return "\n".join([*lines, _tallied("all", total)])


def _tallied(name: str, counts: Counter[str]) -> str:
    columns = [counts[word] for word in SIGNS]
    outside = " + ".join(str(counts[f"{word} outside"]) for word in SIGNS)
    return f"| {name} | " + " | ".join(map(str, [sum(columns), *columns])) + f" | {outside} |"


def main() -> None:
    """Write the tables of all runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        study = read_record(run / "study.json", StudyRecord)
        verdicts = read_records(run / "claims.json", Verdict)
        if study.scale == "small":
            readme = STUDIES / study.name.replace("-", "_") / "README.md"
            readme.write_text(written_between(readme.read_text(), CLAIMS, table(study, verdicts)))
        papers = PAPERS.read_text()
        if f"<!-- {study.name} -->" in papers:
            papers = written_between(papers, study.name, of_the_paper(study, verdicts))
            PAPERS.write_text(written_between(papers, TALLY, tally(papers)))


if __name__ == "__main__":
    main()
